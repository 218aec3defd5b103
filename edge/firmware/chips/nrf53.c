/* Nordic's nRF5340, application core: trims, open debug port, cache, 128 MHz from the crystal, a
 * UARTE, a light. */
#include "board.h"
#include "chip.h"

#define AT(address) (*(volatile uint32_t *)(address))
#define BIT(pin) (1UL << ((pin)&31U))
#define PORT(pin) (0x50842500UL + (0x300UL * ((uint32_t)(pin) / 32U)))
#define OUT_SET 0x008UL
#define OUT_CLEAR 0x00CUL
#define DIR_SET 0x018UL
#define PIN_CONFIG(pin) AT(PORT(pin) + 0x200UL + (4UL * ((pin)&31U)))
#define PIN_PULLED_UP (3U << 2)

#define TRIM_ADDRESS(number) AT(0x00FF0300UL + (8UL * (number)))
#define TRIM_VALUE(number) AT(0x00FF0304UL + (8UL * (number)))
#define TRIMS 32U
#define NO_TRIM 0xFFFFFFFFU

#define NVMC_READY AT(0x50039400UL)
#define NVMC_CONFIG AT(0x50039504UL)
#define UICR_APPROTECT AT(0x00FF8000UL)
#define UICR_SECURE_APPROTECT AT(0x00FF801CUL)
#define APPROTECT_DISABLE AT(0x50006544UL)
#define SECURE_APPROTECT_DISABLE AT(0x5000654CUL)
#define ERASED 0xFFFFFFFFU
#define OPEN 0x50FA50FAU

#define CACHE_ENABLE AT(0x50001500UL)
#define CLOCK_START AT(0x50005000UL)
#define CLOCK_STARTED AT(0x50005100UL)
#define CLOCK_DIVIDER AT(0x50005558UL)
#define CLOCK_BY_1 0U
#define HALF_CLOCK_HZ (BOARD_CLOCK_HZ / 2U)

#define UART(offset) AT(0x50008000UL + (offset))
#define UART_START_RX UART(0x000UL)
#define UART_STOP_RX UART(0x004UL)
#define UART_START_TX UART(0x008UL)
#define UART_STOP_TX UART(0x00CUL)
#define UART_RX_END UART(0x110UL)
#define UART_TX_END UART(0x120UL)
#define UART_RX_STOPPED UART(0x144UL)
#define UART_ENABLE UART(0x500UL)
#define UART_SELECT_RTS UART(0x508UL)
#define UART_SELECT_TX UART(0x50CUL)
#define UART_SELECT_CTS UART(0x510UL)
#define UART_SELECT_RX UART(0x514UL)
#define UART_BAUD UART(0x524UL)
#define UART_RX_PLACE UART(0x534UL)
#define UART_RX_BYTES UART(0x538UL)
#define UART_TX_PLACE UART(0x544UL)
#define UART_TX_BYTES UART(0x548UL)
#define UART_CONFIG UART(0x56CUL)
#define UART_ON 8U
#define NO_PIN 0xFFFFFFFFU
#define BAUD_115200 0x01D60000U

/* The crystal takes up to some milliseconds; a byte 87 microseconds; a word of UICR 41. */
#define CRYSTAL_TURNS 400000U
#define BYTE_TURNS 40000U

static uint32_t clock_hz = HALF_CLOCK_HZ;

/* The port reads and writes memory by itself, a byte at a time here. */
static volatile uint8_t sent;
static volatile uint8_t received;

static bool wait_for(const volatile uint32_t *event, uint32_t turns) {
  for (uint32_t turn = 0U; turn < turns; ++turn) {
    if (*event != 0U) {
      return true;
    }
  }
  return false;
}

/* What was measured at the factory, which the chip leaves to the firmware to write. */
static void trim(void) {
  for (uint32_t number = 0U; number < TRIMS; ++number) {
    const uint32_t address = TRIM_ADDRESS(number);
    if ((address == NO_TRIM) || (address == 0U)) {
      return;
    }
    AT(address) = TRIM_VALUE(number);
  }
}

static void open_setting(volatile uint32_t *setting) {
  if (*setting == ERASED) {
    NVMC_CONFIG = 1U; /* write */
    *setting = OPEN;
    (void)wait_for(&NVMC_READY, CRYSTAL_TURNS);
    NVMC_CONFIG = 0U; /* read only */
  }
}

/* The debug port and that of the secure state are closed at each reset, unless the setting and this
 * register hold the same word; what an owner closed stays so. */
static void open_debug_port(void) {
  open_setting(&UICR_APPROTECT);
  open_setting(&UICR_SECURE_APPROTECT);
  APPROTECT_DISABLE = UICR_APPROTECT;
  SECURE_APPROTECT_DISABLE = UICR_SECURE_APPROTECT;
}

static void start_clock(void) {
  CLOCK_STARTED = 0U;
  CLOCK_START = 1U;
  if (wait_for(&CLOCK_STARTED, CRYSTAL_TURNS)) {
    CLOCK_DIVIDER = CLOCK_BY_1;
    clock_hz = BOARD_CLOCK_HZ;
  }
}

/* Pins are chosen while the port is off; other firmware may have left it receiving. */
static void stop_uart(void) {
  if (UART_ENABLE != 0U) {
    UART_RX_STOPPED = 0U;
    UART_STOP_TX = 1U;
    UART_STOP_RX = 1U;
    (void)wait_for(&UART_RX_STOPPED, BYTE_TURNS);
    UART_ENABLE = 0U;
  }
}

static void start_uart(void) {
  stop_uart();
  AT(PORT(UART_TX_PIN) + OUT_SET) = BIT(UART_TX_PIN);
  AT(PORT(UART_TX_PIN) + DIR_SET) = BIT(UART_TX_PIN);
  PIN_CONFIG(UART_RX_PIN) = PIN_PULLED_UP;
  UART_SELECT_RTS = NO_PIN;
  UART_SELECT_CTS = NO_PIN;
  UART_SELECT_TX = UART_TX_PIN;
  UART_SELECT_RX = UART_RX_PIN;
  UART_BAUD = BAUD_115200;
  UART_CONFIG = 0U; /* no parity, no flow control */
  UART_TX_PLACE = (uint32_t)(uintptr_t)&sent;
  UART_TX_BYTES = 1U;
  UART_RX_PLACE = (uint32_t)(uintptr_t)&received;
  UART_RX_BYTES = 1U;
  UART_ENABLE = UART_ON;
  UART_RX_END = 0U;
  UART_START_RX = 1U;
}

void chip_start(void) {
  trim();
  open_debug_port();
  CACHE_ENABLE = 1U;
  start_clock();
  start_uart();
  chip_led(false);
  AT(PORT(LED_PIN) + DIR_SET) = BIT(LED_PIN);
}

uint32_t chip_clock_hz(void) { return clock_hz; }

void chip_put(uint8_t byte) {
  sent = byte;
  UART_TX_END = 0U;
  __asm__ volatile("dsb" ::: "memory");
  UART_START_TX = 1U;
  (void)wait_for(&UART_TX_END, BYTE_TURNS);
}

bool chip_get(uint8_t *byte) {
  if (UART_RX_END == 0U) {
    return false;
  }
  UART_RX_END = 0U;
  *byte = received;
  __asm__ volatile("dsb" ::: "memory");
  UART_START_RX = 1U; /* the next ones wait in the port's own memory */
  return true;
}

void chip_led(bool is_on) {
  AT(PORT(LED_PIN) + ((is_on == (LED_LEVEL != 0U)) ? OUT_SET : OUT_CLEAR)) = BIT(LED_PIN);
}
