/* CONV_2D with Helium: sixteen taps at a time, one channel by up to four pixels. */
#include <arm_mve.h>
#include <stdbool.h>

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

#define TILE_PIXELS 4U
#define CHUNK_CHANNELS 32U

/* Sums of one channel after the other, four pixels each: sums[4 * channel + pixel]. The loop over
 * the taps ends itself within the last sixteen; `back` is how far it has then gone. */
__attribute__((noinline)) static void dot_pixels(const int8_t *w,
                                                 const int8_t *const x[TILE_PIXELS], uint32_t taps,
                                                 uint32_t count, int32_t *sums) {
  const int8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
  const uint32_t back = (taps + 15U) & ~15U;
  const int32_t *const end = &sums[TILE_PIXELS * count];
  int32_t s0, s1, s2, s3;
  do {
    __asm__ volatile(
        "dlstp.8 lr, %[taps]\n\t"
        "movs %[s0], #0\n\tmov %[s1], %[s0]\n\tmov %[s2], %[s0]\n\tmov %[s3], %[s0]\n"
        "1:\n\tvldrb.8 q0, [%[w]], #16\n\t"
        "vldrb.8 q1, [%[x0]], #16\n\tvmladava.s8 %[s0], q0, q1\n\t"
        "vldrb.8 q1, [%[x1]], #16\n\tvmladava.s8 %[s1], q0, q1\n\t"
        "vldrb.8 q1, [%[x2]], #16\n\tvmladava.s8 %[s2], q0, q1\n\t"
        "vldrb.8 q1, [%[x3]], #16\n\tvmladava.s8 %[s3], q0, q1\n\t"
        "letp lr, 1b\n\t"
        "strd %[s0], %[s1], [%[sums]], #8\n\tstrd %[s2], %[s3], [%[sums]], #8\n\t"
        : [s0] "=&Te"(s0), [s1] "=&Te"(s1), [s2] "=&Te"(s2), [s3] "=&Te"(s3), [w] "+r"(w),
          [sums] "+r"(sums), [x0] "+r"(x0), [x1] "+r"(x1), [x2] "+r"(x2), [x3] "+r"(x3)
        : [taps] "r"(taps)
        : "q0", "q1", "lr", "cc", "memory");
    w = &w[taps - back];
    x0 = &x0[-(int32_t)back];
    x1 = &x1[-(int32_t)back];
    x2 = &x2[-(int32_t)back];
    x3 = &x3[-(int32_t)back];
  } while (sums != end);
}

/* The same for up to sixteen taps: the pixels stay in registers. */
__attribute__((noinline)) static void dot_short_pixels(const int8_t *w,
                                                       const int8_t *const x[TILE_PIXELS],
                                                       uint32_t taps, uint32_t count,
                                                       int32_t *sums) {
  const mve_pred16_t lanes = vctp8q(taps);
  const int8x16_t x0 = vldrbq_z_s8(x[0], lanes);
  const int8x16_t x1 = vldrbq_z_s8(x[1], lanes);
  const int8x16_t x2 = vldrbq_z_s8(x[2], lanes);
  const int8x16_t x3 = vldrbq_z_s8(x[3], lanes);
  const int32_t *const end = &sums[TILE_PIXELS * count];
  do {
    /* What lies behind the taps meets zeros; behind the last ones the weights are filled up. */
    const int8x16_t k = vldrbq_s8(w);
    sums[0] = vmladavq_s8(k, x0);
    sums[1] = vmladavq_s8(k, x1);
    sums[2] = vmladavq_s8(k, x2);
    sums[3] = vmladavq_s8(k, x3);
    sums = &sums[TILE_PIXELS];
    w = &w[taps];
  } while (sums != end);
}

/* The same for 17 to 32 taps, two pixels at a time. */
__attribute__((noinline)) static void dot_medium_pixels(const int8_t *weights,
                                                        const int8_t *const x[TILE_PIXELS],
                                                        uint32_t taps, uint32_t count,
                                                        int32_t *sums) {
  const mve_pred16_t lanes = vctp8q(taps - 16U);
  for (uint32_t p = 0U; p < TILE_PIXELS; p += 2U) {
    const int8x16_t a0 = vldrbq_s8(x[p]);
    const int8x16_t a1 = vldrbq_z_s8(&x[p][16], lanes);
    const int8x16_t b0 = vldrbq_s8(x[p + 1U]);
    const int8x16_t b1 = vldrbq_z_s8(&x[p + 1U][16], lanes);
    const int8_t *w = weights;
    for (uint32_t c = 0U; c < count; ++c) {
      const int8x16_t k0 = vldrbq_s8(w);
      const int8x16_t k1 = vldrbq_s8(&w[16]);
      sums[(TILE_PIXELS * c) + p] = vmladavaq_s8(vmladavq_s8(k0, a0), k1, a1);
      sums[(TILE_PIXELS * c) + p + 1U] = vmladavaq_s8(vmladavq_s8(k0, b0), k1, b1);
      w = &w[taps];
    }
  }
}

/* The same for a single pixel. */
__attribute__((noinline)) static void dot_pixel(const int8_t *w, const int8_t *x, uint32_t taps,
                                                uint32_t count, int32_t *sums) {
  const uint32_t back = (taps + 15U) & ~15U;
  for (uint32_t c = 0U; c < count; ++c) {
    int32_t s0;
    __asm__ volatile(
        "dlstp.8 lr, %[taps]\n\tmovs %[s0], #0\n"
        "1:\n\tvldrb.8 q0, [%[w]], #16\n\tvldrb.8 q1, [%[x]], #16\n\t"
        "vmladava.s8 %[s0], q0, q1\n\tletp lr, 1b\n\t"
        : [s0] "=&Te"(s0), [w] "+r"(w), [x] "+r"(x)
        : [taps] "r"(taps)
        : "q0", "q1", "lr", "cc", "memory");
    for (uint32_t p = 0U; p < TILE_PIXELS; ++p) {
      sums[(TILE_PIXELS * c) + p] = s0;
    }
    w = &w[taps - back];
    x = &x[-(int32_t)back];
  }
}

/* Adds the bias, scales, and goes from ties away from zero to ties upwards: a negative number is
 * lowered by one. */
/* clang-format off */
#define SCALE(q)                              \
  "vadd.i32 " q ", " q ", q4\n\t"             \
  "vqrdmulh.s32 " q ", " q ", q5\n\t"         \
  "vshr.s32 q7, " q ", #31\n\t"               \
  "vadd.i32 " q ", " q ", q7\n\t"             \
  "vrshl.s32 " q ", " q ", q6\n\t"            \
  "vadd.i32 " q ", " q ", %[zero_point]\n\t"
/* clang-format on */
#define CLAMP(q) "vmax.s32 " q ", " q ", q4\n\tvmin.s32 " q ", " q ", q5\n\t"

/* Scales the sums of four pixels, four channels at a time, and stores them. In assembly, because
 * gcc 12 moves vectors through memory. Shifts are negative. */
__attribute__((noinline)) static void requantize_chunk(const engine_layer_t *layer,
                                                       const int32_t *sums, const int32_t *biases,
                                                       uint32_t padded, uint32_t count,
                                                       int8_t *const to[TILE_PIXELS],
                                                       uint32_t first) {
  const int32_t *multipliers = &biases[padded];
  const int32_t *shifts = &multipliers[padded];
  int8_t *t0 = &to[0][first], *t1 = &to[1][first], *t2 = &to[2][first], *t3 = &to[3][first];
  int32_t rest = (int32_t)count;
  __asm__ volatile(
      "1:\n\t"
      "vld40.32 {q0, q1, q2, q3}, [%[sums]]\n\tvld41.32 {q0, q1, q2, q3}, [%[sums]]\n\t"
      "vld42.32 {q0, q1, q2, q3}, [%[sums]]\n\tvld43.32 {q0, q1, q2, q3}, [%[sums]]!\n\t"
      "vldrw.32 q4, [%[biases]], #16\n\t"
      "vldrw.32 q5, [%[multipliers]], #16\n\t"
      "vldrw.32 q6, [%[shifts]], #16\n\t"
      SCALE("q0") SCALE("q1") SCALE("q2") SCALE("q3")
      "vdup.32 q4, %[low]\n\tvdup.32 q5, %[high]\n\t"
      CLAMP("q0") CLAMP("q1") CLAMP("q2") CLAMP("q3")
      "vctp.32 %[rest]\n\tvpstttt\n\t"
      "vstrbt.32 q0, [%[t0]], #4\n\tvstrbt.32 q1, [%[t1]], #4\n\t"
      "vstrbt.32 q2, [%[t2]], #4\n\tvstrbt.32 q3, [%[t3]], #4\n\t"
      "subs %[rest], #4\n\tbgt 1b\n\t"
      : [sums] "+r"(sums), [biases] "+r"(biases), [multipliers] "+r"(multipliers),
        [shifts] "+r"(shifts), [t0] "+l"(t0), [t1] "+l"(t1), [t2] "+l"(t2), [t3] "+l"(t3),
        [rest] "+r"(rest)
      : [zero_point] "r"((int32_t)layer->out_zero_point), [low] "r"((int32_t)layer->low),
        [high] "r"((int32_t)layer->high)
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
}

static inline int8_t *copy_bytes(int8_t *to, const int8_t *from, uint32_t bytes) {
  int8_t *at = to;
  __asm__ volatile(
      "dlstp.8 lr, %[bytes]\n"
      "1:\n\tvldrb.8 q0, [%[from]], #16\n\tvstrb.8 q0, [%[at]], #16\n\tletp lr, 1b\n\t"
      : [from] "+r"(from), [at] "+r"(at)
      : [bytes] "r"(bytes)
      : "q0", "lr", "memory");
  return &to[bytes];
}

static inline int8_t *fill_bytes(int8_t *to, int8_t value, uint32_t bytes) {
  int8_t *at = to;
  __asm__ volatile(
      "vdup.8 q0, %[value]\n\tdlstp.8 lr, %[bytes]\n"
      "1:\n\tvstrb.8 q0, [%[at]], #16\n\tletp lr, 1b\n\t"
      : [at] "+r"(at)
      : [value] "r"(value), [bytes] "r"(bytes)
      : "q0", "lr", "memory");
  return &to[bytes];
}

/* One row of the window at the border of the image, or with gaps. */
static int8_t *gather_border(const engine_layer_t *layer, const int8_t *line, int32_t left,
                             int8_t *to) {
  for (uint32_t t = 0U; t < layer->window_width; ++t) {
    const int32_t at = left + (int32_t)(t * layer->dilation_width);
    to = ((at < 0) || (at >= (int32_t)layer->width))
             ? fill_bytes(to, layer->zero_point, layer->channels)
             : copy_bytes(to, &line[(uint32_t)at * layer->channels], layer->channels);
  }
  return to;
}

/* What the window sees at one pixel, in one piece. */
static inline void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                          int8_t *to) {
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t start = (uint32_t)left * layer->channels;
  const bool is_inside = (left >= 0) && (layer->dilation_width == 1U) &&
                         ((left + (int32_t)layer->window_width) <= (int32_t)layer->width);
  const int8_t *const *const end = &lines[layer->window_height];
  for (const int8_t *const *line = lines; line != end; ++line) {
    if (*line == NULL) {
      to = fill_bytes(to, layer->zero_point, bytes);
    } else if (is_inside) {
      to = copy_bytes(to, &(*line)[start], bytes);
    } else {
      to = gather_border(layer, *line, left, to);
    }
  }
}

/* weights: biases, multipliers and negative shifts of all channels, then their taps. */
ENGINE_KERNEL
void engine_conv_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out, void *scratch) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const uint32_t channels = layer->out_channels;
  const uint32_t padded = (channels + 3U) & ~3U;
  const int32_t *const biases = (const int32_t *)layer->weights;
  const bool is_pointwise = (taps == layer->channels) && (layer->pad_left == 0U);
  int32_t *const sums = scratch;
  const int8_t **const lines = (const int8_t **)&sums[TILE_PIXELS * CHUNK_CHANNELS];
  int8_t *const tile = (int8_t *)&lines[layer->window_height];
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  int32_t left = -(int32_t)layer->pad_left;
  for (uint32_t column = 0U; column < layer->out_width; column += TILE_PIXELS) {
    const uint32_t rest = layer->out_width - column;
    const uint32_t pixels = (rest < TILE_PIXELS) ? rest : TILE_PIXELS;
    const int8_t *x[TILE_PIXELS];
    int8_t *to[TILE_PIXELS];
    for (uint32_t p = 0U; p < TILE_PIXELS; ++p) {
      to[p] = &out[(column + p) * channels];
      if (p >= pixels) {
        /* The first pixel once more, to where it goes anyway. */
        x[p] = x[0];
        to[p] = to[0];
      } else if (is_pointwise) {
        x[p] = &lines[0][(uint32_t)left * taps];
      } else {
        x[p] = &tile[p * taps];
        gather(layer, lines, left, &tile[p * taps]);
      }
      left += (int32_t)layer->stride_width;
    }
    const int8_t *w = (const int8_t *)&biases[3U * padded];
    for (uint32_t first = 0U; first < channels; first += CHUNK_CHANNELS) {
      const uint32_t others = channels - first;
      const uint32_t count = (others < CHUNK_CHANNELS) ? others : CHUNK_CHANNELS;
      if (pixels == 1U) {
        dot_pixel(w, x[0], taps, count, sums);
      } else if (taps <= 16U) {
        dot_short_pixels(w, x, taps, count, sums);
      } else if (taps <= 32U) {
        dot_medium_pixels(w, x, taps, count, sums);
      } else {
        dot_pixels(w, x, taps, count, sums);
      }
      requantize_chunk(layer, sums, &biases[first], padded, count, to, first);
      w = &w[taps * count];
    }
  }
}
