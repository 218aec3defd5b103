/* NXP's i.MX RT1062: 600 MHz behind a raised core voltage, caches, an LPUART, a light. */
#include "board.h"
#include "chip.h"
#include "imxrt1062_boot.h"

#define AT(address) (*(volatile uint32_t *)(address))
#define HALF_AT(address) (*(volatile uint16_t *)(address))

#define DCDC_STATUS AT(0x40080000UL)
#define DCDC_OK (1UL << 31)
#define DCDC_TARGET AT(0x4008000CUL)
#define DCDC_TARGET_BITS 0x1FU
#define DCDC_1250_MILLIVOLTS 0x12U /* 800 and 18 times 25 */

#define CCM(offset) AT(0x400FC000UL + (offset))
#define CORE_DIVIDER CCM(0x10UL)
#define DIVIDERS CCM(0x14UL)
#define AHB_DIVIDER (7U << 10)
#define BUS_DIVIDER (3U << 8)
#define FROM_SECOND (1U << 25)
#define SECOND_DIVIDER (7U << 27)
#define SOURCES CCM(0x18UL)
#define SECOND_SOURCE (3U << 12)
#define SECOND_FROM_CRYSTAL (1U << 12)
#define FIRST_FROM_CORE_PLL (3U << 18)
#define SERIAL_CLOCK CCM(0x24UL)
#define SERIAL_DIVIDER 0x3FU
#define SERIAL_FROM_CRYSTAL (1U << 6)
#define HANDSHAKES CCM(0x48UL)
#define BUSY_SOURCE (1U << 5)
#define BUSY_AHB (1U << 1)
#define BUSY_CORE (1U << 16)
#define GATES(number) CCM(0x68UL + (4UL * (number)))

#define CORE_PLL AT(0x400D8000UL)
#define PLL_DOWN (1U << 12)
#define PLL_ON (1U << 13)
#define PLL_LOCKED (1UL << 31)
#define CRYSTAL_HZ 24000000U

#define WATCHDOG_1_POWER_DOWN HALF_AT(0x400B8008UL)
#define WATCHDOG_2_POWER_DOWN HALF_AT(0x400D0008UL)
#define WATCHDOG_3_STATUS AT(0x400BC000UL)
#define WATCHDOG_3_COUNT AT(0x400BC004UL)
#define WATCHDOG_3_LIMIT AT(0x400BC008UL)
#define WATCHDOG_3_ON (1U << 7)
#define WATCHDOG_3_UPDATE (1U << 5)
#define WATCHDOG_3_KEY 0xD928C520U

#define CACHE_CONTROL AT(0xE000ED14UL)
#define CACHE_INSTRUCTIONS (1U << 17)
#define CACHE_DATA (1U << 16)
#define CACHE_SIZES AT(0xE000ED80UL)
#define CACHE_SELECT AT(0xE000ED84UL)
#define CACHE_DROP_INSTRUCTIONS AT(0xE000EF50UL)
#define CACHE_DROP_LINE AT(0xE000EF60UL)

#define MUX(offset) AT(0x401F8000UL + (offset))
#define UART(offset) AT(0x40198000UL + (offset)) /* LPUART6 */
#define UART_RATE UART(0x10UL)
#define UART_STATUS UART(0x14UL)
#define UART_EMPTY (1U << 23)
#define UART_RECEIVED (1U << 21)
#define UART_OVERRUN (1U << 19)
#define UART_CONTROL UART(0x18UL)
#define UART_SENDS_AND_RECEIVES (3U << 18)
#define UART_DATA UART(0x1CUL)
#define UART_OVERSAMPLING 16U
#define BAUD 115200U

#define GPIO2(offset) AT(0x401BC000UL + (offset))
#define GPIO2_OUTPUT GPIO2(0x04UL)
#define GPIO2_SET GPIO2(0x84UL)
#define GPIO2_CLEAR GPIO2(0x88UL)
#define PAD_DRIVE (6U << 3)
#define PAD_PULL_UP ((1U << 16) | (3U << 14) | (1U << 13) | (1U << 12)) /* 22 kohm, hysteresis */

/* A PLL locks within some 60 microseconds, the voltage settles within one millisecond. */
#define TURNS 200000U

static uint32_t clock_hz = CHIP_RESET_HZ;

static bool wait_for(const volatile uint32_t *word, uint32_t flags, uint32_t value) {
  for (uint32_t turn = 0U; turn < TURNS; ++turn) {
    if ((*word & flags) == value) {
      return true;
    }
  }
  return false;
}

static void barrier(void) { __asm__ volatile("dsb\n\tisb" ::: "memory"); }

static void stop_watchdogs(void) {
  WATCHDOG_1_POWER_DOWN = 0U;
  WATCHDOG_2_POWER_DOWN = 0U;
  if ((WATCHDOG_3_STATUS & WATCHDOG_3_ON) != 0U) {
    WATCHDOG_3_COUNT = WATCHDOG_3_KEY;
    WATCHDOG_3_LIMIT = 0xFFFFU;
    WATCHDOG_3_STATUS = (WATCHDOG_3_STATUS & ~WATCHDOG_3_ON) | WATCHDOG_3_UPDATE;
  }
}

static void start_caches(void) {
  if ((CACHE_CONTROL & CACHE_INSTRUCTIONS) == 0U) {
    CACHE_DROP_INSTRUCTIONS = 0U;
    barrier();
    CACHE_CONTROL |= CACHE_INSTRUCTIONS;
  }
  if ((CACHE_CONTROL & CACHE_DATA) == 0U) {
    CACHE_SELECT = 0U;
    barrier();
    const uint32_t sizes = CACHE_SIZES;
    for (uint32_t set = 0U; set <= ((sizes >> 13) & 0x7FFFU); ++set) {
      for (uint32_t way = 0U; way <= ((sizes >> 3) & 3U); ++way) {
        CACHE_DROP_LINE = (way << 30) | (set << 5);
      }
    }
    barrier();
    CACHE_CONTROL |= CACHE_DATA;
  }
  barrier();
}

/* The voltage first; then the core waits on the crystal while its PLL starts. */
static void start_clock(void) {
  GATES(6U) |= 3U << 6;
  DCDC_TARGET = (DCDC_TARGET & ~DCDC_TARGET_BITS) | DCDC_1250_MILLIVOLTS;
  if (!wait_for(&DCDC_STATUS, DCDC_OK, DCDC_OK)) {
    return;
  }
  DIVIDERS &= ~SECOND_DIVIDER;
  SOURCES = (SOURCES & ~SECOND_SOURCE) | SECOND_FROM_CRYSTAL;
  DIVIDERS |= FROM_SECOND;
  if (!wait_for(&HANDSHAKES, BUSY_SOURCE, 0U)) {
    return;
  }
  clock_hz = CRYSTAL_HZ;
  CORE_PLL = PLL_DOWN;
  CORE_PLL = PLL_ON | CHIP_PLL_MULTIPLIER;
  if (!wait_for(&CORE_PLL, PLL_LOCKED, PLL_LOCKED)) {
    return;
  }
  CORE_DIVIDER = CHIP_CORE_DIVIDER - 1U;
  DIVIDERS = (DIVIDERS & ~(AHB_DIVIDER | BUS_DIVIDER)) | ((CHIP_BUS_DIVIDER - 1U) << 8);
  SOURCES |= FIRST_FROM_CORE_PLL;
  if (wait_for(&HANDSHAKES, BUSY_CORE | BUSY_AHB, 0U)) {
    DIVIDERS &= ~FROM_SECOND;
    (void)wait_for(&HANDSHAKES, BUSY_SOURCE, 0U);
    clock_hz = BOARD_CLOCK_HZ;
  }
}

/* Pins 1 and 0, which are GPIO_AD_B0_02 and 03: the port runs on the crystal at any core clock. */
static void start_uart(void) {
  SERIAL_CLOCK = (SERIAL_CLOCK & ~SERIAL_DIVIDER) | SERIAL_FROM_CRYSTAL;
  GATES(3U) |= 3U << 6;
  MUX(0x0C4UL) = 2U;
  MUX(0x0C8UL) = 2U;
  MUX(0x2B4UL) = PAD_DRIVE;
  MUX(0x2B8UL) = PAD_DRIVE | PAD_PULL_UP;
  MUX(0x550UL) = 1U; /* what it receives comes from that pad */
  MUX(0x554UL) = 1U;
  UART_CONTROL = 0U;
  UART_RATE = ((UART_OVERSAMPLING - 1U) << 24) |
              ((CRYSTAL_HZ + (UART_OVERSAMPLING * BAUD / 2U)) / (UART_OVERSAMPLING * BAUD));
  UART_CONTROL = UART_SENDS_AND_RECEIVES;
}

/* Pin 13, which is GPIO_B0_03. */
static void start_led(void) {
  GATES(0U) |= 3UL << 30;
  MUX(0x148UL) = 5U;
  MUX(0x338UL) = PAD_DRIVE;
  chip_led(false);
  GPIO2_OUTPUT |= 1UL << LED_PIN;
}

void chip_start(void) {
  stop_watchdogs();
  start_caches();
  start_clock();
  start_uart();
  start_led();
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) {
  (void)wait_for(&UART_STATUS, UART_EMPTY, UART_EMPTY);
  UART_DATA = byte;
}

bool chip_get(uint8_t *byte) {
  const uint32_t status = UART_STATUS;
  if ((status & UART_OVERRUN) != 0U) {
    UART_STATUS = UART_OVERRUN; /* until then nothing more comes in */
  }
  if ((status & UART_RECEIVED) == 0U) {
    return false;
  }
  *byte = (uint8_t)UART_DATA;
  return true;
}

void chip_led(bool is_on) {
  if (is_on == (LED_LEVEL != 0U)) {
    GPIO2_SET = 1UL << LED_PIN;
  } else {
    GPIO2_CLEAR = 1UL << LED_PIN;
  }
}
