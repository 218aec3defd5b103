/* Raspberry Pi's RP2350: where its parts are. Its boot ROM has made the flash readable in quad mode
 * (EBh), and finds the image by the block of words behind the vectors. */
#define RP2_RESETS 0x40020000UL
#define RP2_CLOCKS 0x40010000UL
#define RP2_XOSC 0x40048000UL
#define RP2_PLL 0x40050000UL
#define RP2_IO 0x40028000UL
#define RP2_PADS 0x40038000UL
#define RP2_UART 0x40070000UL
#define RP2_RESET_PLL (1UL << 14)
#define RP2_RESET_PINS ((1UL << 6) | (1UL << 9))
#define RP2_RESET_UART (1UL << 26)
#define RP2_SIO_OUT_SET 0x18UL
#define RP2_SIO_OUT_CLEAR 0x20UL
#define RP2_SIO_OUTPUT 0x38UL

#include "rp2.h"
