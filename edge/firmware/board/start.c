/* Vectors, .data, .bss, the FPU, a painted stack, main: any Cortex-M. */
#include <stdint.h>

#include "start.h"
/* A firmware that speaks through a debugger runs in an emulator, which starts no chip. */
#if defined(FIRMWARE_HAS_SEMIHOSTING) && (FIRMWARE_HAS_SEMIHOSTING == 0)
#define IS_ON_CHIP
#include "chip.h"

/* SysTick's, in a firmware that counts with it. */
void clock_lap(void) __attribute__((weak));
#endif

extern uint32_t stack_bottom[], stack_top[];
extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);
void reset(void);
void fault(void);

#define STACK_PAINT 0xA5A5A5A5U

__attribute__((section(".vectors"), used)) static const void *const vectors[16] = {
    stack_top,
    (void *)reset,
    (void *)fault,
    (void *)fault,
    (void *)fault,
    (void *)fault,
    (void *)fault,
    (void *)fault,
#ifdef IS_ON_CHIP
    [15] = (void *)clock_lap,
#endif
};

__attribute__((noreturn, weak)) void fault(void) {
  for (;;) {
  }
}

__attribute__((noreturn)) void reset(void) {
  *(volatile uint32_t *)0xE000ED08U = (uint32_t)(uintptr_t)vectors; /* VTOR */
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
#ifdef IS_ON_CHIP
  chip_start();
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
