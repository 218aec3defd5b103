/* ADD, PAD and QUANTIZE. */
#include "engine.h"

/* Inputs of ADD are raised by 20 bits before they are brought to a common scale: that of the wider
 * one is a half, its multiplier 2^30. */
#define WIDER_BITS 19
#define NARROWER_BITS 11

/* `engine_high_multiply` of a value below 2^29: four times it, what goes is the lower half. */
static inline int32_t high_multiply(int32_t value, int32_t multiplier) {
#ifdef ENGINE_SHORT_MULTIPLY
  return engine_high_multiply(value, multiplier);
#else
  const int32_t raised = (int32_t)((uint32_t)value << 2);
  return ((int32_t)(((int64_t)raised * multiplier) >> 32) + 1) >> 1;
#endif
}

/* weights: zero point, multiplier and shift to the right of both inputs; the output's last two. */
ENGINE_KERNEL
void engine_add(const engine_layer_t *layer, const engine_rows_t *in, const engine_rows_t *other,
                uint32_t row, int8_t *out) {
  const uint32_t *const w = layer->weights;
  /* Only a multiplier of a half, or of nothing, is not shifted. */
  const uint32_t is_second_wider = (w[2] != 0U) ? 1U : 0U;
  const int8_t *const wider = engine_row((is_second_wider != 0U) ? other : in, row);
  const int8_t *const narrower = engine_row((is_second_wider != 0U) ? in : other, row);
  const int32_t wider_zero = (int32_t)w[3U * is_second_wider];
  const uint32_t *const n = &w[3U - (3U * is_second_wider)];
  /* The products with both halves of the multiplier are of 32 bits, and all bits that go are the
   * lower one's. What is not shifted is doubled, and shifted by one. */
  const uint32_t up = (n[2] == 0U) ? 1U : 0U;
  const int32_t high = (int32_t)((n[1] >> 16) << (16U - (uint32_t)NARROWER_BITS + up));
  const int32_t low = (int32_t)(n[1] & 0xFFFFU);
  const int32_t high_offset = -(int32_t)n[0] * high;
  const int32_t low_offset = ((int32_t)1 << (NARROWER_BITS - 1)) - ((int32_t)n[0] * low);
  const uint32_t right = n[2] + up - 1U;
  const int32_t offset = 1 - (wider_zero * ((int32_t)1 << (WIDER_BITS + 1)));
  const int32_t multiplier = (int32_t)w[6];
  const uint32_t out_up = (w[7] == 0U) ? 1U : 0U;
  const uint32_t out_right = w[7] + out_up - 1U;
  const int32_t zero_point = layer->out_zero_point;
  const int32_t count = (int32_t)layer->width * layer->channels;
  for (int32_t i = 0; i < count; ++i) {
    const int32_t x = narrower[i];
    const int32_t scaled = (x * high) + high_offset + (((x * low) + low_offset) >> NARROWER_BITS);
    const int32_t twice = ((scaled + (scaled >> 31)) >> right) + offset;
    const int32_t sum = ((int32_t)wider[i] * ((int32_t)1 << WIDER_BITS)) + (twice >> 1);
    const int32_t value = high_multiply(sum, multiplier) * ((int32_t)1 << out_up);
    out[i] = engine_saturated_output((((value + (value >> 31)) >> out_right) + 1) >> 1, zero_point);
  }
  engine_clamp_row(layer, out);
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
