/* CONV_2D and FULLY_CONNECTED in portable C, of weights of four bits. */
#define CONV_INT4
#include "conv_tiles.h"
#include "dense_output.h"

ENGINE_KERNEL
void engine_fully_connected_int4(const engine_layer_t *layer, const engine_rows_t *in,
                                 int8_t *out) {
  const int8_t *const x = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const int32_t raised = raised_by(x, taps);
  const uint32_t *header = layer->weights;
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    const uint32_t *const other = &header[HEADER_WORDS];
    const int8_t *const weights = (const int8_t *)&other[HEADER_WORDS];
    int32_t sums[2] = {0, 0};
    for (uint32_t n = 0U; n < taps; ++n) {
      const int32_t value = x[n];
      sums[0] = engine_sum(sums[0], value * weights[n]);
      sums[1] = engine_sum(sums[1], value * (weights[n] & 15));
    }
    part(sums, raised, header);
    out[c] = dense_output(layer, sums[0], header[1], header[2]);
    if ((c + 1U) < layer->out_channels) {
      out[c + 1U] = dense_output(layer, sums[1], other[1], other[2]);
    }
    header = &other[HEADER_WORDS + ((taps + 3U) / 4U)];
  }
}
