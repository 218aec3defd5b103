/* CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED in portable C: any window, stride and dilation. */
#include "engine.h"

/* What precedes a channel's weights: bias, multiplier, shift to the right. */
#define HEADER_WORDS 3U

/* Adds the products of a run of bytes with the weights of two channels. */
static void add_run(const int8_t *x, const int8_t *a, const int8_t *b, uint32_t count,
                    int32_t sums[2]) {
  int32_t first = sums[0];
  int32_t second = sums[1];
  for (const int8_t *const end = &x[count]; x != end; ++x) {
    const int32_t value = *x;
    first = engine_sum(first, value * *a);
    second = engine_sum(second, value * *b);
    ++a;
    ++b;
  }
  sums[0] = first;
  sums[1] = second;
}

/* The same where there is no image: all bytes are the input's zero point. */
static void add_padding(int32_t zero_point, const int8_t *a, const int8_t *b, uint32_t count,
                        int32_t sums[2]) {
  for (uint32_t n = 0U; n < count; ++n) {
    sums[0] = engine_sum(sums[0], zero_point * a[n]);
    sums[1] = engine_sum(sums[1], zero_point * b[n]);
  }
}

/* The sums of one window for two channels; the zero point is taken out in their biases. */
static inline void add_window(const engine_layer_t *layer, const int8_t *const lines[],
                              int32_t left, const int8_t *a, const int8_t *b, int32_t sums[2]) {
  const uint32_t channels = layer->channels;
  const uint32_t run = layer->window_width * channels;
  const uint32_t is_inside = ((left >= 0) && (layer->dilation_width == 1U) &&
                              ((left + (int32_t)layer->window_width) <= (int32_t)layer->width))
                                 ? 1U
                                 : 0U;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *const line = lines[y];
    if (line == NULL) {
      add_padding(layer->zero_point, a, b, run, sums);
    } else if (is_inside != 0U) {
      add_run(&line[(uint32_t)left * channels], a, b, run, sums);
    } else {
      for (uint32_t x = 0U; x < layer->window_width; ++x) {
        const int32_t at = left + (int32_t)(x * layer->dilation_width);
        const uint32_t skipped = x * channels;
        if ((at < 0) || (at >= (int32_t)layer->width)) {
          add_padding(layer->zero_point, &a[skipped], &b[skipped], channels, sums);
        } else {
          add_run(&line[(uint32_t)at * channels], &a[skipped], &b[skipped], channels, sums);
        }
      }
    }
    a = &a[run];
    b = &b[run];
  }
}

static int8_t finish(const engine_layer_t *layer, int32_t sum, const uint32_t *header) {
  return engine_output(layer, engine_requantize(sum, (int32_t)header[1], (int32_t)header[2]));
}

ENGINE_KERNEL
void engine_conv(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
                 void *scratch) {
  const int8_t **const lines = scratch;
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const uint32_t words = HEADER_WORDS + ((taps + 3U) / 4U);
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    const uint32_t *block = layer->weights;
    for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
      /* The last of an odd number of channels goes with itself. */
      const uint32_t has_second = ((c + 1U) < layer->out_channels) ? 1U : 0U;
      const uint32_t *const other = &block[has_second * words];
      int32_t sums[2] = {(int32_t)block[0], (int32_t)other[0]};
      add_window(layer, lines, left, (const int8_t *)&block[HEADER_WORDS],
                 (const int8_t *)&other[HEADER_WORDS], sums);
      out[0] = finish(layer, sums[0], block);
      out[has_second] = finish(layer, sums[1], other);
      out = &out[1U + has_second];
      block = &other[words];
    }
  }
}

/* Adds one tap to the sums of all channels; `step` is 0 where there is no image. */
static void add_tap(const int8_t *x, uint32_t step, const int8_t *weights, uint32_t channels,
                    uint32_t repeat, int32_t *sums) {
  if ((repeat == 1U) && (step == 1U)) {
    for (const int8_t *const end = &x[channels]; x != end; ++x) {
      *sums = engine_sum(*sums, (int32_t)*x * *weights);
      ++sums;
      ++weights;
    }
  } else {
    for (uint32_t c = 0U; c < channels; ++c) {
      for (uint32_t r = 0U; r < repeat; ++r) {
        *sums = engine_sum(*sums, (int32_t)*x * *weights);
        ++sums;
        ++weights;
      }
      x = &x[step];
    }
  }
}

ENGINE_KERNEL
void engine_depthwise(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                      int8_t *out, void *scratch) {
  const uint32_t out_channels = layer->out_channels;
  const uint32_t repeat = out_channels / layer->channels;
  int32_t *const sums = scratch;
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    const int8_t *weights = (const int8_t *)&layer->weights[HEADER_WORDS * out_channels];
    for (uint32_t c = 0U; c < out_channels; ++c) {
      sums[c] = (int32_t)layer->weights[HEADER_WORDS * c];
    }
    for (uint32_t y = 0U; y < layer->window_height; ++y) {
      const int8_t *const line = engine_tap_row(layer, in, row, y);
      for (uint32_t x = 0U; x < layer->window_width; ++x) {
        const int32_t at = left + (int32_t)(x * layer->dilation_width);
        if ((line == NULL) || (at < 0) || (at >= (int32_t)layer->width)) {
          add_tap(&layer->zero_point, 0U, weights, layer->channels, repeat, sums);
        } else {
          add_tap(&line[(uint32_t)at * layer->channels], 1U, weights, layer->channels, repeat,
                  sums);
        }
        weights = &weights[out_channels];
      }
    }
    for (uint32_t c = 0U; c < out_channels; ++c) {
      *out = finish(layer, sums[c], &layer->weights[HEADER_WORDS * c]);
      out = &out[1];
    }
  }
}

ENGINE_KERNEL
void engine_fully_connected(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t *block = layer->weights;
  for (uint32_t c = 0U; c < layer->out_channels; ++c) {
    const int8_t *const weights = (const int8_t *)&block[HEADER_WORDS];
    int32_t sum = (int32_t)block[0];
    for (uint32_t k = 0U; k < taps; ++k) {
      sum = engine_sum(sum, (int32_t)source[k] * weights[k]);
    }
    out[c] = engine_dense_output(layer, sum, block[1], block[2]);
    block = &block[HEADER_WORDS + ((taps + 3U) / 4U)];
  }
}
