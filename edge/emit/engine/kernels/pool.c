/* AVERAGE_POOL_2D, MAX_POOL_2D and MEAN over an image, four channels at a time. */
#include "engine.h"

#define CHANNELS 4U

/* What of the image lies under the window, in columns and channels. */
typedef struct {
  uint32_t offset; /* of the first byte in a row */
  uint32_t columns;
  uint32_t channels; /* four, or fewer at the end */
} window_t;

static window_t window_at(const engine_layer_t *layer, uint32_t column, uint32_t channel) {
  const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
  const int32_t right = left + (int32_t)layer->window_width;
  const int32_t first = (left > 0) ? left : 0;
  const int32_t end = (right < (int32_t)layer->width) ? right : (int32_t)layer->width;
  const uint32_t rest = layer->channels - channel;
  const window_t window = {((uint32_t)first * layer->channels) + channel, (uint32_t)(end - first),
                           (rest < CHANNELS) ? rest : CHANNELS};
  return window;
}

/* Sums of the channels; those that are not there are the first one. Returns the number of pixels.
 */
static int32_t sum_window(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          window_t window, int32_t sums[CHANNELS]) {
  const uint32_t second = (window.channels > 1U) ? 1U : 0U;
  const uint32_t third = (window.channels > 2U) ? 2U : 0U;
  const uint32_t fourth = (window.channels > 3U) ? 3U : 0U;
  int32_t a = 0, b = 0, c = 0, d = 0;
  uint32_t rows = 0U;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *x = engine_tap_row(layer, in, row, y);
    if (x != NULL) {
      x = &x[window.offset];
      for (uint32_t n = window.columns; n != 0U; --n) {
        a += x[0];
        b += x[second];
        c += x[third];
        d += x[fourth];
        x = &x[layer->channels];
      }
      ++rows;
    }
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
  return (int32_t)(rows * window.columns);
}

ENGINE_KERNEL
void engine_average_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                         int8_t *out) {
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    for (uint32_t channel = 0U; channel < layer->channels; channel += CHANNELS) {
      const window_t window = window_at(layer, column, channel);
      int32_t sums[CHANNELS];
      const int32_t count = sum_window(layer, in, row, window, sums);
      for (uint32_t n = 0U; n < window.channels; ++n) {
        /* To nearest, ties away from zero: C divides towards zero. */
        const int32_t half = (sums[n] > 0) ? (count / 2) : -(count / 2);
        *out = (int8_t)engine_clamp((sums[n] + half) / count, layer->low, layer->high);
        out = &out[1];
      }
    }
  }
}

ENGINE_KERNEL
void engine_max_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out) {
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    for (uint32_t channel = 0U; channel < layer->channels; channel += CHANNELS) {
      const window_t window = window_at(layer, column, channel);
      for (uint32_t n = 0U; n < window.channels; ++n) {
        out[n] = layer->low;
      }
      for (uint32_t y = 0U; y < layer->window_height; ++y) {
        const int8_t *x = engine_tap_row(layer, in, row, y);
        for (uint32_t left = window.columns; (x != NULL) && (left != 0U); --left) {
          for (uint32_t n = 0U; n < window.channels; ++n) {
            const int8_t value = x[window.offset + n];
            out[n] = (value > out[n]) ? value : out[n];
          }
          x = &x[layer->channels];
        }
      }
      for (uint32_t n = 0U; n < window.channels; ++n) {
        out[n] = (out[n] > layer->high) ? layer->high : out[n];
      }
      out = &out[window.channels];
    }
  }
}

/* weights: the multiplier, and the shift to the right. */
ENGINE_KERNEL
void engine_mean(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  for (uint32_t channel = 0U; channel < layer->channels; channel += CHANNELS) {
    const window_t window = window_at(layer, 0U, channel);
    int32_t sums[CHANNELS];
    const int32_t count = sum_window(layer, in, 0U, window, sums);
    for (uint32_t n = 0U; n < window.channels; ++n) {
      const int32_t value =
          engine_requantize(sums[n] - (count * layer->zero_point), (int32_t)layer->weights[0],
                            (int32_t)layer->weights[1]);
      out[channel + n] = engine_output(layer, value);
    }
  }
}
