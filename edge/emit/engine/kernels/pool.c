/* AVERAGE_POOL_2D, MAX_POOL_2D and MEAN over an image. */
#include "engine.h"

/* Sum of a channel under the window, and how many pixels of the image lie there. */
static int32_t window_sum(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          uint32_t column, uint32_t channel, int32_t *count) {
  const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
  int32_t sum = 0;
  *count = 0;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *const line = engine_tap_row(layer, in, row, y);
    if (line != NULL) {
      for (uint32_t x = 0U; x < layer->window_width; ++x) {
        const int32_t at = left + (int32_t)x;
        if ((at >= 0) && (at < (int32_t)layer->width)) {
          sum += line[((uint32_t)at * layer->channels) + channel];
          *count += 1;
        }
      }
    }
  }
  return sum;
}

ENGINE_KERNEL
void engine_average_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                         int8_t *out) {
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    for (uint32_t c = 0U; c < layer->channels; ++c) {
      int32_t count;
      const int32_t sum = window_sum(layer, in, row, column, c, &count);
      /* To nearest, ties away from zero: C divides towards zero. */
      const int32_t mean = ((sum > 0) ? (sum + (count / 2)) : (sum - (count / 2))) / count;
      *out = (int8_t)engine_clamp(mean, layer->low, layer->high);
      out = &out[1];
    }
  }
}

ENGINE_KERNEL
void engine_max_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out) {
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    for (uint32_t c = 0U; c < layer->channels; ++c) {
      int32_t most = -128;
      for (uint32_t y = 0U; y < layer->window_height; ++y) {
        const int8_t *const line = engine_tap_row(layer, in, row, y);
        for (uint32_t x = 0U; (line != NULL) && (x < layer->window_width); ++x) {
          const int32_t at = left + (int32_t)x;
          if ((at >= 0) && (at < (int32_t)layer->width)) {
            const int32_t value = line[((uint32_t)at * layer->channels) + c];
            most = (value > most) ? value : most;
          }
        }
      }
      *out = (int8_t)engine_clamp(most, layer->low, layer->high);
      out = &out[1];
    }
  }
}

/* weights: the multiplier, and the shift to the right. */
ENGINE_KERNEL
void engine_mean(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  for (uint32_t c = 0U; c < layer->channels; ++c) {
    int32_t count;
    const int32_t sum = window_sum(layer, in, 0U, 0U, c, &count);
    const int32_t value = engine_requantize(sum - (count * layer->zero_point),
                                            (int32_t)layer->weights[0], (int32_t)layer->weights[1]);
    out[c] = engine_output(layer, value);
  }
}
