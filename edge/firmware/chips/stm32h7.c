/* STM32H7: the supply, its voltage, the first PLL, the core's caches, and the SRAM of domain 2. */
#include "chip.h"

#define STM32_RCC 0x58024400U
#define STM32_GPIO 0x58020000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0xE0U)
#define STM32_GPIO_BIT 0U
#include "cortex_m7.h"
#include "stm32.h"

#define RCC_CR STM32_RCC
#define RCC_CFGR (STM32_RCC + 0x10U)
#define RCC_D1CFGR (STM32_RCC + 0x18U)
#define RCC_D2CFGR (STM32_RCC + 0x1CU)
#define RCC_D3CFGR (STM32_RCC + 0x20U)
#define RCC_PLLCKSELR (STM32_RCC + 0x28U)
#define RCC_PLLCFGR (STM32_RCC + 0x2CU)
#define RCC_PLL1DIVR (STM32_RCC + 0x30U)
#define RCC_AHB2ENR (STM32_RCC + 0xDCU)
#define RCC_APB4ENR (STM32_RCC + 0xF4U)
#define PWR_CSR1 0x58024804U
#define PWR_CR3 0x5802480CU
#define PWR_D3CR 0x58024818U
#define SYSCFG_PWRCR 0x5800042CU
#define FLASH_ACR 0x52002000U

#define HSI_HZ 64000000U
#define HSI_ON (1U << 0)
#define HSI_READY (1U << 2)
#define HSI_DIVIDER (3U << 3)
#define HSE_ON (1U << 16)
#define HSE_READY (1U << 17)
#define HSE_BYPASS (1U << 18)
#define PLL_ON (1U << 24)
#define PLL_READY (1U << 25)
#define PLL_ON_HSE 2U
#define PLL_SOURCE_AND_M 0x3F3U
#define PLL_OUTPUTS_AND_RANGE 0x7000FU
#define PLL_4_TO_8_MHZ (2U << 2)
#define PLL_WIDE_WITH_P (1U << 16)
#define SWITCH 7U
#define SWITCH_TO_PLL 3U
#define SWITCHED (7U << 3)
#define SWITCHED_TO_PLL (3U << 3)
#define SUPPLY 7U
#define LDO_SUPPLY (1U << 1)
#define VOLTAGE_READY (1U << 13)
#define SCALE (3U << 14)
#define SYSCFG_CLOCK (1U << 1)
#define OVER_DRIVE 1U
#define LATENCY 0xFU
#define WRITE_DELAY (3U << 4)

#define PLL_HZ(n) ((CHIP_PLL_INPUT_HZ / CHIP_PLL_P) * (n))
#define PORT_DIVIDER (CHIP_AHB_DIVIDER * CHIP_APB_DIVIDER)

_Static_assert(PLL_HZ(CHIP_PLL_N) == BOARD_CLOCK_HZ, "the PLL's clock");
_Static_assert((CHIP_PLL_INPUT_HZ >= 4000000U) && (CHIP_PLL_INPUT_HZ < 8000000U), "its range");
_Static_assert((HSI_HZ % CHIP_PLL_INPUT_HZ) == 0U, "the PLL's input from the chip's oscillator");
_Static_assert((CHIP_HSE_HZ % CHIP_PLL_INPUT_HZ) == 0U, "the PLL's input from the board's clock");

static uint32_t clock_hz = HSI_HZ;
static uint32_t pll_n = CHIP_PLL_N;

/* A boot loader may have left the PLL in use, which can only be set up while it is not. */
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
  if (!stm32_wait(RCC_CR, PLL_READY, 0U)) {
    return false;
  }
  stm32_change(RCC_CR, HSI_DIVIDER, 0U); /* which keeps its value while a PLL runs on HSI */
  return true;
}

/* The supply is chosen once after power on, and by the board's wiring: where a boot loader has done
 * it, the board's file says 0. */
static bool raise_voltage(void) {
  if (CHIP_SUPPLY != 0U) {
    stm32_change(PWR_CR3, SUPPLY, CHIP_SUPPLY);
  }
  if (!stm32_wait(PWR_CSR1, VOLTAGE_READY, VOLTAGE_READY)) {
    return false;
  }
  stm32_change(PWR_D3CR, SCALE, SCALE);
  if (!stm32_wait(PWR_D3CR, VOLTAGE_READY, VOLTAGE_READY)) {
    return false;
  }
  if (CHIP_HAS_OVER_DRIVE == 0U) {
    return true;
  }
  if ((*stm32_at(PWR_CR3) & LDO_SUPPLY) == 0U) {
    pll_n = CHIP_PLL_N_WITHOUT_LDO;
    return true;
  }
  stm32_set(RCC_APB4ENR, SYSCFG_CLOCK);
  stm32_set(SYSCFG_PWRCR, OVER_DRIVE);
  return stm32_wait(PWR_D3CR, VOLTAGE_READY, VOLTAGE_READY);
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
  stm32_change(RCC_PLLCKSELR, PLL_SOURCE_AND_M, (is_on_hse ? PLL_ON_HSE : 0U) | (m << 4));
  stm32_change(RCC_PLLCFGR, PLL_OUTPUTS_AND_RANGE, PLL_4_TO_8_MHZ | PLL_WIDE_WITH_P);
  stm32_change(RCC_PLL1DIVR, 0xFFFFU, (pll_n - 1U) | ((CHIP_PLL_P - 1U) << 9));
  stm32_set(RCC_CR, PLL_ON);
  return stm32_wait(RCC_CR, PLL_READY, PLL_READY);
}

static bool set_wait_states(void) {
  stm32_change(FLASH_ACR, LATENCY | WRITE_DELAY,
               BOARD_FLASH_WAIT_STATES | (CHIP_FLASH_WRITE_DELAY << 4));
  return (*stm32_at(FLASH_ACR) & LATENCY) == BOARD_FLASH_WAIT_STATES;
}

static void divide_buses(uint32_t ahb, uint32_t apb) {
  stm32_change(RCC_D1CFGR, 0xF7FU, ahb | (apb << 4));
  stm32_change(RCC_D2CFGR, 0x770U, (apb << 4) | (apb << 8));
  stm32_change(RCC_D3CFGR, 0x70U, apb << 4);
}

/* All that the higher clock needs, and then the clock. */
static bool start_clock(void) {
  if (!return_to_hsi() || !raise_voltage() || !start_pll() || !set_wait_states()) {
    return false;
  }
  divide_buses((CHIP_AHB_DIVIDER == 1U) ? 0U : 8U, stm32_prescaler(CHIP_APB_DIVIDER));
  stm32_change(RCC_CFGR, SWITCH, SWITCH_TO_PLL);
  if (stm32_wait(RCC_CFGR, SWITCHED, SWITCHED_TO_PLL)) {
    return true;
  }
  stm32_change(RCC_CFGR, SWITCH, 0U);
  divide_buses(0U, 0U);
  return false;
}

void chip_start(void) {
  const bool is_fast = start_clock();
  clock_hz = is_fast ? PLL_HZ(pll_n) : HSI_HZ;
  stm32_set(RCC_AHB2ENR, CHIP_SRAM_CLOCKS);
  cortex_m7_start_caches();
  stm32_start_io(is_fast ? (clock_hz / PORT_DIVIDER) : HSI_HZ);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
