/* CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED in portable C: any window, stride and dilation. */
#include "engine.h"

/* What precedes a channel's weights: bias, multiplier, shift to the right. */
#define HEADER_WORDS 3U

/* The sum of one window over all channels; the input's zero point is taken out in the bias. */
static int32_t conv_sum(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                        uint32_t column, const int8_t *weights) {
  const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
  const uint32_t channels = layer->channels;
  int32_t sum = 0;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *const line = engine_tap_row(layer, in, row, y);
    for (uint32_t x = 0U; x < layer->window_width; ++x) {
      const int32_t at = left + (int32_t)(x * layer->dilation_width);
      if ((line == NULL) || (at < 0) || (at >= (int32_t)layer->width)) {
        for (uint32_t c = 0U; c < channels; ++c) {
          sum += (int32_t)layer->zero_point * weights[c];
        }
      } else {
        const int8_t *const pixel = &line[(uint32_t)at * channels];
        for (uint32_t c = 0U; c < channels; ++c) {
          sum += (int32_t)pixel[c] * weights[c];
        }
      }
      weights = &weights[channels];
    }
  }
  return sum;
}

void engine_conv(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const uint32_t words = HEADER_WORDS + ((taps + 3U) / 4U);
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const uint32_t *block = layer->weights;
    for (uint32_t c = 0U; c < layer->out_channels; ++c) {
      const int32_t sum = (int32_t)block[0] + conv_sum(layer, in, row, column,
                                                       (const int8_t *)&block[HEADER_WORDS]);
      const int32_t value = engine_requantize(sum, (int32_t)block[1], (int32_t)block[2]);
      *out = (int8_t)engine_clamp(value + layer->out_zero_point, layer->low, layer->high);
      out = &out[1];
      block = &block[words];
    }
  }
}

void engine_depthwise(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                      int8_t *out) {
  const uint32_t out_channels = layer->out_channels;
  const uint32_t repeat = out_channels / layer->channels;
  const int8_t *const weights = (const int8_t *)&layer->weights[HEADER_WORDS * out_channels];
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    for (uint32_t c = 0U; c < out_channels; ++c) {
      const uint32_t *const header = &layer->weights[HEADER_WORDS * c];
      const int8_t *weight = &weights[c];
      int32_t sum = (int32_t)header[0];
      for (uint32_t y = 0U; y < layer->window_height; ++y) {
        const int8_t *const line = engine_tap_row(layer, in, row, y);
        for (uint32_t x = 0U; x < layer->window_width; ++x) {
          const int32_t at = left + (int32_t)(x * layer->dilation_width);
          const int32_t value =
              ((line == NULL) || (at < 0) || (at >= (int32_t)layer->width))
                  ? (int32_t)layer->zero_point
                  : (int32_t)line[((uint32_t)at * layer->channels) + (c / repeat)];
          sum += value * *weight;
          weight = &weight[out_channels];
        }
      }
      const int32_t value = engine_requantize(sum, (int32_t)header[1], (int32_t)header[2]);
      *out = (int8_t)engine_clamp(value + layer->out_zero_point, layer->low, layer->high);
      out = &out[1];
    }
  }
}

/* One rounding, unlike a convolution: so does LiteRT. */
void engine_fully_connected(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t *block = layer->weights;
  for (uint32_t c = 0U; c < layer->out_channels; ++c) {
    const int8_t *const weights = (const int8_t *)&block[HEADER_WORDS];
    int32_t sum = (int32_t)block[0];
    for (uint32_t k = 0U; k < taps; ++k) {
      sum += (int32_t)source[k] * weights[k];
    }
    const uint32_t shift = (uint32_t)(31 + (int32_t)block[2]);
    const int64_t scaled = ((int64_t)sum * (int32_t)block[1]) + (1LL << (shift - 1U));
    out[c] = (int8_t)engine_clamp((int32_t)(scaled >> shift) + layer->out_zero_point, layer->low,
                                  layer->high);
    block = &block[HEADER_WORDS + ((taps + 3U) / 4U)];
  }
}
