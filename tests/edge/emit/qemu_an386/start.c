/* Start-up for QEMU's mps2-an386 (Cortex-M4): vectors, .data, .bss, a painted stack, main, exit. */
#include <stdint.h>

#include "semihosting.h"

extern uint32_t stack_bottom[], stack_top[];
extern uint32_t data_start[], data_end[], data_load[], bss_start[], bss_end[];
int main(void);
void reset(void);
void fault(void);

const uint32_t stack_paint = 0xA5A5A5A5U;

__attribute__((section(".vectors"), used)) static const void* const vectors[16] = {
    stack_top, (void*)reset, (void*)fault, (void*)fault,
    (void*)fault, (void*)fault, (void*)fault,
};

__attribute__((noreturn)) static void stop(uint32_t reason) {
  (void)semihosting_call(0x18U, (const void*)reason);
  for (;;) {
  }
}

__attribute__((noreturn)) void fault(void) {
  semihosting_print("fault\n");
  stop(0x20023U); /* ADP_Stopped_RunTimeErrorUnknown */
}

__attribute__((noreturn)) void reset(void) {
  volatile uint32_t* const fpu_access = (volatile uint32_t*)0xE000ED88U; /* CPACR */
  *fpu_access |= 0xFU << 20;
  for (uint32_t* word = data_start; word < data_end; ++word) {
    *word = data_load[word - data_start];
  }
  for (uint32_t* word = bss_start; word < bss_end; ++word) {
    *word = 0U;
  }
  uint32_t* stack_pointer;
  __asm__ volatile("mov %0, sp" : "=r"(stack_pointer));
  /* 16 words are left out: the compiler makes this loop a call, which has a frame of its own. */
  for (uint32_t* word = stack_bottom; word < stack_pointer - 16; ++word) {
    *word = stack_paint;
  }
  stop((main() == 0) ? 0x20026U : 0x20023U);
}
