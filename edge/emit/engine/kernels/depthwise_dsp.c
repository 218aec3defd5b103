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

static void unpack_columns(const engine_layer_t *layer, const int8_t *const rows[3], int32_t left,
                           uint32_t count, uint32_t *to) {
  const uint32_t zero = (uint32_t)(uint8_t)layer->zero_point * 0x01010101U;
  const uint32_t channels = layer->channels;
  for (uint32_t n = 0U; n < count; ++n) {
    const int32_t at = left + (int32_t)n;
    uint32_t words[3] = {zero, zero, zero};
    if ((at >= 0) && (at < (int32_t)layer->width)) {
      for (uint32_t y = 0U; y < 3U; ++y) {
        if (rows[y] != NULL) {
          (void)memcpy(&words[y], &rows[y][(uint32_t)at * channels], sizeof(words[y]));
        }
      }
    }
    unpack_column(words[0], words[1], words[2], to);
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

static inline void add_column(const uint32_t *column, const uint32_t *weights, int32_t sums[4]) {
  sums[0] = dsp_dot(column[0], weights[0], sums[0]);
  sums[1] = dsp_dot(column[1], weights[1], sums[1]);
  sums[2] = dsp_dot(column[2], weights[2], sums[2]);
  sums[3] = dsp_dot(column[3], weights[3], sums[3]);
  sums[0] = dsp_dot_low(column[4], weights[4], sums[0]);
  sums[2] = dsp_dot_high(column[4], weights[4], sums[2]);
  sums[1] = dsp_dot_low(column[5], weights[5], sums[1]);
  sums[3] = dsp_dot_high(column[5], weights[5], sums[3]);
}

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
      scales[n] =
          dsp_scale(block[4U + n], (block[8] >> (8U * n)) & 0xFFU, layer->out_zero_point);
    }
    unpack_weights(&block[HEADER_WORDS], weights);
    for (uint32_t start = 0U; start < layer->out_width; start += STRIP_PIXELS) {
      const uint32_t rest = layer->out_width - start;
      const uint32_t pixels = (rest < STRIP_PIXELS) ? rest : STRIP_PIXELS;
      unpack_columns(layer, from,
                     (int32_t)(start * layer->stride_width) - (int32_t)layer->pad_left,
                     ((pixels - 1U) * layer->stride_width) + 3U, columns);
      const uint32_t *column = columns;
      int8_t *to = &out[(start * layer->channels) + c];
      for (uint32_t n = 0U; n < pixels; ++n) {
        int32_t sums[4] = {(int32_t)block[0], (int32_t)block[1], (int32_t)block[2],
                           (int32_t)block[3]};
        add_column(column, weights, sums);
        add_column(&column[COLUMN_WORDS], &weights[6], sums);
        add_column(&column[2U * COLUMN_WORDS], &weights[12], sums);
        for (uint32_t k = 0U; k < 4U; ++k) {
          to[k] = dsp_requantize(sums[k], scales[k]);
        }
        column = &column[step];
        to = &to[layer->channels];
      }
    }
    block = &block[HEADER_WORDS + (WEIGHT_WORDS / 2U)];
  }
  engine_clamp_row(layer, out);
}
