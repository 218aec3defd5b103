/* What the STM32 have in common: registers, waits that end, pins, the serial port, the light. A
 * family's source says before it includes this file where its parts differ:
 *   STM32_GPIO         the address of port A, the others follow every KiB
 *   STM32_GPIO_CLOCKS  the register that clocks the ports, port A at bit STM32_GPIO_BIT
 *   STM32_RCC          the address of the clock control, whose registers the board's file counts
 *   STM32_HAS_ONE_DR   the serial port is the older one, which has one data register */
#ifndef STM32_H_
#define STM32_H_

#include <stdbool.h>
#include <stdint.h>

#include "board.h"

#define STM32_BAUD 115200U

/* Looks at a flag before it is given up: more than 50 ms at any reset clock, which a crystal and
 * the probe's clock need less than. */
#define STM32_PATIENCE 100000U

#ifdef STM32_HAS_ONE_DR
#define STM32_USART_CR1 0x0CU
#define STM32_USART_BRR 0x08U
#define STM32_USART_STATUS 0x00U
#define STM32_USART_RDR 0x04U
#define STM32_USART_TDR 0x04U
#define STM32_USART_ON ((1U << 13) | (1U << 3) | (1U << 2)) /* UE, TE, RE */
#else
#define STM32_USART_CR1 0x00U
#define STM32_USART_BRR 0x0CU
#define STM32_USART_STATUS 0x1CU
#define STM32_USART_ICR 0x20U
#define STM32_USART_RDR 0x24U
#define STM32_USART_TDR 0x28U
#define STM32_USART_ON ((1U << 0) | (1U << 3) | (1U << 2)) /* UE, TE, RE */
#endif
#define STM32_USART_ORE (1U << 3)
#define STM32_USART_RXNE (1U << 5)
#define STM32_USART_TXE (1U << 7)

/* The port of low power divides a clock of 256 times its baud rate. */
#if BOARD_HAS_UART && defined(UART_IS_LOW_POWER)
#define STM32_BAUD_DIVIDER(hz) \
  ((((hz) / STM32_BAUD) * 256U) + ((((hz) % STM32_BAUD) * 256U) / STM32_BAUD))
#else
#define STM32_BAUD_DIVIDER(hz) (((hz) + (STM32_BAUD / 2U)) / STM32_BAUD)
#endif

#define STM32_MODER 0x00U
#define STM32_BSRR 0x18U
#define STM32_AFRL 0x20U
#define STM32_OUTPUT 1U
#define STM32_ALTERNATE 2U

static inline volatile uint32_t *stm32_at(uint32_t address) {
  return (volatile uint32_t *)(uintptr_t)address;
}

/* Writes some bits of a register, and reads them back: whatever follows finds them in force. */
static inline void stm32_change(uint32_t address, uint32_t mask, uint32_t value) {
  *stm32_at(address) = (*stm32_at(address) & ~mask) | value;
  (void)*stm32_at(address);
}

static inline void stm32_set(uint32_t address, uint32_t mask) { stm32_change(address, mask, mask); }

/* Waits for bits of a register; false if they did not come. */
static inline bool stm32_wait(uint32_t address, uint32_t mask, uint32_t value) {
  for (uint32_t turn = 0U; turn < STM32_PATIENCE; ++turn) {
    if ((*stm32_at(address) & mask) == value) {
      return true;
    }
  }
  return false;
}

/* 1, 2, 4, 8, 16 as the prescaler of a bus is written. */
static inline uint32_t stm32_prescaler(uint32_t divider) {
  uint32_t code = 0U;
  for (uint32_t rest = divider; rest > 1U; rest /= 2U) {
    code = (code == 0U) ? 4U : (code + 1U);
  }
  return code;
}

static inline uint32_t stm32_port(uint32_t port) { return STM32_GPIO + (0x400U * port); }

static inline void stm32_pin(uint32_t port, uint32_t pin, uint32_t mode, uint32_t function) {
  const uint32_t gpio = stm32_port(port);
  const uint32_t shift = 4U * (pin % 8U);
  stm32_set(STM32_GPIO_CLOCKS, 1U << (STM32_GPIO_BIT + port));
  stm32_change(gpio + STM32_AFRL + (4U * (pin / 8U)), 0xFU << shift, function << shift);
  stm32_change(gpio + STM32_MODER, 3U << (2U * pin), mode << (2U * pin));
}

static inline void stm32_led(bool is_on) {
#if BOARD_HAS_LED
  const bool is_high = is_on == (LED_IS_HIGH != 0U);
  *stm32_at(stm32_port(LED_PORT) + STM32_BSRR) = 1U << (LED_PIN + (is_high ? 0U : 16U));
#else
  (void)is_on;
#endif
}

/* Pins, light and serial port, which counts its bits with a clock of `port_hz`. */
static inline void stm32_start_io(uint32_t port_hz) {
#if BOARD_HAS_LED
  stm32_set(STM32_GPIO_CLOCKS, 1U << (STM32_GPIO_BIT + LED_PORT));
  stm32_led(false);
  stm32_pin(LED_PORT, LED_PIN, STM32_OUTPUT, 0U);
#endif
#if BOARD_HAS_UART
  stm32_set(STM32_RCC + UART_CLOCKS, 1U << UART_CLOCK_BIT);
  *stm32_at(UART_BASE + STM32_USART_BRR) = STM32_BAUD_DIVIDER(port_hz);
  *stm32_at(UART_BASE + STM32_USART_CR1) = STM32_USART_ON;
  stm32_pin(UART_TX_PORT, UART_TX_PIN, STM32_ALTERNATE, UART_TX_FUNCTION);
  stm32_pin(UART_RX_PORT, UART_RX_PIN, STM32_ALTERNATE, UART_RX_FUNCTION);
#else
  (void)port_hz;
#endif
}

/* A byte for which no room comes is lost. */
static inline void stm32_put(uint8_t byte) {
#if BOARD_HAS_UART
  if (stm32_wait(UART_BASE + STM32_USART_STATUS, STM32_USART_TXE, STM32_USART_TXE)) {
    *stm32_at(UART_BASE + STM32_USART_TDR) = byte;
  }
#else
  (void)byte;
#endif
}

static inline bool stm32_get(uint8_t *byte) {
#if BOARD_HAS_UART
  const uint32_t status = *stm32_at(UART_BASE + STM32_USART_STATUS);
#ifdef STM32_USART_ICR
  if ((status & STM32_USART_ORE) != 0U) {
    *stm32_at(UART_BASE + STM32_USART_ICR) = STM32_USART_ORE;
  }
#endif
  if ((status & STM32_USART_RXNE) != 0U) {
    *byte = (uint8_t)*stm32_at(UART_BASE + STM32_USART_RDR);
    return true;
  }
#endif
  (void)byte;
  return false;
}

#endif
