/* CONV_2D with Helium, of four channels only the sixteen taps that are not all zero. */
#include "conv_mve_rows.h"

/* Pairs of pixels, of four channels a turn of the outer loop. Before the taps of four channels
 * comes the offset of the input that they see, -1 behind the last. */
__attribute__((noinline)) static void make_pairs(row_t *row) {
  register row_t *const at __asm__("r11") = row;
  /* clang-format off */
  __asm__ volatile(
      "vldrw.32 q5, [r11, #64]\n\tldr r9, [r11, #24]\n"
      "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q6, [r5, #16]\n\tvldrw.32 q7, [r5, #32]\n\t"
      "add r0, r11, #36\n\tldm r0, {r2, r4, r6}\n\tstrd r6, r2, [r11, #12]\n\tmov r1, r4\n"
      "2:\n\tldr r5, [r11, #52]\n\tldm r5, {r0, r2, r4, r6}\n\tldm r5, {r8, r10, r12, lr}\n\t"
      "adds r5, #48\n\tldr r3, [r5], #4\n\tcmp r3, #0\n\tblt 4f\n"
      "3:\n\tadd r3, r1\n\tvldrb.8 q0, [r3]\n\tadd r3, r9\n\tvldrb.8 q1, [r3]\n\t"
      TAPS("vmladava.s8")
      "ldr r3, [r5], #4\n\tcmp r3, #0\n\tbge 3b\n"
      "4:\n\tvmov d0, r0, r2\n\tvmov d1, r4, r6\n\tvmov d2, r8, r10\n\tvmov d3, r12, lr\n\t"
      "ldm r11, {r0, r2, r4, r6, r8}\n\tadd r1, r1, r9, lsl #1\n\t"
      SCALE_PAIR NEXT_BLOCK
      :
      : "r"(at)
      : CLOBBERED);
  /* clang-format on */
}

/* All channels of pixels side by side. */
static void make_pixels(const engine_layer_t *layer, row_t *row, const int8_t *x, uint32_t pixels,
                        int8_t *out) {
  const uint32_t channels = layer->out_channels;
  row->to_step = 2U * channels;
  row->turns = pixels / 2U;
  if (row->turns != 0U) {
    start_row(layer, row, x, out);
    make_pairs(row);
  }
  if ((pixels % 2U) != 0U) {
    /* Twice the same pixel. */
    row_t last = *row;
    start_row(layer, &last, &x[(pixels - 1U) * row->x_step], &out[(pixels - 1U) * channels]);
    last.x_step = 0U;
    last.turns = 1U;
    for (uint32_t c = 0U; c < CHANNELS; ++c) {
      last.places[(2U * c) + 1U] = (uint16_t)c;
    }
    make_pairs(&last);
  }
}

/* weights: of four channels biases, multipliers and negative shifts, then offset and sixteen taps
 * of each as long as there are any, at last -1. */
ENGINE_KERNEL
void engine_conv_sparse_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch) {
  make_row(layer, in, row, out, scratch, make_pixels);
}
