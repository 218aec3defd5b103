/* STM32F7: its PLL, the core's caches, and the prefetch of its flash. */
#include "chip.h"

#define STM32_RCC 0x40023800U
#define STM32_GPIO 0x40020000U
#define STM32_GPIO_CLOCKS (STM32_RCC + 0x30U)
#define STM32_GPIO_BIT 0U
#include "cortex_m7.h"
#include "stm32.h"
#include "stm32_over_drive.h"

/* Both serve the flash where it is seen at 0x00200000; at 0x08000000 the core's caches do. */
#define PREFETCH_AND_ACCELERATOR (3U << 8)

void chip_start(void) {
  const bool is_fast = start_clock();
  clock_hz = is_fast ? BOARD_CLOCK_HZ : HSI_HZ;
  stm32_set(FLASH_ACR, PREFETCH_AND_ACCELERATOR);
  cortex_m7_start_caches();
  stm32_start_io(is_fast ? (BOARD_CLOCK_HZ / PORT_DIVIDER) : HSI_HZ);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) { stm32_put(byte); }

bool chip_get(uint8_t *byte) { return stm32_get(byte); }

void chip_led(bool is_on) { stm32_led(is_on); }
