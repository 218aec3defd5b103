/* The end of a firmware on a board that faults: a line on the serial port, and the light. */
#include "start.h"

#ifdef START_IS_ON_CHIP
#include "chip.h"

extern uint32_t stack_bottom[], stack_top[];
__attribute__((noreturn, used)) void fault_report(const uint32_t *frame);

#define HARD_FAULT 3U
#define FRAME_BYTES 32U
#define FRAME_LR 5U
#define FRAME_PC 6U

/* Configurable fault status: which bytes tell of what, and which bits that no frame was saved. */
#define OF_MEMORY 0x000000FFU
#define OF_BUS 0x0000FF00U
#define MEMORY_STACKING (1U << 4)
#define BUS_STACKING (1U << 12)
#define STACK_OVERFLOW (1U << 20)
#define ADDRESS_IS_KNOWN (1U << 7)
#define NO_FRAME (MEMORY_STACKING | BUS_STACKING | STACK_OVERFLOW)

#define TICKS_PER_SECOND 20U

/* The stack may be what is broken: without room on it, the report begins a new one. */
__attribute__((naked)) void fault_entry(void) {
  __asm__ volatile(
      ".syntax unified\n\t"
      "mrs r0, msp\n\t"
      "ldr r1, =stack_bottom + 256\n\t"
      "ldr r2, =stack_top\n\t"
      "cmp r0, r1\n\t"
      "blo 1f\n\t"
      "cmp r0, r2\n\t"
      "bls 2f\n\t"
      "1: mov sp, r2\n\t"
      "2: ldr r1, =fault_report\n\t"
      "bx r1\n\t"
      ".pool");
}

static uint32_t status(void) {
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
  return 0U; /* these cores do not tell */
#else
  return *(volatile uint32_t *)0xE000ED28U;
#endif
}

/* The guard lies in the stack's lowest 64 bytes. */
static bool is_in_guard(uint32_t cause) {
  const uint32_t offset = *(volatile uint32_t *)0xE000ED34U - (uint32_t)(uintptr_t)stack_bottom;
  return ((cause & ADDRESS_IS_KNOWN) != 0U) && (offset < 64U);
}

static const char *name_of(uint32_t exception, uint32_t cause) {
  if (exception >= 16U) {
    return "interrupt";
  }
  if (exception == 2U) {
    return "nmi";
  }
  if (exception > 7U) {
    return "exception";
  }
  if ((cause & (STACK_OVERFLOW | MEMORY_STACKING)) != 0U) {
    return "stack";
  }
  if (cause == 0U) {
    return (exception == HARD_FAULT) ? "hard" : "secure";
  }
  if ((cause & OF_MEMORY) != 0U) {
    return is_in_guard(cause) ? "stack" : "memory";
  }
  return ((cause & OF_BUS) != 0U) ? "bus" : "usage";
}

static void say(const char *text) {
  for (; *text != '\0'; ++text) {
    chip_put((uint8_t)*text);
  }
}

static void say_word(const char *name, uint32_t word) {
  say(name);
  say(" 0x");
  for (uint32_t shift = 32U; shift > 0U; shift -= 4U) {
    chip_put((uint8_t)("0123456789abcdef"[(word >> (shift - 4U)) & 0xFU]));
  }
}

/* A twentieth of a second a tick, by the core's own timer. */
static void light(bool is_on, uint32_t ticks) {
  volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;
  chip_led(is_on);
  systick[1] = (chip_clock_hz() / TICKS_PER_SECOND) & 0x00FFFFFFU;
  systick[2] = 0U;
  systick[0] = 5U;
  for (uint32_t tick = 0U; tick < ticks; ++tick) {
    while ((systick[0] & (1U << 16)) == 0U) {
    }
  }
}

/* Three short, three long, three short, a pause. */
__attribute__((noreturn)) static void blink(void) {
  for (;;) {
    for (uint32_t letter = 0U; letter < 3U; ++letter) {
      for (uint32_t flash = 0U; flash < 3U; ++flash) {
        light(true, (letter == 1U) ? 9U : 3U);
        light(false, 3U);
      }
      light(false, 6U);
    }
    light(false, 12U);
  }
}

void fault_report(const uint32_t *frame) {
  uint32_t exception;
  __asm__ volatile("mrs %0, ipsr" : "=r"(exception));
  const uint32_t cause = status();
  const uintptr_t at = (uintptr_t)frame;
  const bool has_frame = ((cause & NO_FRAME) == 0U) && (at >= (uintptr_t)stack_bottom) &&
                         ((at + FRAME_BYTES) <= (uintptr_t)stack_top);
  firmware_result = 4U;
  say("fault ");
  say(name_of(exception, cause));
  say_word(" pc", has_frame ? frame[FRAME_PC] : 0U);
  say_word(" lr", has_frame ? frame[FRAME_LR] : 0U);
  say_word(" cfsr", cause);
  say("\r\n");
  blink();
}
#endif
