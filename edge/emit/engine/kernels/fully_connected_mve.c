/* FULLY_CONNECTED with Helium: sixteen taps of four outputs at a time. */

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

#define OUTPUTS 4U

/* What precedes the taps, for four outputs each: biases, multipliers, shifts to the right. Fewer
 * than four outputs left over are made together with those before them. */
#define HEADER_WORDS 12U

/* One rounding, ties away from zero, for shifts to the right of 2 to 31. */
static inline int8_t dense_output(const engine_layer_t *layer, int32_t sum, uint32_t multiplier,
                                  uint32_t right) {
  const int64_t product = (int64_t)sum * (int32_t)multiplier;
  int32_t high = (int32_t)(product >> 32);
  /* Below zero a tie is one less; it reaches the upper word where the lower one is all zero. */
  if ((high < 0) && ((uint32_t)product == 0U)) {
    --high;
  }
  return engine_output(layer, (high + (int32_t)(1UL << (right - 2U))) >> (right - 1U));
}

static void make_four(const engine_layer_t *layer, const uint32_t *header, const int8_t *w0,
                      const int8_t *x, uint32_t taps, uint32_t count, int8_t *out) {
  const int8_t *w1 = &w0[taps], *w2 = &w1[taps], *w3 = &w2[taps];
  int32_t s0 = (int32_t)header[0], s1 = (int32_t)header[1];
  int32_t s2 = (int32_t)header[2], s3 = (int32_t)header[3];
  __asm__ volatile(
      "dlstp.8 lr, %[taps]\n"
      "1:\n\tvldrb.8 q0, [%[x]], #16\n\t"
      "vldrb.8 q1, [%[w0]], #16\n\tvmladava.s8 %[s0], q0, q1\n\t"
      "vldrb.8 q1, [%[w1]], #16\n\tvmladava.s8 %[s1], q0, q1\n\t"
      "vldrb.8 q1, [%[w2]], #16\n\tvmladava.s8 %[s2], q0, q1\n\t"
      "vldrb.8 q1, [%[w3]], #16\n\tvmladava.s8 %[s3], q0, q1\n\t"
      "letp lr, 1b\n\t"
      : [s0] "+Te"(s0), [s1] "+Te"(s1), [s2] "+Te"(s2), [s3] "+Te"(s3), [w0] "+r"(w0),
        [w1] "+r"(w1), [w2] "+r"(w2), [w3] "+r"(w3), [x] "+r"(x)
      : [taps] "r"(taps)
      : "q0", "q1", "lr", "memory");
  const int32_t sums[OUTPUTS] = {s0, s1, s2, s3};
  for (uint32_t n = 0U; n < count; ++n) {
    out[n] = dense_output(layer, sums[n], header[OUTPUTS + n], header[(2U * OUTPUTS) + n]);
  }
}

/* The same of weights of four bits: two outputs share a byte, which is 16 a + b + 8. One sum is of
 * its products, the other one of those of its lower half; eight times the input's is taken off. */
static void make_four_of_halves(const engine_layer_t *layer, const uint32_t *header,
                                const int8_t *w0, const int8_t *x, uint32_t taps, uint32_t count,
                                int8_t *out) {
  const int8_t *w1 = &w0[taps];
  int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, all = 0;
  __asm__ volatile(
      "vdup.8 q3, %[low]\n\tdlstp.8 lr, %[taps]\n"
      "1:\n\tvldrb.8 q0, [%[x]], #16\n\tvaddva.s8 %[all], q0\n\t"
      "vldrb.8 q1, [%[w0]], #16\n\tvand q2, q1, q3\n\t"
      "vmladava.s8 %[s0], q0, q1\n\tvmladava.s8 %[s1], q0, q2\n\t"
      "vldrb.8 q1, [%[w1]], #16\n\tvand q2, q1, q3\n\t"
      "vmladava.s8 %[s2], q0, q1\n\tvmladava.s8 %[s3], q0, q2\n\t"
      "letp lr, 1b\n\t"
      : [s0] "+Te"(s0), [s1] "+Te"(s1), [s2] "+Te"(s2), [s3] "+Te"(s3), [all] "+Te"(all),
        [w0] "+r"(w0), [w1] "+r"(w1), [x] "+r"(x)
      : [taps] "r"(taps), [low] "r"(15)
      : "q0", "q1", "q2", "q3", "lr", "memory");
  const int32_t sums[OUTPUTS] = {(s0 - s1) >> 4, s1 - (8 * all), (s2 - s3) >> 4, s3 - (8 * all)};
  for (uint32_t n = 0U; n < count; ++n) {
    const int32_t sum = engine_sum(sums[n], (int32_t)header[n]);
    out[n] = dense_output(layer, sum, header[OUTPUTS + n], header[(2U * OUTPUTS) + n]);
  }
}

/* Of four outputs headers, and taps of two outputs each. */
ENGINE_KERNEL
void engine_fully_connected_int4_mve(const engine_layer_t *layer, const engine_rows_t *in,
                                     int8_t *out) {
  const int8_t *const x = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t outputs = layer->out_channels;
  const uint32_t words = HEADER_WORDS + (((2U * taps) + 3U) / 4U);
  const uint32_t *header = layer->weights;
  for (uint32_t c = 0U; c < outputs; c += OUTPUTS) {
    const uint32_t left = outputs - c;
    make_four_of_halves(layer, header, (const int8_t *)&header[HEADER_WORDS], x, taps,
                        (left < OUTPUTS) ? left : OUTPUTS, &out[c]);
    header = &header[words];
  }
}

ENGINE_KERNEL
void engine_fully_connected_mve(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const x = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t outputs = layer->out_channels;
  const uint32_t blocks = (outputs + OUTPUTS - 1U) / OUTPUTS;
  const int8_t *const weights = (const int8_t *)&layer->weights[blocks * HEADER_WORDS];
  const uint32_t last = (outputs < OUTPUTS) ? 0U : (outputs - OUTPUTS);
  const uint32_t count = (outputs < OUTPUTS) ? outputs : OUTPUTS;
  for (uint32_t n = 0U; n < blocks; ++n) {
    const uint32_t c = ((n * OUTPUTS) < last) ? (n * OUTPUTS) : last;
    make_four(layer, &layer->weights[n * HEADER_WORDS], &weights[c * taps], x, taps, count,
              &out[c]);
  }
}
