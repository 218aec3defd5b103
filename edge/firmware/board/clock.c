/* Counts the core's cycles: by the debug unit's counter where the core has one, else by SysTick. */
#include "clock.h"

#define SYSTICK_TOP 0x00FFFFFFU
#define SYSTICK_ENABLED 5U /* by the core's clock, no interrupt */
#define SYSTICK_HAS_WRAPPED (1UL << 16)
#define DEMCR_TRACE (1UL << 24)
#define DWT_UNLOCK 0xC5ACCE55U

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;
#if __ARM_ARCH >= 7
static volatile uint32_t *const demcr = (volatile uint32_t *)0xE000EDFCU;
static volatile uint32_t *const dwt = (volatile uint32_t *)0xE0001000U;
static volatile uint32_t *const dwt_lock = (volatile uint32_t *)0xE0001FB0U;
static bool has_counter;
#endif

static uint32_t laps; /* of SysTick, which counts down */
static uint32_t last;

void clock_start(void) {
  systick[1] = SYSTICK_TOP;
  systick[2] = 0U;
  systick[0] = SYSTICK_ENABLED;
#if __ARM_ARCH >= 7
  *demcr |= DEMCR_TRACE;
  *dwt_lock = DWT_UNLOCK; /* a Cortex-M7's */
  dwt[1] = 0U;
  dwt[0] |= 1U;
  const uint32_t before = dwt[1];
  __asm__ volatile("nop\n\tnop");
  has_counter = dwt[1] != before; /* an implementation, or an emulator, may have none */
#endif
}

uint32_t clock_ticks(void) {
#if __ARM_ARCH >= 7
  if (has_counter) {
    return dwt[1];
  }
#endif
  const uint32_t now = SYSTICK_TOP - systick[2];
  if (now < last) {
    ++laps;
  }
  last = now;
  return (laps << 24) | now;
}
