/* Nordic's nRF51 and nRF52: crystal, instruction cache, open debug port, serial port, light. */
#include "board.h"
#include "chip.h"

#define REGISTER(address) (*(volatile uint32_t *)(address))
#define PIN(number) (1UL << ((number)&31U))
#define GPIO(number) (0x50000000UL + (0x300UL * ((uint32_t)(number) / 32U)))
#define OUT_SET 0x508UL
#define OUT_CLEAR 0x50CUL
#define DIR_SET 0x518UL
#define PIN_CONFIG(number) REGISTER(GPIO(number) + 0x700UL + (4UL * ((number)&31U)))

#define CLOCK_START REGISTER(0x40000000UL)
#define CLOCK_STARTED REGISTER(0x40000100UL)

#define UART(offset) REGISTER(0x40002000UL + (offset))
#define UART_START_RX UART(0x000UL)
#define UART_START_TX UART(0x008UL)
#define UART_RX_READY UART(0x108UL)
#define UART_TX_READY UART(0x11CUL)
#define UART_ENABLE UART(0x500UL)
#define UART_SELECT_RTS UART(0x508UL)
#define UART_SELECT_TX UART(0x50CUL)
#define UART_SELECT_CTS UART(0x510UL)
#define UART_SELECT_RX UART(0x514UL)
#define UART_RX UART(0x518UL)
#define UART_TX UART(0x51CUL)
#define UART_BAUD UART(0x524UL)
#define UART_CONFIG UART(0x56CUL)
#define UART_ON 4U
#define NO_PIN 0xFFFFFFFFU
#define BAUD_115200 0x01D7E000U

/* The crystal takes up to some milliseconds; a byte 87 microseconds. */
#define CRYSTAL_TURNS 200000U
#define BYTE_TURNS 20000U

static bool wait_for(volatile uint32_t *event, uint32_t turns) {
  for (uint32_t turn = 0U; turn < turns; ++turn) {
    if (*event != 0U) {
      return true;
    }
  }
  return false;
}

#ifdef CHIP_HARDENED_FROM
#define NVMC_READY REGISTER(0x4001E400UL)
#define NVMC_CONFIG REGISTER(0x4001E504UL)
#define NVMC_CACHE REGISTER(0x4001E540UL)
#define REVISION_OF REGISTER(0x10000130UL)
#define REVISION REGISTER(0x10000134UL)
#define UICR_APPROTECT REGISTER(0x10001208UL)
#define APPROTECT_DISABLE REGISTER(0x40000558UL)
#define ERASED 0xFFFFFFFFU
#define OPEN 0x5AU

/* Later silicon closes its debug port at each reset unless both of these hold the word that opens
 * it; the earlier reads the same word as closed, so it is not written there. */
static void open_debug_port(void) {
  if ((REVISION_OF != CHIP_REVISION_OF) || (REVISION < CHIP_HARDENED_FROM)) {
    return;
  }
  if (UICR_APPROTECT == ERASED) {
    NVMC_CONFIG = 1U; /* write */
    UICR_APPROTECT = 0xFFFFFF00U | OPEN;
    (void)wait_for(&NVMC_READY, CRYSTAL_TURNS);
    NVMC_CONFIG = 0U; /* read only */
  }
  if ((UICR_APPROTECT & 0xFFU) == OPEN) {
    APPROTECT_DISABLE = OPEN;
  }
}
#endif

/* The high clock runs at full speed from its own oscillator too; a serial port needs the crystal's
 * precision. */
static void start_clock(void) {
  CLOCK_STARTED = 0U;
  CLOCK_START = 1U;
  (void)wait_for(&CLOCK_STARTED, CRYSTAL_TURNS);
}

static void start_uart(void) {
  if (UART_ENABLE != 0U) { /* left on by other firmware: pins are chosen while it is off */
    UART_ENABLE = 0U;
  }
  REGISTER(GPIO(UART_TX_PIN) + OUT_SET) = PIN(UART_TX_PIN);
  REGISTER(GPIO(UART_TX_PIN) + DIR_SET) = PIN(UART_TX_PIN);
  PIN_CONFIG(UART_RX_PIN) = 3U << 2; /* input, pulled up */
  UART_SELECT_RTS = NO_PIN;
  UART_SELECT_CTS = NO_PIN;
  UART_SELECT_TX = UART_TX_PIN;
  UART_SELECT_RX = UART_RX_PIN;
  UART_BAUD = BAUD_115200;
  UART_CONFIG = 0U; /* no parity, no flow control */
  UART_ENABLE = UART_ON;
  UART_RX_READY = 0U;
  UART_START_TX = 1U;
  UART_START_RX = 1U;
}

static void start_led(void) {
#ifdef LED_RETURN_PIN
  REGISTER(GPIO(LED_RETURN_PIN) + OUT_CLEAR) = PIN(LED_RETURN_PIN);
  REGISTER(GPIO(LED_RETURN_PIN) + DIR_SET) = PIN(LED_RETURN_PIN);
#endif
  chip_led(false);
  REGISTER(GPIO(LED_PIN) + DIR_SET) = PIN(LED_PIN);
}

void chip_start(void) {
#ifdef CHIP_HARDENED_FROM
  NVMC_CACHE = 1U;
  open_debug_port();
#endif
  start_clock();
  start_uart();
  start_led();
}

uint32_t chip_clock_hz(void) { return BOARD_CLOCK_HZ; }

void chip_put(uint8_t byte) {
  UART_TX_READY = 0U;
  UART_TX = byte;
  (void)wait_for(&UART_TX_READY, BYTE_TURNS);
}

bool chip_get(uint8_t *byte) {
  if (UART_RX_READY == 0U) {
    return false;
  }
  UART_RX_READY = 0U; /* before the byte is taken, which lets in the next */
  *byte = (uint8_t)UART_RX;
  return true;
}

void chip_led(bool is_on) {
  REGISTER(GPIO(LED_PIN) + ((is_on == (LED_LEVEL != 0U)) ? OUT_SET : OUT_CLEAR)) = PIN(LED_PIN);
}
