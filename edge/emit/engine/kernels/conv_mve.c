/* CONV_2D with Helium: sixteen taps at a time, of four channels by two pixels. */
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

/* clang-format off */
/* Of four channels, sixteen taps of two pixels: those are in q0 and q1. */
#define FOUR(mac, at0, at1, at2, at3)                                             \
  "vldrb.8 q2, [r5" at0 "\n\t" mac " r0, q0, q2\n\t" mac " r8, q1, q2\n\t"         \
  "vldrb.8 q3, [r5" at1 "\n\t" mac " r2, q0, q3\n\t" mac " r10, q1, q3\n\t"        \
  "vldrb.8 q2, [r5" at2 "\n\t" mac " r4, q0, q2\n\t" mac " r12, q1, q2\n\t"        \
  "vldrb.8 q3, [r5" at3 "\n\t" mac " r6, q0, q3\n\t" mac " lr, q1, q3\n\t"
#define TAPS(mac) FOUR(mac, "], #16", "], #16", "], #16", "], #16")
#define PIXELS "vldrb.8 q0, [r1], #16\n\tvldrb.8 q1, [r3], #16\n\t"
#define LAST_OF_PIXELS "vpstt\n\tvldrbt.8 q0, [r1]\n\tvldrbt.8 q1, [r3]\n\t"

/* Pairs of pixels, of four channels a turn of the outer loop. In assembly, as what follows, because
 * gcc 12 moves vectors through memory. */
#define DEFINE_PAIRS(name, dot, leave)                                            \
  __attribute__((noinline)) static void name(row_t *row) {                        \
    register row_t *const at __asm__("r11") = row;                                \
    __asm__ volatile(                                                             \
        "ldr r0, [r11, #60]\n\tvctp.8 r0\n\tvldrw.32 q5, [r11, #64]\n"            \
        "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q4, [r5]\n\tvldrw.32 q6, [r5, #16]\n\t" \
        "vldrw.32 q7, [r5, #32]\n\tadds r5, #48\n\tstr r5, [r11, #28]\n\t"        \
        "add r0, r11, #36\n\tldm r0, {r2, r4, r6}\n\tstrd r6, r2, [r11, #12]\n\t" \
        "mov r1, r4\n\tldr r3, [r11, #24]\n\tadd r3, r4\n"                        \
        "2:\n\t" dot                                                              \
        "vmov d0, r0, r2\n\tvmov d1, r4, r6\n\tvmov d2, r8, r10\n\tvmov d3, r12, lr\n\t" \
        "ldm r11, {r0, r2, r4, r6, r8, r10}\n\tadd r1, r10\n\tadd r3, r10\n\t"    \
        "vadd.i32 q0, q0, q4\n\tvadd.i32 q1, q1, q4\n\t"                          \
        "vqrdmulh.s32 q0, q0, q6\n\tvqrdmulh.s32 q1, q1, q6\n\t"                  \
        TIES("q0", "r2") TIES("q1", "r2")                                         \
        "vrshl.s32 q0, q0, q7\n\tvrshl.s32 q1, q1, q7\n\t"                        \
        "vqmovnb.s32 q0, q0\n\tvqmovnt.s32 q0, q1\n\tvqadd.s16 q0, q0, r0\n\t"    \
        "vqmovnb.s16 q0, q0\n\tvstrb.16 q0, [r6, q5]\n\t"                         \
        "adds r6, r4\n\tsubs r8, #1\n\tstrd r6, r8, [r11, #12]\n\tbne 2b\n\t"     \
        leave NEXT_BLOCK                                                          \
        :                                                                         \
        : "r"(at)                                                                 \
        : CLOBBERED);                                                             \
  }

/* To the next four channels; the last four may overlap those before. */
#define NEXT_BLOCK                                                                \
  "ldrd r0, r1, [r11, #44]\n\tldr r2, [r11, #56]\n\t"                             \
  "adds r0, #4\n\tcmp r0, r1\n\tit hi\n\tmovhi r0, r1\n\tstr r0, [r11, #44]\n\t"   \
  "subs r2, #1\n\tstrd r5, r2, [r11, #52]\n\tbne 1b\n\t"
#define CLOBBERED                                                                 \
  "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r12", "lr", "q0", "q1", "q2", \
  "q3", "q4", "q5", "q6", "q7", "cc", "memory"

/* Seventeen to 32 taps. */
DEFINE_PAIRS(make_pairs_of_two,
             PIXELS FOUR("vmladav.s8", "]", ", #16]", ", #32]", ", #48]")
             LAST_OF_PIXELS FOUR("vmladava.s8", ", #64]", ", #80]", ", #96]", ", #112]"), "adds r5, #128\n\t")

/* More taps. An odd number of vectors starts in the middle of the loop. */
DEFINE_PAIRS(make_pairs,
             "ldrd r5, r9, [r11, #28]\n\t" PIXELS TAPS("vmladav.s8")
             "lsrs r9, r9, #1\n\tbcs 4f\n\tsubs r9, #1\n"
             "3:\n\t" PIXELS TAPS("vmladava.s8")
             "4:\n\t" PIXELS TAPS("vmladava.s8") "subs r9, #1\n\tbpl 3b\n\t"
             LAST_OF_PIXELS TAPS("vmladava.s8"), "")
/* clang-format on */

/* Pixels of up to sixteen taps: the weights of four channels stay in q0 to q3. */
__attribute__((noinline)) static void make_short(row_t *row) {
  register row_t *const at __asm__("r11") = row;
  __asm__ volatile(
      "ldr r0, [r11, #60]\n\tvctp.8 r0\n\tldm r11, {r8, r9, r10}\n\tldr r12, [r11, #24]\n"
      "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q5, [r5]\n\tvldrw.32 q6, [r5, #16]\n\t"
      "vldrw.32 q7, [r5, #32]\n\tvldrw.32 q0, [r5, #48]\n\tvldrw.32 q1, [r5, #64]\n\t"
      "vldrw.32 q2, [r5, #80]\n\tvldrw.32 q3, [r5, #96]\n\tadds r5, #112\n\t"
      "ldrd r1, r3, [r11, #40]\n\tldr lr, [r11, #36]\n\tdls lr, lr\n"
      "2:\n\tvpst\n\tvldrbt.8 q4, [r1]\n\tadd r1, r12\n\t"
      "vmladav.s8 r0, q4, q0\n\tvmladav.s8 r2, q4, q1\n\t"
      "vmladav.s8 r4, q4, q2\n\tvmladav.s8 r6, q4, q3\n\t"
      "vmov d8, r0, r2\n\tvmov d9, r4, r6\n\tvadd.i32 q4, q4, q5\n\t"
      "vqrdmulh.s32 q4, q4, q6\n\t" TIES("q4", "r9") "vrshl.s32 q4, q4, q7\n\t" SATURATE(
          "q4", "r8") "vstrb.32 q4, [r3]\n\tadd r3, r10\n\tle lr, 2b\n\t" NEXT_BLOCK
      :
      : "r"(at)
      : CLOBBERED);
}

/* One pixel. */
__attribute__((noinline)) static void make_single(row_t *row) {
  register row_t *const at __asm__("r11") = row;
  __asm__ volatile(
      "1:\n\tldr r5, [r11, #52]\n\tldm r5!, {r0, r2, r4, r6}\n\tvldrw.32 q6, [r5]\n\t"
      "vldrw.32 q7, [r5, #16]\n\tadds r5, #32\n\tldrd r1, r3, [r11, #40]\n\t"
      "ldr lr, [r11, #80]\n\tdlstp.8 lr, lr\n"
      "2:\n\tvldrb.8 q0, [r1], #16\n\tvldrb.8 q1, [r5], #16\n\tvmladava.s8 r0, q0, q1\n\t"
      "vldrb.8 q1, [r5], #16\n\tvmladava.s8 r2, q0, q1\n\t"
      "vldrb.8 q1, [r5], #16\n\tvmladava.s8 r4, q0, q1\n\t"
      "vldrb.8 q1, [r5], #16\n\tvmladava.s8 r6, q0, q1\n\tletp lr, 2b\n\t"
      "vmov d0, r0, r2\n\tvmov d1, r4, r6\n\tldrd r8, r9, [r11]\n\t"
      "vqrdmulh.s32 q0, q0, q6\n\t" TIES("q0", "r9") "vrshl.s32 q0, q0, q7\n\t" SATURATE(
          "q0", "r8") "vstrb.32 q0, [r3]\n\t" NEXT_BLOCK
      :
      : "r"(at)
      : CLOBBERED);
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

/* All channels of pixels side by side. */
static void make_pixels(const engine_layer_t *layer, row_t *row, const int8_t *x, uint32_t pixels,
                        int8_t *out) {
  const uint32_t channels = (layer->out_channels < CHANNELS) ? CHANNELS : layer->out_channels;
  const uint32_t odd = pixels % 2U;
  row->first = x;
  row->out = out;
  row->last = &out[channels - CHANNELS];
  row->block = layer->weights;
  row->blocks = (channels + CHANNELS - 1U) / CHANNELS;
  if (row->taps <= LANES) {
    row->to_step = channels;
    row->turns = pixels;
    make_short(row);
    return;
  }
  if (pixels >= 2U) {
    row->to_step = 2U * channels;
    row->turns = pixels / 2U;
    ((row->vectors == 0U) ? make_pairs_of_two : make_pairs)(row);
  }
  if (odd != 0U) {
    row->first = &x[(pixels - 1U) * row->x_step];
    row->out = &out[(pixels - 1U) * channels];
    row->last = &row->out[channels - CHANNELS];
    row->block = layer->weights;
    row->blocks = (channels + CHANNELS - 1U) / CHANNELS;
    make_single(row);
  }
}

/* Less than four channels are made apart: the assembly stores four. */
static void make_columns(const engine_layer_t *layer, row_t *row, const int8_t *x, uint32_t pixels,
                         int8_t *out) {
  const uint32_t channels = layer->out_channels;
  if (channels >= CHANNELS) {
    make_pixels(layer, row, x, pixels, out);
    return;
  }
  for (uint32_t p = 0U; p < pixels; ++p) {
    int8_t made[CHANNELS];
    make_pixels(layer, row, &x[p * row->x_step], 1U, made);
    engine_copy(&out[p * channels], made, channels);
  }
}

/* weights: of four channels biases, multipliers and negative shifts, then sixteen taps of each. */
ENGINE_KERNEL
void engine_conv_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out, void *scratch) {
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
    make_columns(layer, &state, lines[0], layer->out_width, out);
  } else {
    for (uint32_t column = 0U; column < layer->out_width; column += at_once) {
      const uint32_t others = layer->out_width - column;
      const uint32_t pixels = (others < at_once) ? others : at_once;
      gather_pixels(layer, lines, is_high, column, pixels, windows);
      make_columns(layer, &state, windows, pixels, &out[column * channels]);
    }
  }
  mve_clamp_row(layer, out);
}
