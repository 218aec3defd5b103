/* CONV_2D with the DSP extension: two channels by up to four pixels at a time.
 *
 * conv_dsp.c reads all weights. conv_sparse_dsp.c, which defines CONV_SPARSE, leaves out the blocks
 * of two channels by eight taps that are all zero; before each block that is there comes its
 * number. */
#include <stdbool.h>
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define TILE_PIXELS 4U

/* What precedes two channels' weights: both biases, both multipliers, and the shifts in a word. */
#define HEADER_WORDS 5U
#define BLOCK_WORDS 4U
#ifdef CONV_SPARSE
#define ENGINE_CONV engine_conv_sparse_dsp
#else
#define ENGINE_CONV engine_conv_dsp
#endif
#define INLINE static inline __attribute__((always_inline))

/* Where a loop over the taps reads; gcc would keep these in memory and the sums as well. */
/* clang-format off */
#define FETCH_WEIGHTS                \
  "ldr %[first], [%[w]], #4\n\t"     \
  "sxtb16 %[second], %[first], ror #8\n\t" \
  "sxtb16 %[first], %[first]\n\t"
#define FETCH_TWO "ldrd %[p], %[q], [%[x]], #8\n\t"
#define FETCH_ONE "ldr %[p], [%[x]], #4\n\t"
#define ADD_TO(a, b, x) \
  "smlad %[" #a "], %[first], %[" #x "], %[" #a "]\n\t" \
  "smlad %[" #b "], %[second], %[" #x "], %[" #b "]\n\t"

/* Eight taps are unrolled; what else the loop needs stays in memory: every register is taken. */
#define TURN(body) body body body body
#ifdef CONV_SPARSE
#define GO_TO_4 "add %[x], %[p], %[first], lsl #6\n\t"
#define GO_TO_3 "add %[first], %[first], %[first], lsl #1\n\tadd %[x], %[p], %[first], lsl #4\n\t"
#define GO_TO_2 "add %[x], %[p], %[first], lsl #5\n\t"
#define GO_TO_1 "add %[x], %[p], %[first], lsl #4\n\t"
#define BOUNDS [end] "m"(end), [start] "m"(start)
#define LOOP(go_to, body)                                                       \
  "1:\n\tldr %[first], [%[w]], #4\n\tldr %[p], %[start]\n\t" go_to TURN(body)   \
  "ldr %[first], %[end]\n\tcmp %[w], %[first]\n\tbne 1b\n\t"
#else
#define BOUNDS [end] "m"(end)
#define LOOP(go_to, body) \
  "1:\n\t" TURN(body) "ldr %[first], %[end]\n\tcmp %[x], %[first]\n\tbne 1b\n\t"
#endif
#define TEMPORARIES [first] "=&r"(first), [second] "=&r"(second), [p] "=&r"(p), [q] "=&r"(q)
/* clang-format on */

/* Sums of two channels for `pixels` pixels, then requantized and stored. */
INLINE const uint32_t *channel_pair(const engine_layer_t *layer, const uint32_t *weights,
                                    const uint32_t *x, const uint32_t *x_end, uint32_t pixels,
                                    int8_t *out, uint32_t stride, uint32_t has_second) {
#ifdef CONV_SPARSE
  const uint32_t *w = &weights[HEADER_WORDS + 1U];
  const uint32_t *const start = x;
  const uint32_t *const end = &w[weights[HEADER_WORDS] * (BLOCK_WORDS + 1U)];
  const bool is_empty = w == end;
  (void)x_end;
#else
  const uint32_t *w = &weights[HEADER_WORDS];
  const uint32_t *const end = x_end;
  const bool is_empty = false;
#endif
  int32_t a0 = (int32_t)weights[0], a1 = a0, a2 = a0, a3 = a0;
  int32_t b0 = (int32_t)weights[1], b1 = b0, b2 = b0, b3 = b0;
  uint32_t first, second, p, q;
  /* clang-format off */
  if (is_empty) {
    /* Both channels are their biases. */
  } else if (pixels == 4U) {
    __asm__(LOOP(GO_TO_4, FETCH_WEIGHTS FETCH_TWO ADD_TO(a0, b0, p) ADD_TO(a1, b1, q)
                     FETCH_TWO ADD_TO(a2, b2, p) ADD_TO(a3, b3, q))
            : [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1), [a2] "+r"(a2),
              [b2] "+r"(b2), [a3] "+r"(a3), [b3] "+r"(b3), [w] "+r"(w), [x] "+r"(x), TEMPORARIES
            : BOUNDS
            : "cc", "memory");
  } else if (pixels == 3U) {
    __asm__(LOOP(GO_TO_3, FETCH_WEIGHTS FETCH_TWO ADD_TO(a0, b0, p) ADD_TO(a1, b1, q)
                     FETCH_ONE ADD_TO(a2, b2, p))
            : [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1), [a2] "+r"(a2),
              [b2] "+r"(b2), [w] "+r"(w), [x] "+r"(x), TEMPORARIES
            : BOUNDS
            : "cc", "memory");
  } else if (pixels == 2U) {
    __asm__(LOOP(GO_TO_2, FETCH_WEIGHTS FETCH_TWO ADD_TO(a0, b0, p) ADD_TO(a1, b1, q))
            : [a0] "+r"(a0), [b0] "+r"(b0), [a1] "+r"(a1), [b1] "+r"(b1), [w] "+r"(w),
              [x] "+r"(x), TEMPORARIES
            : BOUNDS
            : "cc", "memory");
  } else {
    __asm__(LOOP(GO_TO_1, FETCH_WEIGHTS FETCH_ONE ADD_TO(a0, b0, p))
            : [a0] "+r"(a0), [b0] "+r"(b0), [w] "+r"(w), [x] "+r"(x), TEMPORARIES
            : BOUNDS
            : "cc", "memory");
  }
  /* clang-format on */
  dsp_scale_t scale = dsp_scale(weights[2], weights[4] & 0xFFU, layer->out_zero_point);
  out[0] = dsp_requantize(a0, scale);
  if (pixels > 1U) {
    out[stride] = dsp_requantize(a1, scale);
  }
  if (pixels > 2U) {
    out[2U * stride] = dsp_requantize(a2, scale);
  }
  if (pixels > 3U) {
    out[3U * stride] = dsp_requantize(a3, scale);
  }
  if (has_second != 0U) {
    scale = dsp_scale(weights[3], weights[4] >> 8, layer->out_zero_point);
    out[1] = dsp_requantize(b0, scale);
    if (pixels > 1U) {
      out[stride + 1U] = dsp_requantize(b1, scale);
    }
    if (pixels > 2U) {
      out[(2U * stride) + 1U] = dsp_requantize(b2, scale);
    }
    if (pixels > 3U) {
      out[(3U * stride) + 1U] = dsp_requantize(b3, scale);
    }
  }
  return w;
}

INLINE void all_channels(const engine_layer_t *layer, const uint32_t *x, uint32_t words,
                         uint32_t pixels, int8_t *out) {
  const uint32_t stride = layer->out_channels;
  const uint32_t *weights = layer->weights;
  const uint32_t *const x_end = &x[words * pixels];
  for (uint32_t c = 0U; c < stride; c += 2U) {
    const uint32_t has_second = ((c + 1U) < stride) ? 1U : 0U;
    weights = channel_pair(layer, weights, x, x_end, pixels, &out[c], stride, has_second);
  }
}

__attribute__((noinline)) static void tile4(const engine_layer_t *layer, const uint32_t *x,
                                            uint32_t words, int8_t *out) {
  all_channels(layer, x, words, 4U, out);
}

__attribute__((noinline)) static void tile3(const engine_layer_t *layer, const uint32_t *x,
                                            uint32_t words, int8_t *out) {
  all_channels(layer, x, words, 3U, out);
}

__attribute__((noinline)) static void tile2(const engine_layer_t *layer, const uint32_t *x,
                                            uint32_t words, int8_t *out) {
  all_channels(layer, x, words, 2U, out);
}

__attribute__((noinline)) static void tile1(const engine_layer_t *layer, const uint32_t *x,
                                            uint32_t words, int8_t *out) {
  all_channels(layer, x, words, 1U, out);
}

/* Bytes become words of two halfwords, `pixels` words apart: of four bytes the first and the third,
 * then the second and the fourth; of what is left over, two by two. */
INLINE uint32_t *unpack_run(const int8_t *run, uint32_t bytes, uint32_t pixels, uint32_t *x) {
  const int8_t *const end = &run[bytes & ~3U];
  while (run != end) {
    uint32_t four;
    (void)memcpy(&four, run, sizeof(four));
    run = &run[4];
    x[0] = dsp_even(four);
    x[pixels] = dsp_odd(four);
    x = &x[2U * pixels];
  }
  const uint32_t rest = bytes % 4U;
  if (rest != 0U) {
    x[0] = dsp_low((uint32_t)run[0], (rest > 1U) ? (uint32_t)run[1] : 0U);
    x = &x[pixels];
  }
  if (rest > 2U) {
    x[0] = (uint32_t)run[2];
    x = &x[pixels];
  }
  return x;
}

/* One row of the window at the border of the image, or with gaps: put together byte by byte. */
static void collect_run(const engine_layer_t *layer, const int8_t *line, int32_t left, int8_t *to) {
  for (uint32_t t = 0U; t < layer->window_width; ++t) {
    const int32_t at = left + (int32_t)(t * layer->dilation_width);
    if ((line == NULL) || (at < 0) || (at >= (int32_t)layer->width)) {
      (void)memset(to, layer->zero_point, layer->channels);
    } else {
      (void)memcpy(to, &line[(uint32_t)at * layer->channels], layer->channels);
    }
    to = &to[layer->channels];
  }
}

/* What the window sees at one pixel, as words `pixels` apart. */
INLINE void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                   uint32_t pixels, uint32_t *x, int8_t *run) {
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const bool is_inside = (left >= 0) && (layer->dilation_width == 1U) &&
                         ((left + (int32_t)layer->window_width) <= (int32_t)layer->width);
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *from = run;
    if (is_inside && (lines[y] != NULL)) {
      from = &lines[y][(uint32_t)left * layer->channels];
    } else {
      collect_run(layer, lines[y], left, run);
    }
    x = unpack_run(from, bytes, pixels, x);
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
  const uint32_t words = (used + 3U) & ~3U;
  int8_t *const run = (int8_t *)&x[TILE_PIXELS * words];
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  uint32_t column = 0U;
  int32_t left = -(int32_t)layer->pad_left;
  while (column < layer->out_width) {
    const uint32_t rest = layer->out_width - column;
    const uint32_t pixels = (rest < TILE_PIXELS) ? rest : TILE_PIXELS;
    int8_t *const to = &out[column * layer->out_channels];
    for (uint32_t p = 0U; p < pixels; ++p) {
      if (pixels == TILE_PIXELS) {
        gather(layer, lines, left, TILE_PIXELS, &x[p], run);
      } else {
        gather(layer, lines, left, pixels, &x[p], run);
      }
      left += (int32_t)layer->stride_width;
    }
    switch (pixels) {
      case 1U:
        tile1(layer, x, words, to);
        break;
      case 2U:
        tile2(layer, x, words, to);
        break;
      case 3U:
        tile3(layer, x, words, to);
        break;
      default:
        tile4(layer, x, words, to);
        break;
    }
    column += pixels;
  }
  engine_clamp_row(layer, out);
}
