/* FULLY_CONNECTED with the DSP extension, four outputs at a time. */
#include <string.h>

#include "dsp.h"
#include "engine.h"

/* What precedes an output's weights, or those of four: biases, multipliers, shifts to the right. */
#define HEADER_WORDS 3U
#define OUTPUTS 4U
#define TURN_TAPS 16U

/* Four taps of the input, and of each output's weights one word. */
/* clang-format off */
#define ADD_TO(sum, word)                       \
  "sxtb16 %[other], " word ", ror #8\n\t"       \
  "sxtb16 " word ", " word "\n\t"               \
  "smlad %[" #sum "], %[other], %[odd], %[" #sum "]\n\t" \
  "smlad %[" #sum "], " word ", %[even], %[" #sum "]\n\t"
#define FOUR_TAPS                               \
  "ldr %[even], [%[x]], #4\n\t"                 \
  "ldm %[w]!, {r4, r5, r6, r8}\n\t"             \
  "sxtb16 %[odd], %[even], ror #8\n\t"          \
  "sxtb16 %[even], %[even]\n\t"                 \
  ADD_TO(s0, "r4") ADD_TO(s1, "r5") ADD_TO(s2, "r6") ADD_TO(s3, "r8")
#define RUN(turns)                                                                       \
  __asm__(turns                                                                          \
          : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [x] "+r"(x),     \
            [w] "+r"(w), [even] "=&r"(even), [odd] "=&r"(odd), [other] "=&r"(other)      \
          :                                                                              \
          : "memory", "r4", "r5", "r6", "r8")
/* clang-format on */

/* One rounding, ties away from zero, for shifts to the right of 2 to 31. */
static inline int8_t dense_output(int32_t sum, uint32_t multiplier, uint32_t right,
                                  int32_t zero_point) {
  const int64_t product = (int64_t)sum * (int32_t)multiplier;
  int32_t high = (int32_t)(product >> 32);
  /* Below zero a tie is one less; it reaches the upper word where the lower one is all zero. */
  if ((high < 0) && ((uint32_t)product == 0U)) {
    --high;
  }
  int32_t result = ((high + (int32_t)(1UL << (right - 2U))) >> (right - 1U)) + zero_point;
  __asm__("ssat %0, #8, %1" : "=r"(result) : "r"(result));
  return (int8_t)result;
}

/* Returns where the next outputs' weights are; what is left over of sixteen taps is in `rest`. */
static const uint32_t *make_four(const engine_layer_t *layer, const uint32_t *block,
                                 const int8_t *x, const int8_t *end, const int8_t *rest,
                                 const int8_t *rest_end, int8_t *out) {
  const uint32_t *w = &block[OUTPUTS * HEADER_WORDS];
  const int32_t zero_point = layer->out_zero_point;
  int32_t s0 = (int32_t)block[0], s1 = (int32_t)block[1];
  int32_t s2 = (int32_t)block[2], s3 = (int32_t)block[3];
  uint32_t even, odd, other;
  while (x != end) {
    RUN(FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS);
  }
  x = rest;
  while (x != rest_end) {
    RUN(FOUR_TAPS);
  }
  const int32_t sums[OUTPUTS] = {s0, s1, s2, s3};
  for (uint32_t n = 0U; n < OUTPUTS; ++n) {
    out[n] = dense_output(sums[n], block[OUTPUTS + n], block[(2U * OUTPUTS) + n], zero_point);
  }
  return w;
}

static const uint32_t *make_one(const engine_layer_t *layer, const uint32_t *block, const int8_t *x,
                                uint32_t taps, int8_t *out) {
  const uint32_t *w = &block[HEADER_WORDS];
  int32_t sum = (int32_t)block[0];
  for (uint32_t k = 0U; k < taps; k += 4U) {
    uint32_t four = 0U;
    (void)memcpy(&four, &x[k], ((taps - k) < 4U) ? (taps - k) : 4U);
    sum = dsp_add_products(sum, dsp_even(four), dsp_even(*w));
    sum = dsp_add_products(sum, dsp_odd(four), dsp_odd(*w));
    w = &w[1];
  }
  *out = dense_output(sum, block[1], block[2], layer->out_zero_point);
  return w;
}

ENGINE_KERNEL
void engine_fully_connected_dsp(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t *block = layer->weights;
  const int8_t *const end = &source[taps & ~(TURN_TAPS - 1U)];
  int8_t rest[TURN_TAPS] = {0};
  (void)memcpy(rest, end, taps % TURN_TAPS);
  const int8_t *const rest_end = &rest[((taps % TURN_TAPS) + 3U) & ~3U];
  uint32_t c = 0U;
  for (; (c + OUTPUTS) <= layer->out_channels; c += OUTPUTS) {
    block = make_four(layer, block, source, end, rest, rest_end, &out[c]);
  }
  for (; c < layer->out_channels; ++c) {
    block = make_one(layer, block, source, taps, &out[c]);
  }
  engine_clamp_row(layer, out);
}
