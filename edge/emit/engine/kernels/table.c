/* Operators of one input and one scale: LOGISTIC, TANH, HARD_SWISH, LEAKY_RELU, RELU and RELU6. */
#include "engine.h"

/* weights: what becomes of 0 to 127, then of -128 to -1. */
ENGINE_KERNEL
void engine_table(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out) {
  const int8_t *const table = (const int8_t *)layer->weights;
  const int8_t *const line = engine_row(in, row);
  const uint32_t count = (uint32_t)layer->width * layer->channels;
  for (uint32_t i = 0U; i < count; ++i) {
    out[i] = table[(uint8_t)line[i]];
  }
}
