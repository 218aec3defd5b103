/* Raspberry Pi's RP2040: where its parts are. The second stage of its boot is boot2.c. */
#define RP2_RESETS 0x4000C000UL
#define RP2_CLOCKS 0x40008000UL
#define RP2_XOSC 0x40024000UL
#define RP2_PLL 0x40028000UL
#define RP2_IO 0x40014000UL
#define RP2_PADS 0x4001C000UL
#define RP2_UART 0x40034000UL
#define RP2_RESET_PLL (1UL << 12)
#define RP2_RESET_PINS ((1UL << 5) | (1UL << 8))
#define RP2_RESET_UART (1UL << 22)
#define RP2_SIO_OUT_SET 0x14UL
#define RP2_SIO_OUT_CLEAR 0x18UL
#define RP2_SIO_OUTPUT 0x24UL

#include "rp2.h"
