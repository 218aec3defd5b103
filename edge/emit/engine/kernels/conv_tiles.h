/* CONV_2D in portable C, but for the weights: conv.c reads all of them. conv_sparse.c leaves out
 * the blocks of two channels by eight taps that are all zero. conv_int4.c reads weights of four
 * bits: of two channels a and b a byte is 16 a + b + 8. */
#include "engine.h"

#ifdef CONV_SPARSE
#define ENGINE_CONV engine_conv_sparse
#elif defined(CONV_INT4)
#define ENGINE_CONV engine_conv_int4
#else
#define ENGINE_CONV engine_conv
#endif

/* What precedes a channel's weights: bias, multiplier, shift to the right. */
#define HEADER_WORDS 3U

/* gcc spends twice as many instructions on these cores, where only eight registers can hold bytes.
 * The sums are in the other registers, which it leaves alone when it optimizes for size. */
#if defined(ENGINE_SHORT_MULTIPLY) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__OPTIMIZE_SIZE__)
#define FOUR_IN_ASSEMBLY
#endif

#if defined(FOUR_IN_ASSEMBLY) && !defined(CONV_INT4)
/* Adds the products of two pixels' bytes with the weights of two channels: `sums` is {xa, xb, ya,
 * yb}; there is at least one byte. */
static void add_four(const int8_t *x, const int8_t *y, const int8_t *a, const int8_t *b,
                     uint32_t count, int32_t sums[4]) {
  int32_t xa = sums[0];
  int32_t xb = sums[1];
  int32_t ya = sums[2];
  int32_t yb = sums[3];
  int32_t n = -(int32_t)count;
  int32_t t;
  int32_t u;
  __asm__(
      ".syntax unified\n"
      "1:\n\t"
      "ldrsb %[t], [%[x], %[n]]\n\t"
      "ldrsb %[u], [%[a], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[xa], %[u]\n\t"
      "ldrsb %[u], [%[b], %[n]]\n\t"
      "muls %[t], %[u], %[t]\n\t"
      "add %[xb], %[t]\n\t"
      "ldrsb %[t], [%[y], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[yb], %[u]\n\t"
      "ldrsb %[u], [%[a], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[ya], %[u]\n\t"
      "adds %[n], #1\n\t"
      "bne 1b"
      : [n] "+l"(n), [t] "=&l"(t), [u] "=&l"(u), [xa] "+h"(xa), [xb] "+h"(xb), [ya] "+h"(ya),
        [yb] "+h"(yb)
      : [x] "l"(&x[count]), [y] "l"(&y[count]), [a] "l"(&a[count]), [b] "l"(&b[count])
      : "cc", "memory");
  sums[0] = xa;
  sums[1] = xb;
  sums[2] = ya;
  sums[3] = yb;
}
#endif

#ifdef __GNUC__
typedef uint32_t __attribute__((may_alias)) word_t;
#endif

/* Copies bytes, four at once where all lie on words; `step` 0 repeats the first one. */
static void copy(const int8_t *from, uint32_t step, int8_t *to, uint32_t count) {
  uint32_t done = 0U;
#ifdef __GNUC__
  if ((step == 1U) && ((((uintptr_t)from | (uintptr_t)to | count) & 3U) == 0U)) {
    for (; done < count; done += 4U) {
      *(word_t *)&to[done] = *(const word_t *)&from[done];
    }
  }
#endif
  for (; done < count; ++done) {
    to[done] = *from;
    from = &from[step];
  }
}

/* Copies what lies under the window, the zero point where there is no image. */
static void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                   int8_t *to) {
  const uint32_t channels = layer->channels;
  const int32_t last = left + (((int32_t)layer->window_width - 1) * layer->dilation_width);
  const uint32_t is_run =
      ((left >= 0) && (last < (int32_t)layer->width) && (layer->dilation_width == 1U)) ? 1U : 0U;
  const uint32_t pieces = (is_run != 0U) ? 1U : layer->window_width;
  const uint32_t piece = (is_run != 0U) ? (layer->window_width * channels) : channels;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    int32_t at = left;
    for (uint32_t x = 0U; x < pieces; ++x) {
      if ((lines[y] != NULL) && (at >= 0) && (at < (int32_t)layer->width)) {
        copy(&lines[y][(uint32_t)at * channels], 1U, to, piece);
      } else {
        copy(&layer->zero_point, 0U, to, piece);
      }
      to = &to[piece];
      at += (int32_t)layer->dilation_width;
    }
  }
}

/* Of one channel, the outputs of one pixel or of two; their sums lie two apart. */
static void finish(const engine_layer_t *layer, const int32_t *sums, const uint32_t *header,
                   uint32_t pixels, int8_t *out) {
  for (uint32_t n = 0U; n < pixels; ++n) {
    const int32_t value = engine_requantize(*sums, (int32_t)header[1], (int32_t)header[2]);
    *out = engine_saturated_output(value, layer->out_zero_point);
    sums = &sums[2];
    out = &out[layer->out_channels];
  }
}

#ifdef CONV_SPARSE
/* Apart from what gathers pixels, it has all registers to itself. */
#ifdef __GNUC__
#define APART __attribute__((noinline))
#else
#define APART
#endif

/* A block: the number of its first tap, and the weights of eight taps of both channels. */
#define BLOCK_TAPS 8U
#define BLOCK_WORDS (1U + (2U * BLOCK_TAPS / 4U))

#ifdef FOUR_IN_ASSEMBLY
#define add_eight_taps(x, y, a, b, sums) add_four((x), (y), (a), (b), BLOCK_TAPS, (sums))
#else
static inline void add_tap(const int8_t *x, const int8_t *y, const int8_t *a, const int8_t *b,
                           uint32_t n, int32_t sums[4]) {
  const int32_t first = x[n];
  const int32_t second = y[n];
  sums[0] = engine_sum(sums[0], first * a[n]);
  sums[2] = engine_sum(sums[2], second * a[n]);
  sums[1] = engine_sum(sums[1], first * b[n]);
  sums[3] = engine_sum(sums[3], second * b[n]);
}

/* Without a loop: a block is no longer. */
static inline void add_eight_taps(const int8_t *x, const int8_t *y, const int8_t *a,
                                  const int8_t *b, int32_t sums[4]) {
  add_tap(x, y, a, b, 0U, sums);
  add_tap(x, y, a, b, 1U, sums);
  add_tap(x, y, a, b, 2U, sums);
  add_tap(x, y, a, b, 3U, sums);
  add_tap(x, y, a, b, 4U, sums);
  add_tap(x, y, a, b, 5U, sums);
  add_tap(x, y, a, b, 6U, sums);
  add_tap(x, y, a, b, 7U, sums);
}
#endif

/* Adds what the blocks make of two pixels; of one, it counts as both. */
static void add_blocks(const int8_t *const at[], const uint32_t *block, const uint32_t *end,
                       int32_t sums[4]) {
  const int8_t *const x = at[0];
  const int8_t *const y = at[1];
  int32_t own[4] = {sums[0], sums[1], sums[2], sums[3]};
  for (; block != end; block = &block[BLOCK_WORDS]) {
    const int8_t *const a = (const int8_t *)&block[1];
    add_eight_taps(&x[block[0]], &y[block[0]], a, &a[BLOCK_TAPS], own);
  }
  sums[0] = own[0];
  sums[1] = own[1];
  sums[2] = own[2];
  sums[3] = own[3];
}

/* Of two channels: how many blocks are left, both headers, the blocks. */
APART static void make_pixels(const engine_layer_t *layer, const int8_t *const at[],
                              uint32_t pixels, uint32_t taps, int8_t *out) {
  const int8_t *const both[2] = {at[0], at[pixels - 1U]};
  const uint32_t *next = layer->weights;
  (void)taps;
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    const uint32_t *const header = &next[1];
    const uint32_t *const other = &header[HEADER_WORDS];
    const uint32_t *const blocks = &other[HEADER_WORDS];
    int32_t sums[4] = {(int32_t)header[0], (int32_t)other[0], (int32_t)header[0],
                       (int32_t)other[0]};
    next = &blocks[next[0] * BLOCK_WORDS];
    add_blocks(both, blocks, next, sums);
    finish(layer, &sums[0], header, pixels, &out[c]);
    if ((c + 1U) < layer->out_channels) {
      finish(layer, &sums[1], other, pixels, &out[c + 1U]);
    }
  }
}

#elif defined(CONV_INT4)
/* What eight in the place of each weight adds. */
static int32_t raised_by(const int8_t *x, uint32_t count) {
  int32_t sum = 0;
  for (uint32_t n = 0U; n < count; ++n) {
    sum += x[n];
  }
  return 8 * sum;
}

/* The sums of the bytes as they are and of their lower halves become those of two channels. */
static void part(int32_t sums[2], int32_t raised, const uint32_t *header) {
  const int32_t first = (int32_t)((uint32_t)sums[0] - (uint32_t)sums[1]) >> 4;
  sums[1] = engine_sum(engine_sum(sums[1], -raised), (int32_t)header[HEADER_WORDS]);
  sums[0] = engine_sum(first, (int32_t)header[0]);
}

#ifdef FOUR_IN_ASSEMBLY
/* Of two pixels: the sums of all bytes' products, and of those of their lower halves, pixel by
 * pixel; there is at least one byte. */
static void add_pairs(const int8_t *x, const int8_t *y, const int8_t *weights, uint32_t count,
                      int32_t sums[4]) {
  int32_t xa = 0;
  int32_t xb = 0;
  int32_t ya = 0;
  int32_t yb = 0;
  int32_t n = -(int32_t)count;
  int32_t t;
  int32_t u;
  __asm__(
      ".syntax unified\n"
      "1:\n\t"
      "ldrsb %[t], [%[x], %[n]]\n\t"
      "ldrsb %[u], [%[w], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[xa], %[u]\n\t"
      "ldrsb %[u], [%[w], %[n]]\n\t"
      "ands %[u], %[low]\n\t"
      "muls %[t], %[u], %[t]\n\t"
      "add %[xb], %[t]\n\t"
      "ldrsb %[t], [%[y], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[yb], %[u]\n\t"
      "ldrsb %[u], [%[w], %[n]]\n\t"
      "muls %[u], %[t], %[u]\n\t"
      "add %[ya], %[u]\n\t"
      "adds %[n], #1\n\t"
      "bne 1b"
      : [n] "+l"(n), [t] "=&l"(t), [u] "=&l"(u), [xa] "+h"(xa), [xb] "+h"(xb), [ya] "+h"(ya),
        [yb] "+h"(yb)
      : [x] "l"(&x[count]), [y] "l"(&y[count]), [w] "l"(&weights[count]), [low] "l"(15)
      : "cc", "memory");
  sums[0] = xa;
  sums[1] = xb;
  sums[2] = ya;
  sums[3] = yb;
}
#else
static void add_pairs(const int8_t *x, const int8_t *y, const int8_t *weights, uint32_t count,
                      int32_t sums[4]) {
  int32_t xa = 0;
  int32_t xb = 0;
  int32_t ya = 0;
  int32_t yb = 0;
  for (uint32_t n = 0U; n < count; ++n) {
    const int32_t both = weights[n];
    const int32_t low = both & 15;
    const int32_t first = x[n];
    const int32_t second = y[n];
    xa = engine_sum(xa, first * both);
    ya = engine_sum(ya, second * both);
    xb = engine_sum(xb, first * low);
    yb = engine_sum(yb, second * low);
  }
  sums[0] = xa;
  sums[1] = xb;
  sums[2] = ya;
  sums[3] = yb;
}
#endif

/* Of two channels: both headers, the weights. */
static void make_pixels(const engine_layer_t *layer, const int8_t *const at[], uint32_t pixels,
                        uint32_t taps, int8_t *out) {
  /* A single pixel goes with itself. */
  const int8_t *const x = at[0];
  const int8_t *const y = at[pixels - 1U];
  const int32_t raised[2] = {raised_by(x, taps), raised_by(y, taps)};
  const uint32_t *header = layer->weights;
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    int32_t sums[4];
    add_pairs(x, y, (const int8_t *)&header[2U * HEADER_WORDS], taps, sums);
    part(&sums[0], raised[0], header);
    part(&sums[2], raised[1], header);
    finish(layer, &sums[0], header, pixels, &out[c]);
    if ((c + 1U) < layer->out_channels) {
      finish(layer, &sums[1], &header[HEADER_WORDS], pixels, &out[c + 1U]);
    }
    header = &header[(2U * HEADER_WORDS) + ((taps + 3U) / 4U)];
  }
}

#else
/* Adds the products of one pixel's bytes with the weights of two channels: `sums` is {xa, xb}. */
static void add_two(const int8_t *x, const int8_t *a, const int8_t *b, uint32_t count,
                    int32_t sums[2]) {
  int32_t first = sums[0];
  int32_t second = sums[1];
  for (uint32_t n = 0U; n < count; ++n) {
    const int32_t value = x[n];
    first = engine_sum(first, value * a[n]);
    second = engine_sum(second, value * b[n]);
  }
  sums[0] = first;
  sums[1] = second;
}

#ifndef FOUR_IN_ASSEMBLY
/* The same of two pixels: `sums` is {xa, xb, ya, yb}. */
static inline void add_four(const int8_t *x, const int8_t *y, const int8_t *a, const int8_t *b,
                            uint32_t count, int32_t sums[4]) {
  int32_t xa = sums[0];
  int32_t xb = sums[1];
  int32_t ya = sums[2];
  int32_t yb = sums[3];
  for (uint32_t n = 0U; n < count; ++n) {
    const int32_t first = x[n];
    const int32_t second = y[n];
    xa = engine_sum(xa, first * a[n]);
    ya = engine_sum(ya, second * a[n]);
    xb = engine_sum(xb, first * b[n]);
    yb = engine_sum(yb, second * b[n]);
  }
  sums[0] = xa;
  sums[1] = xb;
  sums[2] = ya;
  sums[3] = yb;
}
#endif

/* Two channels at a time. */
static void make_pixels(const engine_layer_t *layer, const int8_t *const at[], uint32_t pixels,
                        uint32_t taps, int8_t *out) {
  const uint32_t words = HEADER_WORDS + ((taps + 3U) / 4U);
  const uint32_t *block = layer->weights;
  for (uint32_t c = 0U; c < layer->out_channels; c += 2U) {
    /* The last of an odd number of channels goes with itself. */
    const uint32_t has_second = ((c + 1U) < layer->out_channels) ? 1U : 0U;
    const uint32_t *const other = &block[has_second * words];
    const int8_t *const a = (const int8_t *)&block[HEADER_WORDS];
    const int8_t *const b = (const int8_t *)&other[HEADER_WORDS];
    int32_t sums[4] = {(int32_t)block[0], (int32_t)other[0], (int32_t)block[0], (int32_t)other[0]};
    if (pixels == 2U) {
      add_four(at[0], at[1], a, b, taps, sums);
    } else {
      add_two(at[0], a, b, taps, sums);
    }
    finish(layer, &sums[0], block, pixels, &out[c]);
    finish(layer, &sums[1], other, pixels, &out[c + has_second]);
    block = &other[words];
  }
}

#endif

ENGINE_KERNEL
void ENGINE_CONV(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
                 void *scratch) {
  const int8_t **const lines = scratch;
  int8_t *const patches = (int8_t *)&lines[layer->window_height];
  const uint32_t window = (uint32_t)layer->window_height * layer->window_width;
  const uint32_t taps = window * layer->channels;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; column += 2U) {
    const uint32_t pixels = ((column + 1U) < layer->out_width) ? 2U : 1U;
    const int8_t *at[2];
    for (uint32_t n = 0U; n < pixels; ++n) {
      const int32_t left = (int32_t)((column + n) * layer->stride_width) - (int32_t)layer->pad_left;
      if (window == 1U) {
        /* A window of one pixel lies in the image, and is read where it is. */
        at[n] = &lines[0][(uint32_t)left * taps];
      } else {
        gather(layer, lines, left, &patches[n * taps]);
        at[n] = &patches[n * taps];
      }
    }
    make_pixels(layer, at, pixels, taps, &out[column * layer->out_channels]);
  }
  engine_clamp_row(layer, out);
}
