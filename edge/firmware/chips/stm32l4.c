/* STM32L4 and L4+: the PLL on the chip's oscillator of 16 MHz, at the first range of voltage. */
#include "chip.h"

#define STM32_RCC 0x40021000U
#define STM32_GPIO 0x48000000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0x4CU)
#define STM32_GPIO_BIT 0U
#include "stm32.h"

#define RCC_CR STM32_RCC
#define RCC_CFGR (STM32_RCC + 0x08U)
#define RCC_PLLCFGR (STM32_RCC + 0x0CU)
#define RCC_APB1ENR1 (STM32_RCC + 0x58U)
#define PWR_CR1 0x40007000U
#define PWR_CR2 0x40007004U
#define PWR_SR2 0x40007014U
#define PWR_CR5 0x40007080U
#define FLASH_ACR 0x40022000U

#define RESET_HZ 4000000U
#define HSI_HZ 16000000U
#define MSI_ON (1U << 0)
#define MSI_READY (1U << 1)
#define MSI_RANGE ((15U << 4) | (1U << 3))
#define MSI_4_MHZ ((6U << 4) | (1U << 3))
#define HSI_ON (1U << 8)
#define HSI_READY (1U << 10)
#define PLL_ON (1U << 24)
#define PLL_READY (1U << 25)
#define PLL_ON_HSI 2U
#define PLL_HAS_OUTPUT_R (1U << 24)
#define PLL_FIELDS 0x07117FF3U /* R, outputs, N, M, source */
#define SWITCH 3U
#define SWITCH_TO_PLL 3U
#define SWITCHED (3U << 2)
#define SWITCHED_TO_PLL (3U << 2)
#define PRESCALERS 0x3FF0U
#define HALF_SPEED (8U << 4)
#define POWER_CLOCK (1U << 28)
#define RANGE (3U << 9)
#define FIRST_RANGE (1U << 9)
#define RANGE_CHANGES (1U << 10)
#define NO_BOOST (1U << 8)
#define PORT_G_POWER (1U << 9)
#define LATENCY 0xFU
#define PREFETCH_AND_CACHES (7U << 8)

_Static_assert(((HSI_HZ / CHIP_PLL_M) * CHIP_PLL_N) == (BOARD_CLOCK_HZ * 2U), "the PLL's clock");

static uint32_t clock_hz = RESET_HZ;

/* After a jump from other firmware the PLL may be in use, and can only be set up while it is not.
 */
static bool return_to_msi(void) {
  if ((*stm32_at(RCC_CFGR) & SWITCHED) != 0U) {
    stm32_set(RCC_CR, MSI_ON);
    (void)stm32_wait(RCC_CR, MSI_READY, MSI_READY);
    stm32_change(RCC_CR, MSI_RANGE, MSI_4_MHZ);
    stm32_change(RCC_CFGR, SWITCH, 0U);
    if (!stm32_wait(RCC_CFGR, SWITCHED, 0U)) {
      return false;
    }
  }
  stm32_change(RCC_CR, PLL_ON, 0U);
  return stm32_wait(RCC_CR, PLL_READY, 0U);
}

static bool raise_voltage(void) {
  stm32_set(RCC_APB1ENR1, POWER_CLOCK);
  stm32_change(PWR_CR1, RANGE, FIRST_RANGE);
  if (!stm32_wait(PWR_SR2, RANGE_CHANGES, 0U)) {
    return false;
  }
  if (CHIP_HAS_BOOST != 0U) {
    stm32_change(PWR_CR5, NO_BOOST, 0U);
  }
  return true;
}

static bool start_pll(void) {
  stm32_set(RCC_CR, HSI_ON);
  if (!stm32_wait(RCC_CR, HSI_READY, HSI_READY)) {
    return false;
  }
  stm32_change(RCC_PLLCFGR, PLL_FIELDS,
               PLL_HAS_OUTPUT_R | (CHIP_PLL_N << 8) | ((CHIP_PLL_M - 1U) << 4) | PLL_ON_HSI);
  stm32_set(RCC_CR, PLL_ON);
  return stm32_wait(RCC_CR, PLL_READY, PLL_READY);
}

static bool set_wait_states(void) {
  stm32_change(FLASH_ACR, LATENCY, BOARD_FLASH_WAIT_STATES);
  return (*stm32_at(FLASH_ACR) & LATENCY) == BOARD_FLASH_WAIT_STATES;
}

/* All that the higher clock needs, and then the clock: at half its speed first, as more than 80 MHz
 * asks for, for a microsecond and more. */
static bool start_clock(void) {
  if (!return_to_msi() || !raise_voltage() || !start_pll() || !set_wait_states()) {
    return false;
  }
  stm32_change(RCC_CFGR, PRESCALERS, HALF_SPEED);
  stm32_change(RCC_CFGR, SWITCH, SWITCH_TO_PLL);
  if (!stm32_wait(RCC_CFGR, SWITCHED, SWITCHED_TO_PLL)) {
    stm32_change(RCC_CFGR, PRESCALERS | SWITCH, 0U);
    return false;
  }
  for (uint32_t turn = 0U; turn < 200U; ++turn) {
    (void)*stm32_at(RCC_CFGR);
  }
  stm32_change(RCC_CFGR, PRESCALERS, 0U);
  return true;
}

void chip_start(void) {
  clock_hz = start_clock() ? BOARD_CLOCK_HZ : RESET_HZ;
  stm32_set(FLASH_ACR, PREFETCH_AND_CACHES);
  if (CHIP_HAS_PORT_G_SWITCH != 0U) {
    stm32_set(RCC_APB1ENR1, POWER_CLOCK);
    stm32_set(PWR_CR2, PORT_G_POWER);
  }
  stm32_start_io(clock_hz);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
