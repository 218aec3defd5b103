/* STM32F4: its PLL, the accelerator of its flash, and its older serial port. */
#include "chip.h"

#define STM32_RCC 0x40023800U
#define STM32_GPIO 0x40020000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0x30U)
#define STM32_GPIO_BIT 0U
#define STM32_HAS_ONE_DR
#include "stm32.h"
#include "stm32_over_drive.h"

#define PREFETCH_AND_CACHES (7U << 8)

void chip_start(void) {
  const bool is_fast = start_clock();
  clock_hz = is_fast ? BOARD_CLOCK_HZ : HSI_HZ;
  stm32_set(FLASH_ACR, PREFETCH_AND_CACHES);
  stm32_start_io(is_fast ? (BOARD_CLOCK_HZ / PORT_DIVIDER) : HSI_HZ);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
