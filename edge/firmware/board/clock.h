/* The clock that inferences are measured with. */
#ifndef CLOCK_H_
#define CLOCK_H_

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

/* The core's cycles so far, of which 2^32 are a round. */
uint32_t clock_ticks(void);

static inline uint32_t clock_since(uint32_t start) { return clock_ticks() - start; }

/* The same as time. */
uint32_t clock_microseconds_of(uint32_t cycles);

/* The time since clock_start in microseconds, if it is asked for once a round at least. */
uint32_t clock_microseconds(void);

/* What SysTick calls at the end of a lap. */
void clock_lap(void);
#endif

#endif
