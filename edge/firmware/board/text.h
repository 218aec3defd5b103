/* Text for the serial port, without a library. */
#ifndef TEXT_H_
#define TEXT_H_

#include <stdbool.h>
#include <stdint.h>

void text_put(const char *text);
void text_number(uint32_t value);

/* Two digits, in small letters. */
void text_hex(uint8_t byte);

/* What printf("%0.3f") makes of steps * mantissa * 2^exponent in floats of 32 bits; the mantissa
 * has 24 bits, the steps are those of an int8. */
void text_thousandths(int32_t steps, uint32_t mantissa, int32_t exponent);

#endif
