/* FULLY_CONNECTED with the DSP extension, four outputs at a time.
 *
 * Of two outputs a and b, a halfword of weights is 256 a + b, where b is raised by 128: its product
 * is 256 of a's products and one of b's, so that only a's weights need to be unpacked. What 128
 * adds, the sum of the input, is taken off before. Sums are modulo 2^32, so it is exact. */
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define OUTPUTS 4U
#define TURN_TAPS 16U

/* What all outputs share. */
typedef struct {
  const int8_t *x;
  const int8_t *end;
  uint32_t raised;    /* 128 times the sum of the input */
  const int8_t *rest; /* what is left over of sixteen taps */
  const int8_t *rest_end;
  int32_t zero_point;
  const int8_t *out_end;
} dense_t;

/* Four taps of the input, and a word of weights of each two outputs and two taps. */
/* clang-format off */
#define TWO_TAPS(ab, cd, x)                                           \
  "smlad r5, " ab ", " x ", r5\n\t" "smlad r7, " cd ", " x ", r7\n\t" \
  "sxtb16 " ab ", " ab ", ror #8\n\t" "sxtb16 " cd ", " cd ", ror #8\n\t" \
  "smlad r4, " ab ", " x ", r4\n\t" "smlad r6, " cd ", " x ", r6\n\t"
#define FOUR_TAPS                  \
  "ldr r3, [r1], #4\n\t"           \
  "ldm r0!, {r8-r11}\n\t"          \
  "sxtb16 r12, r3, ror #8\n\t"     \
  "sxtb16 r3, r3\n\t"              \
  TWO_TAPS("r8", "r9", "r3") TWO_TAPS("r10", "r11", "r12")

/* One rounding, ties away from zero: of a negative product one less is shifted. */
#define FINISH(sum)                       \
  "ldrd r8, r9, [r0], #8\n\t"             \
  "smull r10, r11, r" #sum ", r8\n\t"     \
  "adds r10, r10, r11, asr #31\n\t"       \
  "adc r11, r11, r11, asr #31\n\t"        \
  "smmlsr r11, r11, r9, r12\n\t"          \
  "ssat r11, #8, r11\n\t"                 \
  "strb r11, [r1], #1\n\t"

/* Outputs up to the last one, four at a time; returns where the weights of others are. */
DSP_NAKED static const uint32_t *make_fours(DSP_UNUSED const uint32_t *weights,
                                            DSP_UNUSED const dense_t *dense,
                                            DSP_UNUSED int8_t *out) {
  __asm__("push {r1, r2, r4-r11, lr}\n"
          "1:\n\t"
          "ldr r3, [sp]\n\t"
          "ldm r0!, {r4-r7}\n\t"
          "ldm r3, {r1-r3}\n\t"
          "sub r5, r5, r3\n\t"
          "sub r7, r7, r3\n\t"
          "b 3f\n"
          "2:\n\t" FOUR_TAPS FOUR_TAPS FOUR_TAPS FOUR_TAPS
          "3:\n\t"
          "cmp r1, r2\n\t"
          "bne 2b\n\t"
          "ldr r3, [sp]\n\t"
          "ldrd r1, r2, [r3, #12]\n\t"
          "b 5f\n"
          "4:\n\t" FOUR_TAPS
          "5:\n\t"
          "cmp r1, r2\n\t"
          "bne 4b\n\t"
          "ldrd r3, r1, [sp]\n\t"
          "sub r5, r5, r4, lsl #8\n\t"
          "sub r7, r7, r6, lsl #8\n\t"
          "ldrd r12, r2, [r3, #20]\n\t"
          FINISH(4) FINISH(5) FINISH(6) FINISH(7)
          "str r1, [sp, #4]\n\t"
          "cmp r1, r2\n\t"
          "bne 1b\n\t"
          "pop {r1, r2, r4-r11, pc}\n\t"
          ".balign 4");
}
/* clang-format on */

/* Adds the products of an output's words; returns where the scale is. */
static const uint32_t *add_words(const uint32_t *block, const int8_t *x, const int8_t *end,
                                 int32_t *sum) {
  for (; x != end; x = &x[4]) {
    uint32_t four;
    (void)memcpy(&four, x, sizeof(four));
    *sum = dsp_add_products(*sum, dsp_even(four), dsp_even(*block));
    *sum = dsp_add_products(*sum, dsp_odd(four), dsp_odd(*block));
    block = &block[1];
  }
  return block;
}

/* One rounding, ties away from zero: of a negative product one less is shifted. */
static int8_t finish(const uint32_t *scale, int32_t sum, int32_t zero_point) {
  const int64_t product = (int64_t)sum * (int32_t)scale[0];
  const int32_t high = (int32_t)((product + (product >> 63)) >> 32);
  int32_t result;
  __asm__("smmlsr %0, %1, %2, %3\n\tssat %0, #8, %0"
          : "=&r"(result)
          : "r"(high), "r"(scale[1]), "r"(zero_point));
  return (int8_t)result;
}

/* Four taps each, byte by byte. Returns where the next weights are. */
static const uint32_t *add_bytes(const uint32_t *weights, const int8_t *x, const int8_t *end,
                                 int32_t sums[OUTPUTS]) {
  for (; x != end; x = &x[4]) {
    for (uint32_t n = 0U; n < 4U; ++n) {
      const uint32_t two = dsp_low((uint32_t)x[n / 2U], (uint32_t)x[(n / 2U) + 2U]);
      int32_t *const to = &sums[2U * (n % 2U)];
      to[1] = dsp_add_products(to[1], weights[n], two);
      to[0] = dsp_add_products(to[0], dsp_odd(weights[n]), two);
    }
    weights = &weights[4];
  }
  return weights;
}

/* What `make_fours` makes, of an input that does not lie on words. */
static const uint32_t *make_fours_of_bytes(const uint32_t *weights, const dense_t *dense,
                                           int8_t *out) {
  for (; out != dense->out_end; out = &out[OUTPUTS]) {
    int32_t sums[OUTPUTS] = {(int32_t)weights[0], (int32_t)(weights[1] - dense->raised),
                             (int32_t)weights[2], (int32_t)(weights[3] - dense->raised)};
    weights = add_bytes(&weights[OUTPUTS], dense->x, dense->end, sums);
    weights = add_bytes(weights, dense->rest, dense->rest_end, sums);
    for (uint32_t n = 0U; n < OUTPUTS; ++n) {
      const uint32_t above = ((n % 2U) == 0U) ? 0U : ((uint32_t)sums[n - 1U] << 8);
      out[n] = finish(weights, (int32_t)((uint32_t)sums[n] - above), dense->zero_point);
      weights = &weights[2];
    }
  }
  return weights;
}

/* One more output, whose weights are as the model has them. */
static const uint32_t *make_one(const uint32_t *block, const dense_t *dense, int8_t *out) {
  int32_t sum = (int32_t)block[0];
  block = add_words(&block[1], dense->x, dense->end, &sum);
  block = add_words(block, dense->rest, dense->rest_end, &sum);
  *out = finish(block, sum, dense->zero_point);
  return &block[2];
}

static int32_t sum_of(const int8_t *x, const int8_t *end) {
  int32_t sum = 0;
  for (; x != end; x = &x[4]) {
    uint32_t four;
    (void)memcpy(&four, x, sizeof(four));
    sum = dsp_add_products(sum, dsp_even(four), 0x00010001U);
    sum = dsp_add_products(sum, dsp_odd(four), 0x00010001U);
  }
  return sum;
}

ENGINE_KERNEL
void engine_fully_connected_dsp(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const int8_t *const end = &source[taps & ~(TURN_TAPS - 1U)];
  const uint32_t *block = layer->weights;
  int8_t rest[TURN_TAPS] = {0};
  engine_copy(rest, end, taps % TURN_TAPS);
  const int8_t *const rest_end = &rest[((taps % TURN_TAPS) + 3U) & ~3U];
  uint32_t c = layer->out_channels & ~(OUTPUTS - 1U);
  dense_t dense = {source, end, 0U, rest, rest_end, layer->out_zero_point, &out[c]};
  if (c != 0U) {
    dense.raised = (uint32_t)(sum_of(source, end) + sum_of(rest, rest_end)) * 128U;
    block = DSP_HAS_WORDS((uintptr_t)source) ? make_fours(block, &dense, out)
                                             : make_fours_of_bytes(block, &dense, out);
  }
  for (; c < layer->out_channels; ++c) {
    block = make_one(block, &dense, &out[c]);
  }
  engine_clamp_row(layer, out);
}

/* Of two outputs a and b, weights of four bits: a byte is 16 a + b + 8. One sum is of its products,
 * the other one of those of its lower half. */
static const uint32_t *add_halves(const uint32_t *weights, const int8_t *x, const int8_t *end,
                                  int32_t sums[2]) {
  const uint32_t low = 0x000F000FU;
  int32_t both = sums[0];
  int32_t second = sums[1];
  for (; x != end; x = &x[4]) {
    uint32_t four;
    (void)memcpy(&four, x, sizeof(four));
    const uint32_t x_even = dsp_even(four);
    const uint32_t x_odd = dsp_odd(four);
    const uint32_t even = dsp_even(*weights);
    const uint32_t odd = dsp_odd(*weights);
    both = dsp_add_products(dsp_add_products(both, even, x_even), odd, x_odd);
    second = dsp_add_products(dsp_add_products(second, even & low, x_even), odd & low, x_odd);
    weights = &weights[1];
  }
  sums[0] = both;
  sums[1] = second;
  return weights;
}

ENGINE_KERNEL
void engine_fully_connected_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in,
                                     int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const int8_t *const end = &source[taps & ~3U];
  const uint32_t *block = layer->weights;
  int8_t rest[4] = {0};
  engine_copy(rest, end, taps % 4U);
  const int8_t *const rest_end = &rest[((taps % 4U) + 3U) & ~3U];
  const int32_t raised = 8 * (sum_of(source, end) + sum_of(rest, rest_end));
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    int32_t sums[2] = {(int32_t)block[0], (int32_t)block[1]};
    block = add_halves(&block[2], source, end, sums);
    block = add_halves(block, rest, rest_end, sums);
    out[c] =
        finish(block, (int32_t)((uint32_t)sums[0] - (uint32_t)sums[1]) >> 4, layer->out_zero_point);
    if ((c + 1U) < layer->out_channels) {
      out[c + 1U] =
          finish(&block[2], (int32_t)((uint32_t)sums[1] - (uint32_t)raised), layer->out_zero_point);
    }
    block = &block[4];
  }
  engine_clamp_row(layer, out);
}
