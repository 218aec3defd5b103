/* Microchip's SAMD21: 48 MHz of the DFLL from the watch crystal, a SERCOM as UART, a light. */
#include "board.h"
#include "chip.h"

#define BYTE_AT(address) (*(volatile uint8_t *)(address))
#define HALF_AT(address) (*(volatile uint16_t *)(address))
#define WORD_AT(address) (*(volatile uint32_t *)(address))

#define NVM_CONTROL WORD_AT(0x41004004UL)
#define NVM_MANUAL_WRITE (1U << 7)
#define NVM_WAIT_STATES (1U << 1)

#define CLOCKS_READY WORD_AT(0x4000080CUL)
#define XOSC32K_READY (1U << 1)
#define OSC8M_READY (1U << 3)
#define DFLL_READY (1U << 4)
#define DFLL_LOCKED (3U << 6) /* coarse and fine */
#define XOSC32K HALF_AT(0x40000814UL)
#define XOSC32K_CRYSTAL ((6U << 8) | (1U << 3) | (1U << 2))
#define OSC8M WORD_AT(0x40000820UL)
#define OSC8M_DIVIDER (3U << 8)
#define OSC8M_ON_DEMAND (1U << 7)
#define OSC8M_HZ 8000000U
#define DFLL_CONTROL HALF_AT(0x40000824UL)
#define DFLL_MULTIPLY WORD_AT(0x4000082CUL)
#define ENABLE (1U << 1)
#define DFLL_CLOSED_LOOP (1U << 2)
#define DFLL_NO_QUICK_LOCK (1U << 9)
#define DFLL_WAIT_LOCK (1U << 11)
#define CRYSTAL_HZ 32768U

#define GCLK_STATUS BYTE_AT(0x40000C01UL)
#define GCLK_BUSY (1U << 7)
#define GCLK_CLOCK HALF_AT(0x40000C02UL)
#define GCLK_GENERATOR WORD_AT(0x40000C04UL)
#define GCLK_DIVIDER WORD_AT(0x40000C08UL)
#define FROM_XOSC32K (5U << 8)
#define FROM_OSC8M (6U << 8)
#define FROM_DFLL (7U << 8)
#define GENERATOR_ON (1U << 16)
#define CLOCK_OF_DFLL 0U
#define CLOCK_OF_UART (0x14U + UART_SERCOM)
#define CLOCK_ON (1U << 14)

#define APB_C WORD_AT(0x40000420UL)

#define PORT(pin, offset) (0x41004400UL + (0x80UL * ((uint32_t)(pin) / 32U)) + (offset))
#define BIT(pin) (1UL << ((pin)&31U))
#define DIR_SET 0x08UL
#define OUT_CLEAR 0x14UL
#define OUT_SET 0x18UL
#define PIN_FUNCTION(pin) BYTE_AT(PORT(pin, 0x30UL + (((pin)&31U) / 2U)))
#define PIN_CONFIG(pin) BYTE_AT(PORT(pin, 0x40UL + ((pin)&31U)))
#define PIN_HAS_FUNCTION 1U
#define PIN_READS 2U

#define UART(offset) (0x42000800UL + (0x400UL * UART_SERCOM) + (offset))
#define UART_CONTROL_A WORD_AT(UART(0x00UL))
#define UART_CONTROL_B WORD_AT(UART(0x04UL))
#define UART_BAUD HALF_AT(UART(0x0CUL))
#define UART_FLAGS BYTE_AT(UART(0x18UL))
#define UART_BUSY WORD_AT(UART(0x1CUL))
#define UART_DATA HALF_AT(UART(0x28UL))
#define UART_RESET 1U
#define UART_LSB_FIRST (1U << 30)
#define UART_INTERNAL_CLOCK (1U << 2)
#define UART_SENDS_AND_RECEIVES (3U << 16)
#define UART_EMPTY 1U
#define UART_RECEIVED (1U << 2)
#define BAUD 115200U

/* The crystal takes up to a second, at 8 MHz; all else some microseconds. */
#define CRYSTAL_TURNS 1000000U
#define TURNS 100000U

static uint32_t clock_hz = OSC8M_HZ;

static bool wait_for(uint32_t flags, uint32_t turns) {
  for (uint32_t turn = 0U; turn < turns; ++turn) {
    if ((CLOCKS_READY & flags) == flags) {
      return true;
    }
  }
  return false;
}

static void generate(uint32_t generator, uint32_t source) {
  GCLK_DIVIDER = generator;
  GCLK_GENERATOR = GENERATOR_ON | source | generator;
  for (uint32_t turn = 0U; (turn < TURNS) && ((GCLK_STATUS & GCLK_BUSY) != 0U); ++turn) {
  }
}

static void feed(uint32_t clock, uint32_t generator) {
  GCLK_CLOCK = (uint16_t)(CLOCK_ON | (generator << 8) | clock);
  for (uint32_t turn = 0U; (turn < TURNS) && ((GCLK_STATUS & GCLK_BUSY) != 0U); ++turn) {
  }
}

/* Whether the DFLL runs at 48 MHz: locked to the crystal, which generator 1 hands it. */
static bool start_dfll(void) {
  XOSC32K = XOSC32K_CRYSTAL;
  XOSC32K = XOSC32K_CRYSTAL | ENABLE;
  if (!wait_for(XOSC32K_READY, CRYSTAL_TURNS)) {
    return false;
  }
  generate(1U, FROM_XOSC32K);
  feed(CLOCK_OF_DFLL, 1U);
  /* On demand, as it is after reset, the DFLL must not be set up: erratum 9905. */
  DFLL_CONTROL = ENABLE;
  if (!wait_for(DFLL_READY, TURNS)) {
    return false;
  }
  DFLL_MULTIPLY = (31U << 26) | (511U << 16) | ((BOARD_CLOCK_HZ + (CRYSTAL_HZ / 2U)) / CRYSTAL_HZ);
  if (!wait_for(DFLL_READY, TURNS)) {
    return false;
  }
  DFLL_CONTROL = ENABLE | DFLL_CLOSED_LOOP | DFLL_NO_QUICK_LOCK | DFLL_WAIT_LOCK;
  return wait_for(DFLL_READY | DFLL_LOCKED, CRYSTAL_TURNS);
}

static void start_clock(void) {
  NVM_CONTROL = NVM_MANUAL_WRITE | NVM_WAIT_STATES;
  OSC8M &= ~(OSC8M_DIVIDER | OSC8M_ON_DEMAND);
  (void)wait_for(OSC8M_READY, TURNS);
  generate(0U, FROM_OSC8M);
  if (start_dfll()) {
    generate(0U, FROM_DFLL);
    clock_hz = BOARD_CLOCK_HZ;
  }
}

static void give_function(uint32_t pin, uint32_t config) {
  const uint32_t shift = ((pin & 1U) != 0U) ? 4U : 0U;
  const uint32_t rest = PIN_FUNCTION(pin) & ~(0xFU << shift);
  PIN_FUNCTION(pin) = (uint8_t)(rest | (UART_FUNCTION << shift));
  PIN_CONFIG(pin) = (uint8_t)config;
}

/* 65,536 x (1 - 16 x baud / clock), in steps that fit 32 bits: the clock in units of 64 Hz. */
static uint32_t baud_word(void) {
  return 65536U - ((((16U * BAUD) / 64U) << 16) / (clock_hz / 64U));
}

static void start_uart(void) {
  APB_C |= 1UL << (2U + UART_SERCOM);
  feed(CLOCK_OF_UART, 0U);
  UART_CONTROL_A = UART_RESET;
  for (uint32_t turn = 0U; (turn < TURNS) && (UART_BUSY != 0U); ++turn) {
  }
  give_function(UART_TX_PIN, PIN_HAS_FUNCTION);
  give_function(UART_RX_PIN, PIN_HAS_FUNCTION | PIN_READS);
  UART_CONTROL_A =
      UART_LSB_FIRST | (UART_RX_PAD << 20) | (UART_TX_PADS << 16) | UART_INTERNAL_CLOCK;
  UART_CONTROL_B = UART_SENDS_AND_RECEIVES;
  UART_BAUD = (uint16_t)baud_word();
  UART_CONTROL_A |= ENABLE;
  for (uint32_t turn = 0U; (turn < TURNS) && (UART_BUSY != 0U); ++turn) {
  }
}

void chip_start(void) {
  start_clock();
  start_uart();
  chip_led(false);
  WORD_AT(PORT(LED_PIN, DIR_SET)) = BIT(LED_PIN);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) {
  for (uint32_t turn = 0U; (turn < TURNS) && ((UART_FLAGS & UART_EMPTY) == 0U); ++turn) {
  }
  UART_DATA = byte;
}

bool chip_get(uint8_t *byte) {
  if ((UART_FLAGS & UART_RECEIVED) == 0U) {
    return false;
  }
  *byte = (uint8_t)UART_DATA;
  return true;
}

void chip_led(bool is_on) {
  WORD_AT(PORT(LED_PIN, (is_on == (LED_LEVEL != 0U)) ? OUT_SET : OUT_CLEAR)) = BIT(LED_PIN);
}
