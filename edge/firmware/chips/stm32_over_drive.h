/* The clock of the STM32F4 and F7: the PLL on the board's clock, or on the chip's own where that
 * does not come up, with the voltage, the over-drive and the wait states that it needs. */
#ifndef STM32_OVER_DRIVE_H_
#define STM32_OVER_DRIVE_H_

#include "stm32.h"

#define RCC_CR STM32_RCC
#define RCC_PLLCFGR (STM32_RCC + 0x04U)
#define RCC_CFGR (STM32_RCC + 0x08U)
#define RCC_APB1ENR (STM32_RCC + 0x40U)
#define PWR_CR 0x40007000U
#define PWR_CSR 0x40007004U
#define FLASH_ACR 0x40023C00U

#define HSI_HZ 16000000U
#define HSI_ON (1U << 0)
#define HSI_READY (1U << 1)
#define HSE_ON (1U << 16)
#define HSE_READY (1U << 17)
#define HSE_BYPASS (1U << 18)
#define PLL_ON (1U << 24)
#define PLL_READY (1U << 25)
#define PLL_ON_HSE (1U << 22)
#define PLL_FIELDS 0x0F437FFFU /* Q, source, P, N, M */
#define PLL_SLOWEST_Q (15U << 24)
#define SWITCH 3U
#define SWITCH_TO_PLL 2U
#define SWITCHED (3U << 2)
#define SWITCHED_TO_PLL (2U << 2)
#define POWER_CLOCK (1U << 28)
#define SCALE_SHIFT 14U
#define SCALE_READY (1U << 14)
#define OVER_DRIVE (1U << 16)
#define OVER_DRIVE_SWITCH (1U << 17)
#define LATENCY 0xFU
#define PRESCALERS 0xFCF0U /* of the core and of both buses */

_Static_assert(((CHIP_PLL_INPUT_HZ / CHIP_PLL_P) * CHIP_PLL_N) == BOARD_CLOCK_HZ,
               "the PLL's clock");
_Static_assert((HSI_HZ % CHIP_PLL_INPUT_HZ) == 0U, "the PLL's input from the chip's oscillator");
_Static_assert((CHIP_HSE_HZ % CHIP_PLL_INPUT_HZ) == 0U, "the PLL's input from the board's clock");

#if BOARD_HAS_UART
#define PORT_DIVIDER ((UART_BUS == 1U) ? CHIP_APB1_DIVIDER : CHIP_APB2_DIVIDER)
#else
#define PORT_DIVIDER 1U
#endif

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
  stm32_change(RCC_CR, PLL_ON, 0U);
  return stm32_wait(RCC_CR, PLL_READY, 0U);
}

static bool start_hse(void) {
  if (CHIP_HSE_HZ == 0U) {
    return false;
  }
  stm32_change(RCC_CR, HSE_ON, 0U);
  stm32_change(RCC_CR, HSE_BYPASS, (CHIP_HSE_IS_BYPASS != 0U) ? HSE_BYPASS : 0U);
  stm32_set(RCC_CR, HSE_ON);
  if (stm32_wait(RCC_CR, HSE_READY, HSE_READY)) {
    return true;
  }
  stm32_change(RCC_CR, HSE_ON, 0U);
  return false;
}

static bool start_pll(void) {
  const bool is_on_hse = start_hse();
  const uint32_t m = (is_on_hse ? CHIP_HSE_HZ : HSI_HZ) / CHIP_PLL_INPUT_HZ;
  stm32_change(RCC_PLLCFGR, PLL_FIELDS,
               PLL_SLOWEST_Q | (is_on_hse ? PLL_ON_HSE : 0U) | (((CHIP_PLL_P / 2U) - 1U) << 16) |
                   (CHIP_PLL_N << 6) | m);
  /* The core's voltage, which is ready once the PLL is on. */
  stm32_set(RCC_APB1ENR, POWER_CLOCK);
  stm32_change(PWR_CR, CHIP_VOLTAGE_SCALE_MASK << SCALE_SHIFT, CHIP_VOLTAGE_SCALE << SCALE_SHIFT);
  stm32_set(RCC_CR, PLL_ON);
  return stm32_wait(RCC_CR, PLL_READY, PLL_READY) && stm32_wait(PWR_CSR, SCALE_READY, SCALE_READY);
}

static bool start_over_drive(void) {
  if (CHIP_HAS_OVER_DRIVE == 0U) {
    return true;
  }
  stm32_set(PWR_CR, OVER_DRIVE);
  if (!stm32_wait(PWR_CSR, OVER_DRIVE, OVER_DRIVE)) {
    return false;
  }
  stm32_set(PWR_CR, OVER_DRIVE_SWITCH);
  return stm32_wait(PWR_CSR, OVER_DRIVE_SWITCH, OVER_DRIVE_SWITCH);
}

static bool set_wait_states(void) {
  stm32_change(FLASH_ACR, LATENCY, BOARD_FLASH_WAIT_STATES);
  return (*stm32_at(FLASH_ACR) & LATENCY) == BOARD_FLASH_WAIT_STATES;
}

/* All that the higher clock needs, and then the clock. */
static bool start_clock(void) {
  if (!return_to_hsi() || !start_pll() || !start_over_drive() || !set_wait_states()) {
    return false;
  }
  stm32_change(
      RCC_CFGR, PRESCALERS,
      (stm32_prescaler(CHIP_APB1_DIVIDER) << 10) | (stm32_prescaler(CHIP_APB2_DIVIDER) << 13));
  stm32_change(RCC_CFGR, SWITCH, SWITCH_TO_PLL);
  if (stm32_wait(RCC_CFGR, SWITCHED, SWITCHED_TO_PLL)) {
    return true;
  }
  stm32_change(RCC_CFGR, PRESCALERS | SWITCH, 0U);
  return false;
}

#endif
