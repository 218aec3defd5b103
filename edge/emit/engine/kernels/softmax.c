/* SOFTMAX over the channels of a pixel, on 31-bit fixed point. */
#include "engine.h"

/* Bits above the binary point of the sum of exponentials. */
#define SUM_BITS 12
/* 512 times exp(0): from here on every output is less than half a step. */
#define LARGEST_SUM (512UL << (31U - SUM_BITS))

static uint32_t leading_zeros(uint32_t value) {
  uint32_t count = 0U;
  while ((value & 0x80000000U) == 0U) {
    value <<= 1;
    ++count;
  }
  return count;
}

static int32_t saturated(int64_t value) {
  const int64_t raised = (value < INT32_MIN) ? (int64_t)INT32_MIN : value;
  return (raised > INT32_MAX) ? INT32_MAX : (int32_t)raised;
}

/* 1 / (1 + fraction) by Newton's division; x has two bits above its binary point. */
static int32_t reciprocal(uint32_t fraction) {
  const int32_t half = (int32_t)((fraction + 0x80000000U) >> 1);
  int32_t x = 1515870810 + engine_high_multiply(half, -1010580540); /* 48/17, -32/17 */
  for (uint32_t n = 0U; n < 3U; ++n) {
    const int32_t rest = (1L << 29) - engine_high_multiply(half, x);
    x += saturated((int64_t)engine_high_multiply(x, rest) * 4);
  }
  return saturated((int64_t)x * 2);
}

/* The channels of one pixel; table: exp of 0 to 255 steps below the largest of them. */
static void make_pixel(const int8_t *source, const int32_t *table, uint32_t channels, int8_t *out) {
  int32_t most = -128;
  for (uint32_t c = 0U; c < channels; ++c) {
    most = (source[c] > most) ? source[c] : most;
  }
  uint32_t sum = 0U;
  for (uint32_t c = 0U; (c < channels) && (sum < LARGEST_SUM); ++c) {
    sum += (uint32_t)engine_divide_by_power(table[most - source[c]], SUM_BITS);
  }
  const uint32_t headroom = leading_zeros(sum);
  const int32_t factor = reciprocal((sum << headroom) - 0x80000000U);
  const uint32_t exponent = (SUM_BITS - headroom) + 23U;
  for (uint32_t c = 0U; c < channels; ++c) {
    const int32_t value =
        (exponent > 31U) ? 0
                         : engine_divide_by_power(
                               engine_high_multiply(factor, table[most - source[c]]), exponent);
    out[c] = (int8_t)engine_clamp(value - 128, -128, 127);
  }
}

ENGINE_KERNEL
void engine_softmax(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                    int8_t *out) {
  const int8_t *const source = engine_row(in, row);
  for (uint32_t x = 0U; x < layer->width; ++x) {
    const uint32_t at = x * layer->channels;
    make_pixel(&source[at], (const int32_t *)layer->weights, layer->channels, &out[at]);
  }
}
