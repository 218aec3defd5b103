/* A chip that runs as it comes out of reset, and says nothing. */
#include "board.h"
#include "chip.h"

void chip_start(void) {}

uint32_t chip_clock_hz(void) { return BOARD_CLOCK_HZ; }

void chip_put(uint8_t byte) { (void)byte; }

bool chip_get(uint8_t *byte) {
  (void)byte;
  return false;
}

void chip_led(bool is_on) { (void)is_on; }
