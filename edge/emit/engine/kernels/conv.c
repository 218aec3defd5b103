/* CONV_2D and FULLY_CONNECTED in portable C: any window, stride and dilation. */
#include "conv_tiles.h"
#include "dense_output.h"

ENGINE_KERNEL
void engine_fully_connected(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out) {
  const int8_t *const source = engine_row(in, 0U);
  const uint32_t taps = (uint32_t)layer->height * layer->width * layer->channels;
  const uint32_t *block = layer->weights;
  const uint32_t words = HEADER_WORDS + ((taps + 3U) / 4U);
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    const uint32_t has_second = ((c + 1U) < layer->out_channels) ? 1U : 0U;
    const uint32_t *const other = &block[has_second * words];
    int32_t sums[2] = {(int32_t)block[0], (int32_t)other[0]};
    add_two(source, (const int8_t *)&block[HEADER_WORDS], (const int8_t *)&other[HEADER_WORDS],
            taps, sums);
    out[c] = dense_output(layer, sums[0], block[1], block[2]);
    out[c + has_second] = dense_output(layer, sums[1], other[1], other[2]);
    block = &other[words];
  }
}
