/* STM32G0: the PLL on the chip's oscillator of 16 MHz. */
#include "chip.h"

#define STM32_RCC 0x40021000U
#define STM32_GPIO 0x50000000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0x34U)
#define STM32_GPIO_BIT 0U
#include "stm32.h"

#define RCC_CR STM32_RCC
#define RCC_CFGR (STM32_RCC + 0x08U)
#define RCC_PLLCFGR (STM32_RCC + 0x0CU)
#define RCC_APBENR1 (STM32_RCC + 0x3CU)
#define PWR_CR1 0x40007000U
#define PWR_SR2 0x40007014U
#define FLASH_ACR 0x40022000U

#define HSI_HZ 16000000U
#define HSI_ON (1U << 8)
#define HSI_READY (1U << 10)
#define HSI_DIVIDER (7U << 11)
#define PLL_ON (1U << 24)
#define PLL_READY (1U << 25)
#define PLL_ON_HSI 2U
#define PLL_HAS_OUTPUT_R (1U << 28)
#define PLL_FIELDS 0xF1017F73U /* R, outputs, N, M, source */
#define SWITCH 7U
#define SWITCH_TO_PLL 2U
#define SWITCHED (7U << 3)
#define SWITCHED_TO_PLL (2U << 3)
#define PRESCALERS 0x7F00U
#define POWER_CLOCK (1U << 28)
#define RANGE (3U << 9)
#define FIRST_RANGE (1U << 9)
#define RANGE_CHANGES (1U << 10)
#define LATENCY 7U
#define PREFETCH_AND_CACHE (3U << 8)

_Static_assert(((HSI_HZ / CHIP_PLL_M) * CHIP_PLL_N) == (BOARD_CLOCK_HZ * CHIP_PLL_R), "the clock");

static uint32_t clock_hz = HSI_HZ;

/* After a jump from other firmware the PLL may be in use, and can only be set up while it is not.
 */
static bool return_to_hsi(void) {
  if ((*stm32_at(RCC_CFGR) & SWITCHED) != 0U) {
    stm32_set(RCC_CR, HSI_ON);
    (void)stm32_wait(RCC_CR, HSI_READY, HSI_READY);
    stm32_change(RCC_CFGR, SWITCH, 0U);
    if (!stm32_wait(RCC_CFGR, SWITCHED, 0U)) {
      return false;
    }
  }
  stm32_change(RCC_CR, HSI_DIVIDER, 0U);
  stm32_change(RCC_CR, PLL_ON, 0U);
  return stm32_wait(RCC_CR, PLL_READY, 0U);
}

static bool raise_voltage(void) {
  stm32_set(RCC_APBENR1, POWER_CLOCK);
  stm32_change(PWR_CR1, RANGE, FIRST_RANGE);
  return stm32_wait(PWR_SR2, RANGE_CHANGES, 0U);
}

static bool start_pll(void) {
  stm32_change(RCC_PLLCFGR, PLL_FIELDS,
               ((CHIP_PLL_R - 1U) << 29) | PLL_HAS_OUTPUT_R | (CHIP_PLL_N << 8) |
                   ((CHIP_PLL_M - 1U) << 4) | PLL_ON_HSI);
  stm32_set(RCC_CR, PLL_ON);
  return stm32_wait(RCC_CR, PLL_READY, PLL_READY);
}

static bool set_wait_states(void) {
  stm32_change(FLASH_ACR, LATENCY, BOARD_FLASH_WAIT_STATES);
  return (*stm32_at(FLASH_ACR) & LATENCY) == BOARD_FLASH_WAIT_STATES;
}

/* All that the higher clock needs, and then the clock. */
static bool start_clock(void) {
  if (!return_to_hsi() || !raise_voltage() || !start_pll() || !set_wait_states()) {
    return false;
  }
  stm32_change(RCC_CFGR, PRESCALERS, 0U);
  stm32_change(RCC_CFGR, SWITCH, SWITCH_TO_PLL);
  if (stm32_wait(RCC_CFGR, SWITCHED, SWITCHED_TO_PLL)) {
    return true;
  }
  stm32_change(RCC_CFGR, SWITCH, 0U);
  return false;
}

void chip_start(void) {
  clock_hz = start_clock() ? BOARD_CLOCK_HZ : HSI_HZ;
  stm32_set(FLASH_ACR, PREFETCH_AND_CACHE);
  stm32_start_io(clock_hz);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
