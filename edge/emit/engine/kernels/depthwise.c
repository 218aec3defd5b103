/* DEPTHWISE_CONV_2D in portable C: any window, stride, dilation and multiplier. */
#include "engine.h"

/* Of each channel, before all weights: bias, multiplier, shift to the right. */
#define HEADER_WORDS 3U

/* Adds the products of all taps of a channel; the weights of the taps lie `step` apart. */
static int32_t add_taps(const int8_t *const *taps, const int8_t *const *end, uint32_t channel,
                        const int8_t *weights, uint32_t step, int32_t sum) {
  while (taps != end) {
    sum = engine_sum(sum, (*taps)[channel] * (int32_t)*weights);
    taps = &taps[1];
    weights = &weights[step];
  }
  return sum;
}

/* The same for a channel and the next one, which have as many inputs as outputs. */
static void add_taps_of_two(const int8_t *const *taps, const int8_t *const *end, uint32_t channel,
                            const int8_t *weights, uint32_t step, int32_t sums[2]) {
  const uint32_t next = channel + 1U;
  int32_t first = sums[0];
  int32_t second = sums[1];
  while (taps != end) {
    const int8_t *const x = *taps;
    first = engine_sum(first, x[channel] * (int32_t)weights[channel]);
    second = engine_sum(second, x[next] * (int32_t)weights[next]);
    taps = &taps[1];
    weights = &weights[step];
  }
  sums[0] = first;
  sums[1] = second;
}

static int8_t finish(const engine_layer_t *layer, int32_t sum, const uint32_t *header) {
  const int32_t value = engine_requantize(sum, (int32_t)header[1], (int32_t)header[2]);
  return engine_saturated_output(value, layer->out_zero_point);
}

static void make_pixel(const engine_layer_t *layer, const int8_t *const *taps,
                       const int8_t *const *end, int8_t *out) {
  const uint32_t channels = layer->out_channels;
  const uint32_t *header = layer->weights;
  const int8_t *const weights = (const int8_t *)&header[HEADER_WORDS * channels];
  uint32_t c = 0U;
  if (channels == layer->channels) {
    for (; (c + 1U) < channels; c += 2U) {
      int32_t sums[2] = {(int32_t)header[0], (int32_t)header[HEADER_WORDS]};
      add_taps_of_two(taps, end, c, weights, channels, sums);
      out[c] = finish(layer, sums[0], header);
      out[c + 1U] = finish(layer, sums[1], &header[HEADER_WORDS]);
      header = &header[2U * HEADER_WORDS];
    }
  }
  const uint32_t repeat = channels / layer->channels;
  for (; c < channels; ++c) {
    const int32_t sum = add_taps(taps, end, c / repeat, &weights[c], channels, (int32_t)header[0]);
    out[c] = finish(layer, sum, header);
    header = &header[HEADER_WORDS];
  }
}

/* scratch: a pointer to each row of the window, one to each tap, and a pixel of the zero point. */
ENGINE_KERNEL
void engine_depthwise(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                      int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const int8_t **const lines = scratch;
  const int8_t **const taps = &lines[layer->window_height];
  const int8_t **const end = &taps[(uint32_t)layer->window_height * layer->window_width];
  int8_t *const padding = (int8_t *)end;
  for (uint32_t c = 0U; c < channels; ++c) {
    padding[c] = layer->zero_point;
  }
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    const int8_t **tap = taps;
    for (uint32_t y = 0U; y < layer->window_height; ++y) {
      const int8_t *const line = lines[y];
      int32_t at = left;
      for (uint32_t x = 0U; x < layer->window_width; ++x) {
        const uint32_t is_outside =
            ((line == NULL) || (at < 0) || (at >= (int32_t)layer->width)) ? 1U : 0U;
        *tap = (is_outside != 0U) ? padding : &line[(uint32_t)at * channels];
        tap = &tap[1];
        at += (int32_t)layer->dilation_width;
      }
    }
    make_pixel(layer, taps, end, &out[column * layer->out_channels]);
  }
  engine_clamp_row(layer, out);
}
