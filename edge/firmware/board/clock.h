/* The clock that inferences are measured with. */
#ifndef CLOCK_H_
#define CLOCK_H_

#include <stdbool.h>
#include <stdint.h>

#if FIRMWARE_HAS_SEMIHOSTING
/* An emulator's: SysTick as it is, which counts down, so that nothing but the model is counted. */
#define CLOCK_TOP 0x00FFFFFFU
#define CLOCK ((volatile uint32_t *)0xE000E010U)

static inline void clock_start(void) {
  CLOCK[1] = CLOCK_TOP;
  CLOCK[2] = 0U;
  CLOCK[0] = 5U; /* the core's clock, no interrupt */
}

static inline uint32_t clock_ticks(void) { return CLOCK[2]; }

static inline uint32_t clock_since(uint32_t start) { return (start - CLOCK[2]) & CLOCK_TOP; }
#else
/* Starts counting the core's cycles. */
void clock_start(void);

/* The core's cycles so far; call it more often than the counter overflows. */
uint32_t clock_ticks(void);

static inline uint32_t clock_since(uint32_t start) { return clock_ticks() - start; }
#endif

#endif
