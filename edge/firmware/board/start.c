/* Vectors, .data, .bss, the FPU, a painted stack and its guard, main: any Cortex-M. */
#include "start.h"

#ifdef START_IS_ON_CHIP
#include "board.h"
#include "chip.h"
#define INTERRUPTS BOARD_INTERRUPTS

/* SysTick's, in a firmware that counts with it. */
void clock_lap(void) __attribute__((weak));
#endif

extern uint32_t stack_bottom[], stack_top[];
extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);
void reset(void);
void fault(void);

#define STACK_PAINT 0xA5A5A5A5U

#ifdef START_IS_ON_CHIP
/* Nobody asks for an interrupt beside SysTick's: one that comes is a fault as well. */
__attribute__((section(".vectors"), used)) static const void *const vectors[16U + INTERRUPTS] = {
    stack_top,
    (void *)reset,
    [2 ... 14] = (void *)fault_entry,
    [15] = (void *)clock_lap,
#if INTERRUPTS > 0U
    [16 ... 15U + INTERRUPTS] = (void *)fault_entry,
#endif
};
#else
__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,     (void *)reset, (void *)fault, (void *)fault,
    (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};

__attribute__((noreturn, weak)) void fault(void) {
  for (;;) {
  }
}
#endif

#ifdef START_IS_ON_CHIP
/* A stack that grows beyond its end becomes a fault, before it overwrites data. */
static void guard_stack(void) {
#if defined(__ARM_ARCH_8M_MAIN__) || defined(__ARM_ARCH_8_1M_MAIN__)
  __asm__ volatile("msr msplim, %0" : : "r"(stack_bottom));
#elif !defined(__ARM_ARCH_8M_BASE__)
  volatile uint32_t *const mpu = (volatile uint32_t *)0xE000ED90U;
  if (((mpu[0] >> 8) & 0xFFU) == 0U) {
    return; /* a chip without regions */
  }
  /* The stack's lowest 32 whole bytes, which can be read, for the paint. */
  const uint32_t guard = ((uint32_t)(uintptr_t)stack_bottom + 31U) & ~31U;
#ifdef __ARM_ARCH_6M__
  /* An eighth of a region of 256 bytes, the smallest that this core has. */
  const uint32_t size = ((0xFFU & ~(1U << ((guard >> 5) % 8U))) << 8) | (7U << 1);
  mpu[3] = (guard & ~255U) | (1U << 4);
#else
  const uint32_t size = 4U << 1;
  mpu[3] = guard | (1U << 4);
#endif
  mpu[4] = (1U << 28) | (6U << 24) | (0xBU << 16) | size | 1U;
  mpu[1] = 5U; /* on, beside the map that the core has without it */
  __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
}
#endif

#ifdef START_IS_ON_CHIP
/* A boot loader can leave an interrupt on, or one waiting, that nobody here has asked for. */
static void silence(void) {
  volatile uint32_t *const off = (volatile uint32_t *)0xE000E180U;
  volatile uint32_t *const forget = (volatile uint32_t *)0xE000E280U;
  *(volatile uint32_t *)0xE000E010U = 0U;       /* SysTick */
  *(volatile uint32_t *)0xE000ED04U = 1U << 25; /* and its interrupt that waits */
  for (uint32_t word = 0U; word < ((INTERRUPTS + 31U) / 32U); ++word) {
    off[word] = 0xFFFFFFFFU;
    forget[word] = 0xFFFFFFFFU;
  }
}
#endif

__attribute__((noreturn)) void reset(void) {
#ifdef START_IS_ON_CHIP
  __asm__ volatile("cpsid i" ::: "memory");
#endif
  *(volatile uint32_t *)0xE000ED08U = (uint32_t)(uintptr_t)vectors; /* VTOR */
#ifdef START_IS_ON_CHIP
  silence();
#endif
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
  *(volatile uint32_t *)0xE000ED88U |= 0xFU << 20; /* CPACR */
  __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
  for (uint32_t *word = data_start; word < data_end; ++word) {
    *word = data_load[word - data_start];
  }
  for (uint32_t *word = bss_start; word < bss_end; ++word) {
    *word = 0U;
  }
  uint32_t *stack_pointer;
  __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
  /* 16 words are left out: the compiler may make this loop a call, which has a frame. */
  for (uint32_t *word = stack_bottom; word < (stack_pointer - 16); ++word) {
    *word = STACK_PAINT;
  }
#ifdef START_IS_ON_CHIP
  guard_stack();
  chip_start();
  __asm__ volatile("cpsie i" ::: "memory");
#endif
  (void)main();
  for (;;) {
  }
}

uint32_t stack_used_bytes(void) {
  const uint32_t *word = stack_bottom;
  while (*word == STACK_PAINT) {
    ++word;
  }
  return (uint32_t)((const uint8_t *)stack_top - (const uint8_t *)word);
}
