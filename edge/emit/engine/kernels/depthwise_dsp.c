/* DEPTHWISE_CONV_2D 3x3 with the DSP extension, four channels at a time.
 *
 * The two upper rows of a column become pairs of halfwords, so that one SMLAD takes two taps; the
 * column is unpacked once, and used by the three outputs that see it. */
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define STRIP_PIXELS 16U
#define COLUMN_WORDS 6U
#define WEIGHT_WORDS 18U

/* What precedes four channels' weights: their biases, multipliers, and the shifts in a word. */
#define HEADER_WORDS 9U

/* Rows 0 and 1 of channels 0 to 3, then row 2 of channels 0 and 2, and of 1 and 3. */
static inline void unpack_column(uint32_t top, uint32_t middle, uint32_t bottom, uint32_t *to) {
  const uint32_t top_even = dsp_even(top);
  const uint32_t top_odd = dsp_odd(top);
  const uint32_t middle_even = dsp_even(middle);
  const uint32_t middle_odd = dsp_odd(middle);
  to[0] = dsp_low(top_even, middle_even);
  to[1] = dsp_low(top_odd, middle_odd);
  to[2] = dsp_high(top_even, middle_even);
  to[3] = dsp_high(top_odd, middle_odd);
  to[4] = dsp_even(bottom);
  to[5] = dsp_odd(bottom);
}

/* Columns from `left` on; outside of the image there is the zero point. */
static void unpack_columns(const engine_layer_t *layer, const int8_t *const rows[3], int32_t left,
                           uint32_t count, uint32_t *to) {
  const uint32_t zero = (uint32_t)(uint8_t)layer->zero_point * 0x01010101U;
  const int8_t *from[3];
  uint32_t step[3];
  int32_t at = left;
  const int32_t end = left + (int32_t)count;
  for (; (at < 0) && (at < end); ++at) {
    unpack_column(zero, zero, zero, to);
    to = &to[COLUMN_WORDS];
  }
  for (uint32_t y = 0U; y < 3U; ++y) {
    step[y] = (rows[y] != NULL) ? layer->channels : 0U;
    from[y] = (rows[y] != NULL) ? &rows[y][(uint32_t)at * layer->channels] : (const int8_t *)&zero;
  }
  const int8_t *top = from[0], *middle = from[1], *bottom = from[2];
  const int32_t inside = (end < (int32_t)layer->width) ? end : (int32_t)layer->width;
  for (; at < inside; ++at) {
    uint32_t words[3];
    (void)memcpy(&words[0], top, sizeof(words[0]));
    (void)memcpy(&words[1], middle, sizeof(words[1]));
    (void)memcpy(&words[2], bottom, sizeof(words[2]));
    unpack_column(words[0], words[1], words[2], to);
    top = &top[step[0]];
    middle = &middle[step[1]];
    bottom = &bottom[step[2]];
    to = &to[COLUMN_WORDS];
  }
  for (; at < end; ++at) {
    unpack_column(zero, zero, zero, to);
    to = &to[COLUMN_WORDS];
  }
}

/* weights: of each column three words; those of rows 0 and 1 first. */
static void unpack_weights(const uint32_t *weights, uint32_t *to) {
  for (uint32_t n = 0U; n < 9U; ++n) {
    to[2U * n] = dsp_even(weights[n]);
    to[(2U * n) + 1U] = dsp_odd(weights[n]);
  }
}

/* Two words of a column and of its weights. */
#define FETCH "ldrd %[p], %[q], [%[column]], #8\n\tldrd %[r], %[s], [%[weights]], #8\n\t"
/* clang-format off */
#define ADD_COLUMN                                        \
  FETCH                                                   \
  "smlad %[s0], %[p], %[r], %[s0]\n\t"                    \
  "smlad %[s1], %[q], %[s], %[s1]\n\t" FETCH              \
  "smlad %[s2], %[p], %[r], %[s2]\n\t"                    \
  "smlad %[s3], %[q], %[s], %[s3]\n\t" FETCH              \
  "smlabb %[s0], %[p], %[r], %[s0]\n\t"                   \
  "smlatt %[s2], %[p], %[r], %[s2]\n\t"                   \
  "smlabb %[s1], %[q], %[s], %[s1]\n\t"                   \
  "smlatt %[s3], %[q], %[s], %[s3]\n\t"
/* clang-format on */

/* Four channels of one output pixel. */
static inline void make_pixel(const uint32_t *column, const uint32_t *weights,
                              const uint32_t *block, const dsp_scale_t scales[4], int8_t *to) {
  int32_t s0 = (int32_t)block[0], s1 = (int32_t)block[1];
  int32_t s2 = (int32_t)block[2], s3 = (int32_t)block[3];
  uint32_t p, q, r, s;
  __asm__(ADD_COLUMN ADD_COLUMN ADD_COLUMN
          : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [column] "+r"(column),
            [weights] "+r"(weights), [p] "=&r"(p), [q] "=&r"(q), [r] "=&r"(r), [s] "=&r"(s)
          :
          : "memory");
  to[0] = dsp_requantize(s0, scales[0]);
  to[1] = dsp_requantize(s1, scales[1]);
  to[2] = dsp_requantize(s2, scales[2]);
  to[3] = dsp_requantize(s3, scales[3]);
}

ENGINE_KERNEL
void engine_depthwise_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch) {
  uint32_t *const columns = scratch;
  uint32_t weights[WEIGHT_WORDS];
  const int8_t *const rows[3] = {engine_tap_row(layer, in, row, 0U),
                                 engine_tap_row(layer, in, row, 1U),
                                 engine_tap_row(layer, in, row, 2U)};
  const uint32_t step = (uint32_t)layer->stride_width * COLUMN_WORDS;
  const uint32_t *block = layer->weights;
  for (uint32_t c = 0U; c < layer->channels; c += 4U) {
    const int8_t *const from[3] = {(rows[0] != NULL) ? &rows[0][c] : NULL,
                                   (rows[1] != NULL) ? &rows[1][c] : NULL,
                                   (rows[2] != NULL) ? &rows[2][c] : NULL};
    dsp_scale_t scales[4];
    for (uint32_t n = 0U; n < 4U; ++n) {
      scales[n] = dsp_scale(block[4U + n], (block[8] >> (8U * n)) & 0xFFU, layer->out_zero_point);
    }
    unpack_weights(&block[HEADER_WORDS], weights);
    for (uint32_t start = 0U; start < layer->out_width; start += STRIP_PIXELS) {
      const uint32_t rest = layer->out_width - start;
      const uint32_t pixels = (rest < STRIP_PIXELS) ? rest : STRIP_PIXELS;
      unpack_columns(layer, from, (int32_t)(start * layer->stride_width) - (int32_t)layer->pad_left,
                     ((pixels - 1U) * layer->stride_width) + 3U, columns);
      const uint32_t *column = columns;
      int8_t *to = &out[(start * layer->channels) + c];
      for (uint32_t n = 0U; n < pixels; ++n) {
        make_pixel(column, weights, block, scales, to);
        column = &column[step];
        to = &to[layer->channels];
      }
    }
    block = &block[HEADER_WORDS + (WEIGHT_WORDS / 2U)];
  }
  engine_clamp_row(layer, out);
}
