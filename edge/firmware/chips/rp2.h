/* What Raspberry Pi's RP2040 and RP2350 have in common: crystal, PLL, serial port, light. Before it
 * includes this file a chip's source says where its parts are:
 *   RP2_RESETS, RP2_CLOCKS, RP2_XOSC, RP2_PLL, RP2_IO, RP2_PADS, RP2_UART  their addresses
 *   RP2_RESET_PLL, RP2_RESET_PINS, RP2_RESET_UART                          their bits of RESET
 *   RP2_SIO_OUT_SET, RP2_SIO_OUT_CLEAR, RP2_SIO_OUTPUT                     registers of the SIO */
#ifndef RP2_H_
#define RP2_H_

#include "board.h"
#include "chip.h"

#define RP2_AT(address) (*(volatile uint32_t *)(address))

#define RP2_RESET RP2_AT(RP2_RESETS)
#define RP2_RESET_DONE RP2_AT(RP2_RESETS + 0x08UL)

#define RP2_XOSC_CONTROL RP2_AT(RP2_XOSC)
#define RP2_XOSC_STATUS RP2_AT(RP2_XOSC + 0x04UL)
#define RP2_XOSC_DELAY RP2_AT(RP2_XOSC + 0x0CUL)
#define RP2_XOSC_ON 0xFABAA0U /* enabled, 1 to 15 MHz */

#define RP2_PLL_STATUS RP2_AT(RP2_PLL)
#define RP2_PLL_POWER RP2_AT(RP2_PLL + 0x04UL)
#define RP2_PLL_MULTIPLIER RP2_AT(RP2_PLL + 0x08UL)
#define RP2_PLL_DIVIDERS RP2_AT(RP2_PLL + 0x0CUL)
#define RP2_PLL_VCO_ON 0x0CU /* the fractions and, as yet, the dividers stay off */
#define RP2_PLL_ALL_ON 0x04U
#define RP2_STABLE (1UL << 31)

#define RP2_REFERENCE (RP2_CLOCKS + 0x30UL)
#define RP2_SYSTEM (RP2_CLOCKS + 0x3CUL)
#define RP2_PERIPHERALS (RP2_CLOCKS + 0x48UL)
#define RP2_SELECTED 0x08UL
#define RP2_FROM_XOSC 2U
#define RP2_FROM_REFERENCE 0U
#define RP2_FROM_PLL 1U
#define RP2_CLOCK_ON (1UL << 11)

#define RP2_PIN_FUNCTION(pin) RP2_AT(RP2_IO + 0x04UL + (8UL * (pin)))
#define RP2_PIN_PAD(pin) RP2_AT(RP2_PADS + 0x04UL + (4UL * (pin)))
#define RP2_FUNCTION_UART 2U
#define RP2_FUNCTION_SIO 5U
#define RP2_PAD_PLAIN 0x52U   /* 4 mA, input and Schmitt trigger, no pull */
#define RP2_PAD_PULL_UP 0x5AU /* the same, pulled up */
#define RP2_SIO(offset) RP2_AT(0xD0000000UL + (offset))

#define RP2_UART_DATA RP2_AT(RP2_UART)
#define RP2_UART_FLAGS RP2_AT(RP2_UART + 0x18UL)
#define RP2_UART_EMPTY (1U << 4)
#define RP2_UART_FULL (1U << 5)
#define RP2_UART_BAUD RP2_AT(RP2_UART + 0x24UL)
#define RP2_UART_BAUD_64THS RP2_AT(RP2_UART + 0x28UL)
#define RP2_UART_LINE RP2_AT(RP2_UART + 0x2CUL)
#define RP2_UART_CONTROL RP2_AT(RP2_UART + 0x30UL)
#define RP2_BAUD 115200U

/* Some tens of milliseconds on the ring oscillator, of which a crystal takes up to twenty. */
#define RP2_TURNS 100000U

static uint32_t rp2_clock_hz = CHIP_RESET_HZ;

static bool rp2_wait(unsigned long address, uint32_t flags) {
  for (uint32_t turn = 0U; turn < RP2_TURNS; ++turn) {
    if ((RP2_AT(address) & flags) == flags) {
      return true;
    }
  }
  return false;
}

static void rp2_release(uint32_t parts) {
  RP2_RESET |= parts;
  RP2_RESET &= ~parts;
  (void)rp2_wait(RP2_RESETS + 0x08UL, parts);
}

/* Turns a clock to a source without a glitch; false if it did not turn. */
static bool rp2_turn(unsigned long clock, uint32_t source) {
  RP2_AT(clock) = source;
  return rp2_wait(clock + RP2_SELECTED, 1UL << source);
}

static bool rp2_start_pll(void) {
  rp2_release(RP2_RESET_PLL);
  RP2_PLL_STATUS = 1U; /* the crystal is not divided */
  RP2_PLL_MULTIPLIER = CHIP_PLL_MULTIPLIER;
  RP2_PLL_POWER = RP2_PLL_VCO_ON;
  if (!rp2_wait(RP2_PLL, RP2_STABLE)) {
    return false;
  }
  RP2_PLL_DIVIDERS = (CHIP_PLL_FIRST_DIVIDER << 16) | (CHIP_PLL_SECOND_DIVIDER << 12);
  RP2_PLL_POWER = RP2_PLL_ALL_ON;
  return true;
}

static void rp2_start_clock(void) {
  RP2_XOSC_DELAY = CHIP_XOSC_DELAY;
  RP2_XOSC_CONTROL = RP2_XOSC_ON;
  if (rp2_wait(RP2_XOSC + 0x04UL, RP2_STABLE) && rp2_turn(RP2_SYSTEM, RP2_FROM_REFERENCE) &&
      rp2_turn(RP2_REFERENCE, RP2_FROM_XOSC)) {
    rp2_clock_hz = CHIP_XOSC_HZ;
    if (rp2_start_pll() && rp2_turn(RP2_SYSTEM, RP2_FROM_PLL)) {
      rp2_clock_hz = BOARD_CLOCK_HZ;
    }
  }
  RP2_AT(RP2_PERIPHERALS) = RP2_CLOCK_ON; /* from the system's clock */
}

static void rp2_start_uart(void) {
  const uint32_t in_64ths = ((rp2_clock_hz * 4U) + (RP2_BAUD / 2U)) / RP2_BAUD;
  rp2_release(RP2_RESET_UART);
  RP2_UART_BAUD = in_64ths >> 6;
  RP2_UART_BAUD_64THS = in_64ths & 63U;
  RP2_UART_LINE = 0x70U;     /* eight bits, with the FIFO; takes the baud rate over */
  RP2_UART_CONTROL = 0x301U; /* on, sends, receives */
  RP2_PIN_PAD(UART_TX_PIN) = RP2_PAD_PLAIN;
  RP2_PIN_FUNCTION(UART_TX_PIN) = RP2_FUNCTION_UART;
  RP2_PIN_PAD(UART_RX_PIN) = RP2_PAD_PULL_UP;
  RP2_PIN_FUNCTION(UART_RX_PIN) = RP2_FUNCTION_UART;
}

void chip_start(void) {
  rp2_start_clock();
  rp2_release(RP2_RESET_PINS);
  rp2_start_uart();
  chip_led(false);
  RP2_SIO(RP2_SIO_OUTPUT) = 1UL << LED_PIN;
  RP2_PIN_PAD(LED_PIN) = RP2_PAD_PLAIN;
  RP2_PIN_FUNCTION(LED_PIN) = RP2_FUNCTION_SIO;
}

uint32_t chip_clock_hz(void) { return rp2_clock_hz; }

void chip_put(uint8_t byte) {
  for (uint32_t turn = 0U; (turn < RP2_TURNS) && ((RP2_UART_FLAGS & RP2_UART_FULL) != 0U); ++turn) {
  }
  RP2_UART_DATA = byte;
}

bool chip_get(uint8_t *byte) {
  if ((RP2_UART_FLAGS & RP2_UART_EMPTY) != 0U) {
    return false;
  }
  *byte = (uint8_t)RP2_UART_DATA;
  return true;
}

void chip_led(bool is_on) {
  RP2_SIO((is_on == (LED_LEVEL != 0U)) ? RP2_SIO_OUT_SET : RP2_SIO_OUT_CLEAR) = 1UL << LED_PIN;
}

#endif
