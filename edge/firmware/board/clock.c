/* Counts the core's cycles: by the debug unit's counter where the core has one, else by SysTick. */
#include "clock.h"

#include <stdbool.h>

#include "chip.h"

#define SYSTICK_TOP 0x00FFFFFFU
#define SYSTICK_LAP_BITS 24U
#define SYSTICK_INTERRUPTS 7U /* on the core's clock */
#define DEMCR_TRACE (1U << 24)
#define DWT_UNLOCK 0xC5ACCE55U
#define MICROSECONDS 1000000U

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;
static volatile uint32_t laps;
static uint32_t latest; /* that SysTick has told */

static uint32_t last;    /* cycles that are in the time already */
static uint32_t seconds; /* the time */
static uint32_t rest;    /* and its cycles beyond whole seconds */

#if __ARM_ARCH >= 7
static volatile uint32_t *const dwt = (volatile uint32_t *)0xE0001000U;
static bool has_counter;

static bool start_counter(void) {
  *(volatile uint32_t *)0xE000EDFCU |= DEMCR_TRACE;
  *(volatile uint32_t *)0xE0001FB0U = DWT_UNLOCK; /* a Cortex-M7's lock */
  dwt[1] = 0U;
  dwt[0] |= 1U;
  const uint32_t before = dwt[1];
  __asm__ volatile("nop\n\tnop\n\tnop\n\tnop");
  return dwt[1] != before; /* a chip may have none, as emulators do */
}
#endif

void clock_lap(void) { ++laps; }

void clock_start(void) {
#if __ARM_ARCH >= 7
  has_counter = start_counter();
  if (has_counter) {
    return;
  }
#endif
  systick[1] = SYSTICK_TOP;
  systick[2] = 0U;
  systick[0] = SYSTICK_INTERRUPTS;
}

uint32_t clock_ticks(void) {
#if __ARM_ARCH >= 7
  if (has_counter) {
    return dwt[1];
  }
#endif
  uint32_t lap;
  uint32_t now;
  do {
    lap = laps;
    now = SYSTICK_TOP - systick[2];
  } while (lap != laps);
  uint32_t ticks = (lap << SYSTICK_LAP_BITS) | now;
  /* A lap whose interrupt has yet to come: an emulator's may be late. */
  ticks += ((ticks - latest) > (UINT32_MAX / 2U)) ? (SYSTICK_TOP + 1U) : 0U;
  latest = ticks;
  return ticks;
}

/* The bits of cycles / hz behind the point, one after the other, for less than a second of them;
 * a division of 64 bits would take half a KiB. */
static uint32_t microseconds_of_part(uint32_t cycles, uint32_t hz) {
  uint32_t left = cycles;
  uint32_t part = 0U;
  for (uint32_t bit = 0U; bit < 32U; ++bit) {
    left <<= 1;
    part <<= 1;
    if (left >= hz) {
      left -= hz;
      part |= 1U;
    }
  }
  return (uint32_t)((((uint64_t)part * MICROSECONDS) + 0x80000000U) >> 32);
}

uint32_t clock_microseconds_of(uint32_t cycles) {
  const uint32_t hz = chip_clock_hz();
  return ((cycles / hz) * MICROSECONDS) + microseconds_of_part(cycles % hz, hz);
}

uint32_t clock_microseconds(void) {
  const uint32_t hz = chip_clock_hz();
  const uint32_t now = clock_ticks();
  const uint32_t passed = now - last;
  last = now;
  seconds += passed / hz;
  rest += passed % hz;
  if (rest >= hz) {
    rest -= hz;
    ++seconds;
  }
  return (seconds * MICROSECONDS) + microseconds_of_part(rest, hz);
}
