/* DEPTHWISE_CONV_2D with Helium: sixteen channels at a time. */
#include <stdbool.h>

#include "mve.h"

#define LANES 16U

/* What precedes the taps of sixteen channels, in words: biases, multipliers, negative shifts; each
 * in the order in which the products come out: channels 0, 4, 8, 12, then 2, ..., 1, ..., 3, ... */
#define HEADER_WORDS 48U

/* In assembly, because gcc 12 moves vectors through memory. Sums are in q4 to q7.
 *
 * Two products of bytes fit in sixteen bits, for no weight is -128; they are widened to 32 bits
 * before they are added to the others. */
/* clang-format off */
#define START                                                                     \
  "vldrw.32 q4, [%[block]]\n\tvldrw.32 q5, [%[block], #16]\n\t"                   \
  "vldrw.32 q6, [%[block], #32]\n\tvldrw.32 q7, [%[block], #48]\n\t"
#define MULTIPLY "vldrb.8 q1, [%[w]], #16\n\tvmullb.s8 q2, q0, q1\n\tvmullt.s8 q3, q0, q1\n\t"
#define ADD                                                     \
  "vmovlb.s16 q0, q2\n\tvadd.i32 q4, q4, q0\n\t"              \
  "vmovlt.s16 q1, q2\n\tvadd.i32 q5, q5, q1\n\t"              \
  "vmovlb.s16 q0, q3\n\tvadd.i32 q6, q6, q0\n\t"              \
  "vmovlt.s16 q1, q3\n\tvadd.i32 q7, q7, q1\n\t"

/* Ties go away from zero: a negative number is lowered by one. */
#define SCALE(q, at)                                              \
  "vldrw.32 q0, [%[block], #64 + " at "]\n\t"                     \
  "vldrw.32 q1, [%[block], #128 + " at "]\n\t"                    \
  "vqrdmulh.s32 " q ", " q ", q0\n\tvshr.s32 q2, " q ", #31\n\t"   \
  "vadd.i32 " q ", " q ", q2\n\tvrshl.s32 " q ", " q ", q1\n\t"    \
  "vadd.i32 " q ", " q ", %[zero_point]\n\t"

/* Back to the order of the channels, saturated to int8. */
#define FINISH                                                              \
  SCALE("q4", "0") SCALE("q5", "16") SCALE("q6", "32") SCALE("q7", "48")    \
  "vqmovnb.s32 q4, q4\n\tvqmovnt.s32 q4, q5\n\t"                            \
  "vqmovnb.s32 q6, q6\n\tvqmovnt.s32 q6, q7\n\t"                            \
  "vqmovnb.s16 q4, q4\n\tvqmovnt.s16 q4, q6\n\t"                            \
  "ldr %[w], %[count]\n\tvctp.8 %[w]\n\tldr %[w], %[out]\n\t"               \
  "vpst\n\tvstrbt.8 q4, [%[w]]\n\t"
#define VECTORS "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7"
/* clang-format on */

/* A pointer to the pixel under each tap. Reads up to fifteen bytes more than there are channels;
 * the state's memory has them. */
static inline void make_anywhere(const int8_t *const *pixels, uint32_t channel, uint32_t taps,
                                 const int32_t *block, uint32_t count, int32_t zero_point,
                                 int8_t *out) {
  const int8_t *w = (const int8_t *)&block[HEADER_WORDS];
  const int8_t *x;
  uint32_t rest = taps;
  __asm__ volatile(START
                   "1:\n\tldr %[x], [%[pixels]], #4\n\tadd %[x], %[channel]\n\t"
                   "vldrb.8 q0, [%[x]]\n\t" MULTIPLY ADD "subs %[rest], #1\n\tbne 1b\n\t" FINISH
                   : [w] "+r"(w), [pixels] "+r"(pixels), [rest] "+r"(rest), [x] "=&r"(x)
                   : [block] "r"(block), [channel] "r"(channel), [zero_point] "r"(zero_point),
                     [count] "m"(count), [out] "m"(out)
                   : VECTORS, "cc", "memory");
}

/* weights: blocks of sixteen lanes. */
ENGINE_KERNEL
void engine_depthwise_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width;
  const uint32_t channels = layer->channels;
  const int8_t **const lines = scratch;
  const int8_t **const pixels = &lines[layer->window_height];
  int8_t *const zeros = (int8_t *)&pixels[taps];
  (void)mve_fill(zeros, layer->zero_point, channels + LANES);
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    const int32_t *block = (const int32_t *)layer->weights;
    const int8_t **pixel = pixels;
    for (uint32_t y = 0U; y < layer->window_height; ++y) {
      for (uint32_t t = 0U; t < layer->window_width; ++t) {
        const int32_t at = left + (int32_t)(t * layer->dilation_width);
        const bool is_outside = (lines[y] == NULL) || (at < 0) || (at >= (int32_t)layer->width);
        *pixel = is_outside ? zeros : &lines[y][(uint32_t)at * channels];
        ++pixel;
      }
    }
    for (uint32_t c = 0U; c < channels; c += LANES) {
      make_anywhere(pixels, c, taps, block, channels - c, layer->out_zero_point,
                    &out[(column * channels) + c]);
      block = &block[HEADER_WORDS + (taps * (LANES / 4U))];
    }
  }
  mve_clamp_row(layer, out);
}
