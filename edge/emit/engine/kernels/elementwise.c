/* ADD, PAD and QUANTIZE. */
#include "engine.h"

/* Inputs of ADD are raised by 20 bits before they are brought to a common scale. */
#define ADD_LEFT_SHIFT 20

/* weights: zero point, multiplier and shift to the right of both inputs; the output's last two. */
ENGINE_KERNEL
void engine_add(const engine_layer_t *layer, const engine_rows_t *in, const engine_rows_t *other,
                uint32_t row, int8_t *out) {
  const int8_t *const first = engine_row(in, row);
  const int8_t *const second = engine_row(other, row);
  const uint32_t *const w = layer->weights;
  const uint32_t count = (uint32_t)layer->width * layer->channels;
  for (uint32_t i = 0U; i < count; ++i) {
    const int32_t a = ((int32_t)first[i] - (int32_t)w[0]) * (1L << ADD_LEFT_SHIFT);
    const int32_t b = ((int32_t)second[i] - (int32_t)w[3]) * (1L << ADD_LEFT_SHIFT);
    const int32_t sum = engine_requantize(a, (int32_t)w[1], (int32_t)w[2]) +
                        engine_requantize(b, (int32_t)w[4], (int32_t)w[5]);
    out[i] = engine_output(layer, engine_requantize(sum, (int32_t)w[6], (int32_t)w[7]));
  }
}

ENGINE_KERNEL
void engine_pad(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out) {
  const int8_t *const line = engine_tap_row(layer, in, row, 0U);
  const uint32_t before = (uint32_t)layer->pad_left * layer->channels;
  const uint32_t inside = (uint32_t)layer->width * layer->channels;
  const uint32_t count = (uint32_t)layer->out_width * layer->channels;
  for (uint32_t i = 0U; i < count; ++i) {
    const uint32_t at = i - before;
    out[i] = ((line == NULL) || (i < before) || (at >= inside)) ? layer->zero_point : line[at];
  }
}

/* weights: the multiplier, and the shift to the right. */
ENGINE_KERNEL
void engine_quantize(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out) {
  const int8_t *const line = engine_row(in, row);
  const uint32_t count = (uint32_t)layer->width * layer->channels;
  for (uint32_t i = 0U; i < count; ++i) {
    const int32_t value = engine_requantize((int32_t)line[i] - layer->zero_point,
                                            (int32_t)layer->weights[0], (int32_t)layer->weights[1]);
    out[i] = engine_output(layer, value);
  }
}
