/* STM32U5: the first PLL on the chip's oscillator of 16 MHz, with the boosted voltage it needs. */
#include "chip.h"

#define STM32_RCC 0x46020C00U
#define STM32_GPIO 0x42020000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0x8CU)
#define STM32_GPIO_BIT 0U
#include "stm32.h"

#define RCC_CR STM32_RCC
#define RCC_CFGR1 (STM32_RCC + 0x1CU)
#define RCC_CFGR2 (STM32_RCC + 0x20U)
#define RCC_PLL1CFGR (STM32_RCC + 0x28U)
#define RCC_PLL1DIVR (STM32_RCC + 0x34U)
#define RCC_AHB3ENR (STM32_RCC + 0x94U)
#define PWR_VOSR 0x4602080CU
#define FLASH_ACR 0x40022000U
#define ICACHE_CR 0x40030400U

#define RESET_HZ 4000000U
#define HSI_HZ 16000000U
#define MSI_ON (1U << 0)
#define MSI_READY (1U << 2)
#define HSI_ON (1U << 8)
#define HSI_READY (1U << 10)
#define PLL_ON (1U << 24)
#define PLL_READY (1U << 25)
#define PLL_ON_HSI 2U
#define PLL_8_TO_16_MHZ (3U << 2)
#define PLL_HAS_OUTPUT_R (1U << 18)
#define PLL_FIELDS 0x0007FF1FU /* outputs, booster's divider, M, fraction, range, source */
#define SWITCH 3U
#define SWITCH_TO_PLL 3U
#define SWITCHED (3U << 2)
#define SWITCHED_TO_PLL (3U << 2)
#define POWER_CLOCK (1U << 2)
#define FIRST_RANGE (3U << 16)
#define RANGE_READY (1U << 15)
#define BOOST (1U << 18)
#define BOOST_READY (1U << 14)
#define LATENCY 0xFU
#define PREFETCH (1U << 8)

_Static_assert(((HSI_HZ / CHIP_PLL_M) * CHIP_PLL_N) == (BOARD_CLOCK_HZ * CHIP_PLL_R), "the clock");
_Static_assert((HSI_HZ / CHIP_PLL_M) >= 8000000U, "the PLL's input range");

static uint32_t clock_hz = RESET_HZ;

/* After a jump from other firmware the PLL may be in use, and the booster on: the PLL can only be
 * set up while it is off, and the source of both while the booster is off too. */
static bool return_to_msi(void) {
  if ((*stm32_at(RCC_CFGR1) & SWITCHED) != 0U) {
    stm32_set(RCC_CR, MSI_ON);
    (void)stm32_wait(RCC_CR, MSI_READY, MSI_READY);
    stm32_change(RCC_CFGR1, SWITCH, 0U);
    if (!stm32_wait(RCC_CFGR1, SWITCHED, 0U)) {
      return false;
    }
  }
  stm32_change(RCC_CR, PLL_ON, 0U);
  if (!stm32_wait(RCC_CR, PLL_READY, 0U)) {
    return false;
  }
  stm32_set(RCC_AHB3ENR, POWER_CLOCK);
  if ((*stm32_at(PWR_VOSR) & BOOST) != 0U) {
    stm32_change(PWR_VOSR, BOOST, 0U);
  }
  return true;
}

/* The booster runs on the PLL's source, which must be there first. */
static bool raise_voltage(void) {
  stm32_change(PWR_VOSR, FIRST_RANGE, FIRST_RANGE);
  if (!stm32_wait(PWR_VOSR, RANGE_READY, RANGE_READY)) {
    return false;
  }
  stm32_set(PWR_VOSR, BOOST);
  return stm32_wait(PWR_VOSR, BOOST_READY, BOOST_READY);
}

static bool choose_source(void) {
  stm32_set(RCC_CR, HSI_ON);
  stm32_change(RCC_PLL1CFGR, PLL_FIELDS,
               PLL_HAS_OUTPUT_R | ((CHIP_PLL_M - 1U) << 8) | PLL_8_TO_16_MHZ | PLL_ON_HSI);
  stm32_change(RCC_PLL1DIVR, 0x7F0001FFU, ((CHIP_PLL_R - 1U) << 24) | (CHIP_PLL_N - 1U));
  return stm32_wait(RCC_CR, HSI_READY, HSI_READY);
}

static bool start_pll(void) {
  stm32_set(RCC_CR, PLL_ON);
  return stm32_wait(RCC_CR, PLL_READY, PLL_READY);
}

static bool set_wait_states(void) {
  stm32_change(FLASH_ACR, LATENCY, BOARD_FLASH_WAIT_STATES);
  return (*stm32_at(FLASH_ACR) & LATENCY) == BOARD_FLASH_WAIT_STATES;
}

/* All that the higher clock needs, and then the clock. */
static bool start_clock(void) {
  if (!return_to_msi() || !choose_source() || !raise_voltage() || !start_pll() ||
      !set_wait_states()) {
    return false;
  }
  stm32_change(RCC_CFGR2, 0x77FU, 0U); /* core and buses at the PLL's clock */
  stm32_change(RCC_CFGR1, SWITCH, SWITCH_TO_PLL);
  if (stm32_wait(RCC_CFGR1, SWITCHED, SWITCHED_TO_PLL)) {
    return true;
  }
  stm32_change(RCC_CFGR1, SWITCH, 0U);
  return false;
}

void chip_start(void) {
  clock_hz = start_clock() ? BOARD_CLOCK_HZ : RESET_HZ;
  stm32_set(FLASH_ACR, PREFETCH);
  stm32_set(ICACHE_CR, 1U);
  stm32_start_io(clock_hz);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
