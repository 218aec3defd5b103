/* What a chip's source offers to the firmware; chip_*.c, one a family, has it. */
#ifndef CHIP_H_
#define CHIP_H_

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Full clock, caches, watchdog, serial port and light: before main, once data is in place. A clock
 * that does not come up within its limit leaves the chip on the one that it had. */
void chip_start(void);

/* The core's clock as chip_start left it, in Hz. */
uint32_t chip_clock_hz(void);

/* Sends a byte, once there is room for it; nothing without a serial port. */
void chip_put(uint8_t byte);

/* Takes a byte that has come in; false if none waits. */
bool chip_get(uint8_t *byte);

void chip_led(bool is_on);

#ifdef __cplusplus
}
#endif

#endif
