/* AVERAGE_POOL_2D, MAX_POOL_2D and MEAN over an image, four channels at a time. */
#include "engine.h"

#define AT_ONCE 4U

/* What lies under a window: columns of the image, and channels. */
typedef struct {
  uint32_t column;
  uint32_t columns;
  uint32_t channel;
} view_t;

static view_t view_of(const engine_layer_t *layer, uint32_t out_column) {
  const int32_t left = (int32_t)(out_column * layer->stride_width) - (int32_t)layer->pad_left;
  const int32_t right = left + (int32_t)layer->window_width;
  const int32_t first = (left > 0) ? left : 0;
  const int32_t end = (right < (int32_t)layer->width) ? right : (int32_t)layer->width;
  const view_t view = {(uint32_t)first, (uint32_t)(end - first), 0U};
  return view;
}

/* How many channels there are, and where they lie: a missing one is the first one again. */
static uint32_t offsets_of(const engine_layer_t *layer, uint32_t channel, uint32_t at[AT_ONCE]) {
  const uint32_t rest = layer->channels - channel;
  for (uint32_t n = 0U; n < AT_ONCE; ++n) {
    at[n] = (n < rest) ? n : 0U;
  }
  return (rest < AT_ONCE) ? rest : AT_ONCE;
}

/* Sums under the window; returns how many pixels of the image lie there. */
static int32_t sum_window(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          const view_t *view, const uint32_t at[AT_ONCE], int32_t sums[AT_ONCE]) {
  const uint32_t step = layer->channels;
  int32_t rows = 0;
  int32_t a = 0;
  int32_t b = 0;
  int32_t c = 0;
  int32_t d = 0;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *const line = engine_tap_row(layer, in, row, y);
    if (line != NULL) {
      const int8_t *x = &line[(view->column * step) + view->channel];
      for (uint32_t n = view->columns; n != 0U; --n) {
        a += x[0];
        b += x[at[1]];
        c += x[at[2]];
        d += x[at[3]];
        x = &x[step];
      }
      rows += 1;
    }
  }
  sums[0] = a;
  sums[1] = b;
  sums[2] = c;
  sums[3] = d;
  return rows * (int32_t)view->columns;
}

ENGINE_KERNEL
void engine_average_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                         int8_t *out) {
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    view_t view = view_of(layer, column);
    for (; view.channel < layer->channels; view.channel += AT_ONCE) {
      uint32_t at[AT_ONCE];
      int32_t sums[AT_ONCE];
      const uint32_t channels = offsets_of(layer, view.channel, at);
      const int32_t count = sum_window(layer, in, row, &view, at, sums);
      for (uint32_t n = 0U; n < channels; ++n) {
        /* To nearest, ties away from zero: C divides towards zero. */
        const int32_t half = (sums[n] > 0) ? (count / 2) : -(count / 2);
        *out = (int8_t)engine_clamp((sums[n] + half) / count, layer->low, layer->high);
        out = &out[1];
      }
    }
  }
}

static inline int32_t larger(int32_t a, int32_t b) { return (a > b) ? a : b; }

ENGINE_KERNEL
void engine_max_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out) {
  const uint32_t step = layer->channels;
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    view_t view = view_of(layer, column);
    for (; view.channel < step; view.channel += AT_ONCE) {
      uint32_t at[AT_ONCE];
      int32_t most[AT_ONCE] = {-128, -128, -128, -128};
      const uint32_t channels = offsets_of(layer, view.channel, at);
      for (uint32_t y = 0U; y < layer->window_height; ++y) {
        const int8_t *const line = engine_tap_row(layer, in, row, y);
        if (line != NULL) {
          const int8_t *x = &line[(view.column * step) + view.channel];
          for (uint32_t n = view.columns; n != 0U; --n) {
            most[0] = larger(most[0], x[0]);
            most[1] = larger(most[1], x[at[1]]);
            most[2] = larger(most[2], x[at[2]]);
            most[3] = larger(most[3], x[at[3]]);
            x = &x[step];
          }
        }
      }
      for (uint32_t n = 0U; n < channels; ++n) {
        *out = (int8_t)engine_clamp(most[n], layer->low, layer->high);
        out = &out[1];
      }
    }
  }
}

/* weights: the multiplier, and the shift to the right. */
ENGINE_KERNEL
void engine_mean(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  view_t view = view_of(layer, 0U);
  for (; view.channel < layer->channels; view.channel += AT_ONCE) {
    uint32_t at[AT_ONCE];
    int32_t sums[AT_ONCE];
    const uint32_t channels = offsets_of(layer, view.channel, at);
    const int32_t count = sum_window(layer, in, 0U, &view, at, sums);
    for (uint32_t n = 0U; n < channels; ++n) {
      const int32_t value =
          engine_requantize(sums[n] - (count * layer->zero_point), (int32_t)layer->weights[0],
                            (int32_t)layer->weights[1]);
      out[view.channel + n] = engine_output(layer, value);
    }
  }
}
