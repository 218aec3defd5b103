#include "text.h"

#include "chip.h"

#define FLOAT_BITS 24U
#define LARGEST 4294967295000ULL /* whole numbers have 32 bits */

void text_put(const char *text) {
  for (const char *at = text; *at != '\0'; ++at) {
    chip_put((uint8_t)*at);
  }
}

void text_number(uint32_t value) {
  char digits[11];
  char *at = &digits[sizeof(digits) - 1U];
  uint32_t rest = value;
  *at = '\0';
  do {
    *(--at) = (char)('0' + (rest % 10U));
    rest /= 10U;
  } while (rest != 0U);
  text_put(at);
}

void text_hex(uint8_t byte) {
  static const char digits[] = "0123456789abcdef";
  chip_put((uint8_t)digits[byte >> 4]);
  chip_put((uint8_t)digits[byte & 15U]);
}

/* value / 2^shift, the nearest; of two the even one. */
static uint64_t rounded(uint64_t value, uint32_t shift) {
  if (shift == 0U) {
    return value;
  }
  if (shift > 63U) {
    return 0U;
  }
  const uint64_t whole = value >> shift;
  const uint64_t rest = value - (whole << shift);
  const uint64_t half = 1ULL << (shift - 1U);
  return whole + (((rest > half) || ((rest == half) && ((whole & 1U) != 0U))) ? 1U : 0U);
}

void text_thousandths(int32_t steps, uint32_t mantissa, int32_t exponent) {
  uint64_t product = (uint64_t)(uint32_t)((steps < 0) ? -steps : steps) * mantissa;
  uint32_t excess = 0U;
  while ((product >> excess) >= (1ULL << FLOAT_BITS)) {
    ++excess;
  }
  product = rounded(product, excess);
  const int32_t shift = exponent + (int32_t)excess;
  uint64_t thousandths = product * 1000U;
  if (shift >= 0) {
    thousandths = (shift > 29) ? LARGEST : (thousandths << (uint32_t)shift);
  } else {
    thousandths = rounded(thousandths, (uint32_t)-shift);
  }
  thousandths = (thousandths > LARGEST) ? LARGEST : thousandths;
  uint32_t whole = 0U;
  /* By subtraction: a division of 64 bits would take half a KiB. */
  for (uint32_t bit = 32U; bit-- > 0U;) {
    if (thousandths >= (1000ULL << bit)) {
      thousandths -= 1000ULL << bit;
      whole |= (uint32_t)1U << bit;
    }
  }
  const uint32_t part = (uint32_t)thousandths;
  if (steps < 0) {
    text_put("-");
  }
  text_number(whole);
  text_put((part < 10U) ? ".00" : ((part < 100U) ? ".0" : "."));
  text_number(part);
}
