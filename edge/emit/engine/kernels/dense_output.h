/* What FULLY_CONNECTED in portable C makes of a sum. */
#ifndef DENSE_OUTPUT_H_
#define DENSE_OUTPUT_H_

#include "engine.h"

/* FULLY_CONNECTED rounds once, ties away from zero, unlike a convolution: so does LiteRT. */
static int8_t dense_output(const engine_layer_t *layer, int32_t sum, uint32_t multiplier,
                           uint32_t right) {
  const uint32_t shift = (uint32_t)(31 + (int32_t)right);
  const int64_t product = (int64_t)sum * (int32_t)multiplier;
  const int64_t scaled = product + (1LL << (shift - 1U)) - ((product < 0) ? 1 : 0);
  return engine_output(layer, (int32_t)(scaled >> shift));
}

#endif
