/* What the convolutions with Helium have in common: rows of windows, and the end of a pair. */
#ifndef CONV_MVE_ROWS_H_
#define CONV_MVE_ROWS_H_

#include <stdbool.h>

#include "mve.h"

#define LANES 16U
#define CHANNELS 4U

/* What the assembly needs; it reads them by their offsets. */
typedef struct {
  int32_t zero_point;    /* 0 */
  int32_t one;           /* 4 */
  uint32_t to_step;      /* 8: from a turn's pixels to those of the next */
  int8_t *to;            /* 12 */
  uint32_t left;         /* 16: turns */
  int32_t ahead;         /* 20: from a pair's last vectors to the next pair */
  uint32_t x_step;       /* 24: from pixel to pixel */
  const int8_t *weights; /* 28: of the block of channels */
  uint32_t vectors;      /* 32: of taps, but for the first and the last */
  uint32_t turns;        /* 36: of a block */
  const int8_t *first;   /* 40: the first pixel */
  int8_t *out;           /* 44 */
  int8_t *last;          /* 48: where the last four channels go */
  const uint32_t *block; /* 52 */
  uint32_t blocks;       /* 56 */
  uint32_t rest;         /* 60: taps of the last vector */
  uint16_t places[8];    /* 64: of a turn's outputs, channel by channel */
  uint32_t taps;         /* 80 */
} row_t;

/* Makes all channels of pixels side by side. */
typedef void (*make_pixels_t)(const engine_layer_t *layer, row_t *row, const int8_t *x,
                              uint32_t pixels, int8_t *out);

/* clang-format off */
/* Of four channels, sixteen taps of two pixels: those are in q0 and q1. */
#define FOUR(mac, at0, at1, at2, at3)                                             \
  "vldrb.8 q2, [r5" at0 "\n\t" mac " r0, q0, q2\n\t" mac " r8, q1, q2\n\t"         \
  "vldrb.8 q3, [r5" at1 "\n\t" mac " r2, q0, q3\n\t" mac " r10, q1, q3\n\t"        \
  "vldrb.8 q2, [r5" at2 "\n\t" mac " r4, q0, q2\n\t" mac " r12, q1, q2\n\t"        \
  "vldrb.8 q3, [r5" at3 "\n\t" mac " r6, q0, q3\n\t" mac " lr, q1, q3\n\t"
#define TAPS(mac) FOUR(mac, "], #16", "], #16", "], #16", "], #16")
#define PIXELS "vldrb.8 q0, [r1], #16\n\tvldrb.8 q1, [r3], #16\n\t"

/* To bytes, stored; the zero point and what follows it are in r0, r2, ... r8. */
#define SCALE_PAIR STORE_PAIR("", "q5")
/* Where the places of the outputs are; what is needed of it is in memory. */
#define STORE_PAIR(load, places)                                                  \
  "vqrdmulh.s32 q0, q0, q6\n\tvqrdmulh.s32 q1, q1, q6\n\t"                  \
  TIES("q0", "r2") TIES("q1", "r2")                                         \
  "vrshl.s32 q0, q0, q7\n\tvrshl.s32 q1, q1, q7\n\t"                        \
  "vqmovnb.s32 q0, q0\n\tvqmovnt.s32 q0, q1\n\tvqadd.s16 q0, q0, r0\n\t"    \
  "vqmovnb.s16 q0, q0\n\t" load "vstrb.16 q0, [r6, " places "]\n\t"         \
  "adds r6, r4\n\tsubs r8, #1\n\tstrd r6, r8, [r11, #12]\n\tbne 2b\n\t"

/* To the next four channels; the last four may overlap those before. */
#define NEXT_BLOCK                                                                \
  "ldrd r0, r1, [r11, #44]\n\tldr r2, [r11, #56]\n\t"                             \
  "adds r0, #4\n\tcmp r0, r1\n\tit hi\n\tmovhi r0, r1\n\tstr r0, [r11, #44]\n\t"   \
  "subs r2, #1\n\tstrd r5, r2, [r11, #52]\n\tbne 1b\n\t"
#define CLOBBERED                                                                 \
  "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "q0", "q1", "q2", \
  "q3", "q4", "q5", "q6", "q7", "cc", "memory"
/* clang-format on */

/* The row starts at the first of some pixels. */
static inline void start_row(const engine_layer_t *layer, row_t *row, const int8_t *x,
                             int8_t *out) {
  const uint32_t channels = (layer->out_channels < CHANNELS) ? CHANNELS : layer->out_channels;
  row->first = x;
  row->out = out;
  row->last = &out[channels - CHANNELS];
  row->block = layer->weights;
  row->blocks = (channels + CHANNELS - 1U) / CHANNELS;
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

/* A row of the window with gaps. */
static int8_t *gather_apart(const engine_layer_t *layer, const int8_t *line, int32_t left,
                            int8_t *to) {
  for (uint32_t t = 0U; t < layer->window_width; ++t) {
    const int32_t at = left + (int32_t)(t * layer->dilation_width);
    to = ((at < 0) || (at >= (int32_t)layer->width))
             ? mve_fill(to, layer->zero_point, layer->channels)
             : copy_bytes(to, &line[(uint32_t)at * layer->channels], layer->channels);
  }
  return to;
}

/* A row of the window without gaps. */
static inline int8_t *gather_line(const engine_layer_t *layer, const int8_t *line, int32_t left,
                                  int8_t *to) {
  const uint32_t channels = layer->channels;
  const int32_t right = left + (int32_t)layer->window_width - (int32_t)layer->width;
  const uint32_t before = (left < 0) ? (uint32_t)-left : 0U;
  const uint32_t after = (right > 0) ? (uint32_t)right : 0U;
  const uint32_t first = (uint32_t)(left + (int32_t)before);
  const uint32_t inside = layer->window_width - before - after;
  to = mve_fill(to, layer->zero_point, before * channels);
  to = copy_bytes(to, &line[first * channels], inside * channels);
  return mve_fill(to, layer->zero_point, after * channels);
}

/* The windows of pixels side by side, all in the image. */
static void gather_inside(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                          uint32_t pixels, int8_t *to) {
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t step = (uint32_t)layer->stride_width * layer->channels;
  const uint32_t pitch = layer->window_height * bytes;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *from = &lines[y][(uint32_t)left * layer->channels];
    int8_t *at = &to[y * bytes];
    if (bytes <= LANES) {
      __asm__ volatile(
          "vctp.8 %[bytes]\n\tdls lr, %[pixels]\n"
          "1:\n\tvpstt\n\tvldrbt.8 q0, [%[from]]\n\tvstrbt.8 q0, [%[at]]\n\t"
          "add %[from], %[step]\n\tadd %[at], %[pitch]\n\tle lr, 1b\n\t"
          : [from] "+r"(from), [at] "+r"(at)
          : [bytes] "r"(bytes), [pixels] "r"(pixels), [step] "r"(step), [pitch] "r"(pitch)
          : "q0", "lr", "memory");
    } else {
      uint32_t rest = pixels;
      const int8_t *x;
      int8_t *copy;
      __asm__ volatile(
          "1:\n\tmov %[x], %[from]\n\tmov %[copy], %[at]\n\tdlstp.8 lr, %[bytes]\n"
          "2:\n\tvldrb.8 q0, [%[x]], #16\n\tvstrb.8 q0, [%[copy]], #16\n\tletp lr, 2b\n\t"
          "add %[from], %[step]\n\tadd %[at], %[pitch]\n\tsubs %[rest], #1\n\tbne 1b\n\t"
          : [from] "+r"(from), [at] "+r"(at), [rest] "+r"(rest), [x] "=&r"(x), [copy] "=&r"(copy)
          : [bytes] "r"(bytes), [step] "r"(step), [pitch] "r"(pitch)
          : "q0", "lr", "cc", "memory");
    }
  }
}

/* What the window sees at one pixel, in one piece. */
static void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                   int8_t *to) {
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    if (lines[y] == NULL) {
      to = mve_fill(to, layer->zero_point, (uint32_t)layer->window_width * layer->channels);
    } else if (layer->dilation_width == 1U) {
      to = gather_line(layer, lines[y], left, to);
    } else {
      to = gather_apart(layer, lines[y], left, to);
    }
  }
}

/* What the window sees at pixels side by side; `is_high` if no row is above or below the image. */
static void gather_pixels(const engine_layer_t *layer, const int8_t *const lines[], bool is_high,
                          uint32_t column, uint32_t pixels, int8_t *to) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const bool is_whole = is_high && (layer->dilation_width == 1U);
  uint32_t p = 0U;
  while (p < pixels) {
    const int32_t left = (int32_t)((column + p) * layer->stride_width) - (int32_t)layer->pad_left;
    const int32_t room = (int32_t)layer->width - (int32_t)layer->window_width - left;
    uint32_t count = 1U;
    if (is_whole && (left >= 0) && (room >= 0)) {
      const uint32_t inside = ((uint32_t)room / layer->stride_width) + 1U;
      count = (inside < (pixels - p)) ? inside : (pixels - p);
      gather_inside(layer, lines, left, count, &to[p * taps]);
    } else {
      gather(layer, lines, left, &to[p * taps]);
    }
    p += count;
  }
}

/* Less than four channels are made apart: the assembly stores four. */
static void make_columns(const engine_layer_t *layer, row_t *row, make_pixels_t make,
                         const int8_t *x, uint32_t pixels, int8_t *out) {
  const uint32_t channels = layer->out_channels;
  if (channels >= CHANNELS) {
    make(layer, row, x, pixels, out);
    return;
  }
  for (uint32_t p = 0U; p < pixels; ++p) {
    int8_t made[CHANNELS];
    make(layer, row, &x[p * row->x_step], 1U, made);
    engine_copy(&out[p * channels], made, channels);
  }
}

static inline void make_row(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch, make_pixels_t make) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const uint32_t channels = layer->out_channels;
  const int8_t **const lines = (const int8_t **)scratch;
  int8_t *const windows = (int8_t *)&lines[layer->window_height];
  uint32_t at_once = 16U;
  const uint32_t vectors = (taps + LANES - 1U) / LANES;
  bool is_high = true;
  row_t state;
  for (uint32_t most = 32U; (at_once > 2U) && (taps > most); most *= 4U) {
    at_once /= 2U;
  }
  state.zero_point = layer->out_zero_point;
  state.one = 1;
  state.taps = taps;
  state.rest = taps - ((vectors - 1U) * LANES);
  state.vectors = vectors - 2U;
  for (uint32_t c = 0U; c < CHANNELS; ++c) {
    state.places[2U * c] = (uint16_t)c;
    state.places[(2U * c) + 1U] = (uint16_t)(channels + c);
  }
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
    is_high = is_high && (lines[y] != NULL);
  }
  const bool is_pointwise = (taps == layer->channels) && (layer->pad_left == 0U);
  state.x_step = is_pointwise ? (layer->stride_width * taps) : taps;
  state.ahead = (int32_t)(2U * state.x_step) - (int32_t)((vectors - 1U) * LANES);
  if (is_pointwise) {
    make_columns(layer, &state, make, lines[0], layer->out_width, out);
  } else {
    for (uint32_t column = 0U; column < layer->out_width; column += at_once) {
      const uint32_t others = layer->out_width - column;
      const uint32_t pixels = (others < at_once) ? others : at_once;
      gather_pixels(layer, lines, is_high, column, pixels, windows);
      make_columns(layer, &state, make, windows, pixels, &out[column * channels]);
    }
  }
  mve_clamp_row(layer, out);
}

#endif
