/* CONV_2D with the DSP extension: two channels by up to four pixels at a time.
 *
 * conv_dsp.c reads all weights. conv_sparse_dsp.c, which defines CONV_SPARSE, leaves out the blocks
 * of two channels by eight taps that are all zero; before each block that is there comes its
 * number.
 *
 * What runs once for each output or tap is assembly with a fixed use of all registers, in functions
 * that the compiler leaves alone: no compiler is short of registers here, none spills any. */
#include <stdbool.h>
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define TILE_PIXELS 4U

#ifdef CONV_SPARSE
#define ENGINE_CONV engine_conv_sparse_dsp
#else
#define ENGINE_CONV engine_conv_dsp
#endif

/* The sums of up to four pixels: r4 to r7 of the first channel, r8 to r11 of the second. r0 walks
 * over the weights, r1 over the taps: of each two taps a word for each of four pixels. */
/* clang-format off */
#define FETCH_WEIGHTS              \
  "ldr r2, [r0], #4\n\t"           \
  "sxtb16 r3, r2, ror #8\n\t"      \
  "sxtb16 r2, r2\n\t"
#define ADD(from, to, x)                           \
  "smlad r" #to ", r2, " x ", r" #from "\n\t"
#define ADD_BOTH(pixel_a, pixel_b, x) ADD(pixel_a, pixel_a, x) \
  "smlad r" #pixel_b ", r3, " x ", r" #pixel_b "\n\t"
/* Starts a pixel's sums: the biases are in the first one's. */
#define START(a, b, x)                             \
  "smlad r" #a ", r2, " x ", r4\n\t"               \
  "smlad r" #b ", r3, " x ", r8\n\t"

/* By the number of pixels: two taps, and the first two taps. */
#define TAPS_4 FETCH_WEIGHTS                                                 \
  "ldrd r12, lr, [r1, #8]\n\t" ADD_BOTH(6, 10, "r12") ADD_BOTH(7, 11, "lr") \
  "ldrd r12, lr, [r1], #16\n\t" ADD_BOTH(4, 8, "r12") ADD_BOTH(5, 9, "lr")
#define FIRST_4 FETCH_WEIGHTS                                                \
  "ldrd r12, lr, [r1, #8]\n\t" START(6, 10, "r12") START(7, 11, "lr")       \
  "ldrd r12, lr, [r1], #16\n\t" START(5, 9, "lr") START(4, 8, "r12")
#define TAPS_3 FETCH_WEIGHTS                                                 \
  "ldr r12, [r1, #8]\n\t" ADD_BOTH(6, 10, "r12")                            \
  "ldrd r12, lr, [r1], #16\n\t" ADD_BOTH(4, 8, "r12") ADD_BOTH(5, 9, "lr")
#define FIRST_3 FETCH_WEIGHTS                                                \
  "ldr r12, [r1, #8]\n\t" START(6, 10, "r12")                               \
  "ldrd r12, lr, [r1], #16\n\t" START(5, 9, "lr") START(4, 8, "r12")
#define TAPS_2 FETCH_WEIGHTS                                                 \
  "ldrd r12, lr, [r1], #16\n\t" ADD_BOTH(4, 8, "r12") ADD_BOTH(5, 9, "lr")
#define FIRST_2 FETCH_WEIGHTS                                                \
  "ldrd r12, lr, [r1], #16\n\t" START(5, 9, "lr") START(4, 8, "r12")
#define TAPS_1 FETCH_WEIGHTS "ldr r12, [r1], #16\n\t" ADD_BOTH(4, 8, "r12")
#define FIRST_1 TAPS_1

/* What tile() below has on the stack. */
#define X "[sp]"
#define OUT "[sp, #4]"
#define OUT_END "[sp, #8]"
#define END "[sp, #48]"
#define STRIDE "[sp, #52]"
#define ZERO_POINT "[sp, #56]"

/* Eight taps are unrolled. */
#ifdef CONV_SPARSE
#define COPY(a, b) "mov r" #a ", r4\n\tmov r" #b ", r8\n\t"
#define COPY_4 COPY(7, 11) COPY_3
#define COPY_3 COPY(6, 10) COPY_2
#define COPY_2 COPY(5, 9)
#define COPY_1
#define SUMS(n)                                                                    \
  "ldm r0!, {r2, r4, r8}\n\tadd r3, r2, r2, lsl #2\n\tadd r3, r0, r3, lsl #2\n\t"  \
  "str r3, " END "\n\t" COPY_##n "cmp r2, #0\n\tbeq 4f\n"                                    \
  "2:\n\tldr r2, [r0], #4\n\tldr r1, " X "\n\tadd r1, r1, r2, lsl #6\n\t"         \
  TAPS_##n TAPS_##n TAPS_##n TAPS_##n                                              \
  "ldr r2, " END "\n\tcmp r0, r2\n\tbne 2b\n4:\n\t"
#else
#define SUMS(n)                                                                    \
  "ldrd r4, r8, [r0], #8\n\tldr r1, " X "\n\t" FIRST_##n "b 3f\n"                 \
  "2:\n\t" TAPS_##n "3:\n\t" TAPS_##n TAPS_##n TAPS_##n                            \
  "ldr r2, " END "\n\tcmp r1, r2\n\tbne 2b\n\t"
#endif

/* Scales sums by r2 and r3, adds the zero point in r12; r1 is the output, lr its stride. */
#define EACH_4(do, a, b, c, d) do(a) do(b) do(c) do(d)
#define EACH_3(do, a, b, c, d) do(a) do(b) do(c)
#define EACH_2(do, a, b, c, d) do(a) do(b)
#define EACH_1(do, a, b, c, d) do(a)
#define STORE_1(a, b, c, d) "strb r" #a ", [r1]\n\t"
#define STORE_2(a, b, c, d) STORE_1(a, b, c, d) "strb r" #b ", [r1, lr]\n\t"
#define STORE_3(a, b, c, d) STORE_2(a, b, c, d) "strb r" #c ", [r1, lr, lsl #1]\n\t"
#define STORE_4(a, b, c, d) STORE_3(a, b, c, d) \
  "add r" #a ", r1, lr, lsl #1\n\tstrb r" #d ", [r" #a ", lr]\n\t"
#define STORE_CHANNEL(n, a, b, c, d)                                               \
  "ldrd r2, r3, [r0], #8\n\t" EACH_##n(DSP_MULTIPLY, a, b, c, d)                   \
  EACH_##n(DSP_AWAY, a, b, c, d) EACH_##n(DSP_SHIFT, a, b, c, d)                   \
  EACH_##n(DSP_SATURATE, a, b, c, d) STORE_##n(a, b, c, d) "add r1, r1, #1\n\t"
#define TILE(n)                                                                    \
  __asm__("push {r1-r11, lr}\n1:\n\t" SUMS(n)                                      \
          "ldr r1, " OUT "\n\tldr lr, " STRIDE "\n\tldr r12, " ZERO_POINT "\n\t"    \
          STORE_CHANNEL(n, 4, 5, 6, 7) STORE_CHANNEL(n, 8, 9, 10, 11)              \
          "ldr r2, " OUT_END "\n\tstr r1, " OUT "\n\tcmp r1, r2\n\tbne 1b\n\t"       \
          "add sp, sp, #12\n\tpop {r4-r11, pc}")
/* clang-format on */

/* Outputs of `n` pixels, `stride` apart, of an even number of channels, at least two. Returns where
 * the next channels' weights are. */
#define TILE_FUNCTION(n)                                                                        \
  DSP_NAKED static const uint32_t *tile##n(                                                     \
      DSP_UNUSED const uint32_t *weights, DSP_UNUSED const uint32_t *x, DSP_UNUSED int8_t *out, \
      DSP_UNUSED const int8_t *out_end, DSP_UNUSED const uint32_t *x_end,                       \
      DSP_UNUSED uint32_t stride, DSP_UNUSED int32_t zero_point)

TILE_FUNCTION(4) { TILE(4); }
TILE_FUNCTION(3) { TILE(3); }
TILE_FUNCTION(2) { TILE(2); }
TILE_FUNCTION(1) { TILE(1); }

static const uint32_t *make_tile(const engine_layer_t *layer, const uint32_t *weights,
                                 const uint32_t *x, const uint32_t *x_end, uint32_t pixels,
                                 int8_t *out, const int8_t *out_end, uint32_t stride) {
  const int32_t zero_point = layer->out_zero_point;
  switch (pixels) {
    case 1U:
      return tile1(weights, x, out, out_end, x_end, stride, zero_point);
    case 2U:
      return tile2(weights, x, out, out_end, x_end, stride, zero_point);
    case 3U:
      return tile3(weights, x, out, out_end, x_end, stride, zero_point);
    default:
      return tile4(weights, x, out, out_end, x_end, stride, zero_point);
  }
}

static void all_channels(const engine_layer_t *layer, const uint32_t *x, const uint32_t *x_end,
                         uint32_t pixels, int8_t *out) {
  const uint32_t channels = layer->out_channels;
  const uint32_t even = channels & ~1U;
  const uint32_t *weights = layer->weights;
  if (even != 0U) {
    weights = make_tile(layer, weights, x, x_end, pixels, out, &out[even], channels);
  }
  if (even != channels) {
    /* The last channel has one of zeros at its side, which goes nowhere. */
    int8_t last[2U * TILE_PIXELS];
    (void)make_tile(layer, weights, x, x_end, pixels, last, &last[2], 2U);
    for (uint32_t p = 0U; p < pixels; ++p) {
      out[(p * channels) + even] = last[2U * p];
    }
  }
}

/* clang-format off */
#define UNPACK_PAIR(even, odd, from)            \
  "ldrsb " even ", [" from "], #1\n\t"          \
  "ldrsb " odd ", [" from "], #1\n\t"           \
  "pkhbt " even ", " even ", " odd ", lsl #16\n\t"
/* clang-format on */

/* Bytes of four pixels become words of two halfwords, side by side for the four: of four bytes the
 * first and the third, then the second and the fourth; of what is left over, two by two. Returns
 * where the next words go. */
DSP_NAKED static uint32_t *unpack_runs(DSP_UNUSED const int8_t *const from[TILE_PIXELS],
                                       DSP_UNUSED uint32_t *x, DSP_UNUSED uint32_t fours,
                                       DSP_UNUSED uint32_t rest) {
  /* clang-format off */
  __asm__("push {r3-r11, lr}\n\t"
          "movs lr, r2\n\t"
          "ldm r0, {r0, r2, r3, r12}\n\t"
          "beq 2f\n"
          "1:\n\t"
          "ldr r4, [r0], #4\n\t"
          "ldr r5, [r2], #4\n\t"
          "ldr r6, [r3], #4\n\t"
          "ldr r7, [r12], #4\n\t"
          "sxtb16 r8, r4, ror #8\n\t"
          "sxtb16 r9, r5, ror #8\n\t"
          "sxtb16 r10, r6, ror #8\n\t"
          "sxtb16 r11, r7, ror #8\n\t"
          "sxtb16 r4, r4\n\t"
          "sxtb16 r5, r5\n\t"
          "sxtb16 r6, r6\n\t"
          "sxtb16 r7, r7\n\t"
          "stm r1!, {r4-r11}\n\t"
          "subs lr, lr, #1\n\t"
          "bne 1b\n"
          "2:\n\t"
          "ldr lr, [sp]\n\t"
          "cmp lr, #2\n\t"
          "blo 3f\n\t"
          UNPACK_PAIR("r4", "r8", "r0") UNPACK_PAIR("r5", "r9", "r2")
          UNPACK_PAIR("r6", "r10", "r3") UNPACK_PAIR("r7", "r11", "r12")
          "stm r1!, {r4-r7}\n"
          "3:\n\t"
          "tst lr, #1\n\t"
          "beq 4f\n\t"
          "ldrsb r4, [r0]\n\t"
          "ldrsb r5, [r2]\n\t"
          "ldrsb r6, [r3]\n\t"
          "ldrsb r7, [r12]\n\t"
          "stm r1!, {r4-r7}\n"
          "4:\n\t"
          "mov r0, r1\n\t"
          "pop {r3-r11, pc}\n\t"
          ".balign 4");
  /* clang-format on */
}

/* Taps of a row from a column on; outside of the image there is the zero point. */
static void collect_taps(const engine_layer_t *layer, const int8_t *line, int32_t at, uint32_t taps,
                         int8_t *to) {
  const int32_t end = at + (int32_t)taps;
  const int32_t first = (at > 0) ? at : 0;
  const int32_t last = (end < (int32_t)layer->width) ? end : (int32_t)layer->width;
  (void)memset(to, layer->zero_point, taps * layer->channels);
  if ((line != NULL) && (first < last)) {
    (void)memcpy(&to[(uint32_t)(first - at) * layer->channels],
                 &line[(uint32_t)first * layer->channels],
                 (uint32_t)(last - first) * layer->channels);
  }
}

/* One row of the windows of some pixels, of which some lie at the border of the image, or have
 * gaps: those are put together in `runs`. */
static void find_runs(const engine_layer_t *layer, const int8_t *line, int32_t left,
                      uint32_t pixels, int8_t *runs, const int8_t *from[TILE_PIXELS]) {
  const uint32_t width = layer->window_width;
  int32_t at = left;
  for (uint32_t p = 0U; p < TILE_PIXELS; ++p) {
    int8_t *const run = &runs[p * width * layer->channels];
    if (p >= pixels) {
      from[p] = from[0];
    } else if (layer->dilation_width > 1U) {
      for (uint32_t t = 0U; t < width; ++t) {
        collect_taps(layer, line, at + (int32_t)(t * layer->dilation_width), 1U,
                     &run[t * layer->channels]);
      }
      from[p] = run;
    } else if ((line != NULL) && (at >= 0) && ((at + (int32_t)width) <= (int32_t)layer->width)) {
      from[p] = &line[(uint32_t)at * layer->channels];
    } else if ((line == NULL) && (p > 0U)) {
      from[p] = from[0];
    } else {
      collect_taps(layer, line, at, width, run);
      from[p] = run;
    }
    at += (int32_t)layer->stride_width;
  }
}

/* What the windows of the pixels see. */
static void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                   uint32_t pixels, uint32_t *x, int8_t *runs) {
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t step = (uint32_t)layer->stride_width * layer->channels;
  const int32_t right =
      left + (int32_t)(((pixels - 1U) * layer->stride_width) + layer->window_width);
  const bool is_inside =
      (left >= 0) && (layer->dilation_width == 1U) && (right <= (int32_t)layer->width);
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *from[TILE_PIXELS];
    if (is_inside && (lines[y] != NULL)) {
      /* Pixels that are not there are the first one. */
      from[0] = &lines[y][(uint32_t)left * layer->channels];
      from[1] = (pixels > 1U) ? &from[0][step] : from[0];
      from[2] = (pixels > 2U) ? &from[1][step] : from[0];
      from[3] = (pixels > 3U) ? &from[2][step] : from[0];
    } else {
      find_runs(layer, lines[y], left, pixels, runs, from);
    }
    x = unpack_runs(from, x, bytes / 4U, bytes % 4U);
  }
}

ENGINE_KERNEL
void ENGINE_CONV(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
                 void *scratch) {
  const int8_t **const lines = scratch;
  uint32_t *const x = (uint32_t *)&lines[layer->window_height];
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t used = layer->window_height * (2U * (bytes / 4U) + (((bytes % 4U) + 1U) / 2U));
  /* Weights are filled up with zeros to whole turns of the loop: what lies there does not count. */
  const uint32_t x_words = TILE_PIXELS * ((used + 3U) & ~3U);
  int8_t *const runs = (int8_t *)&x[x_words];
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  int32_t left = -(int32_t)layer->pad_left;
  for (uint32_t column = 0U; column < layer->out_width; column += TILE_PIXELS) {
    const uint32_t rest = layer->out_width - column;
    const uint32_t pixels = (rest < TILE_PIXELS) ? rest : TILE_PIXELS;
    gather(layer, lines, left, pixels, x, runs);
    all_channels(layer, x, &x[x_words], pixels, &out[column * layer->out_channels]);
    left += (int32_t)(TILE_PIXELS * layer->stride_width);
  }
  engine_clamp_row(layer, out);
}
