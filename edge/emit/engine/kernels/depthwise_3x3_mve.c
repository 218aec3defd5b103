/* DEPTHWISE_CONV_2D of 3x3, one or two columns apart, with Helium: a channel's window in one
 * vector, four or eight pixels a turn. */
#include <stdbool.h>
#include <string.h>

#include "mve.h"

#define LANES 16U
#define PIXELS 8U
#define SIDE 3U

/* A channel's words: bias, multiplier, negative shift; the weights of each column in a word. */
#define CHANNEL_WORDS 6U

/* What the assembly needs; it reads them by their offsets. */
typedef struct {
  int32_t zero_point;    /* 0 */
  int32_t one;           /* 4 */
  uint32_t step;         /* 8: bytes of four columns */
  uint32_t back;         /* 12: from behind the last window to the next channel's first */
  const uint32_t *words; /* 16 */
  const uint32_t *strip; /* 20: of the channel's first column: its three rows in a word */
  int8_t *out;           /* 24 */
  uint32_t channels;     /* 28 */
  uint32_t count;        /* 32: pixels */
  uint32_t columns[4];   /* 36: from the strip; the first four, and those two after them */
  uint32_t others[4];    /* 52 */
  uint16_t pixels[8];    /* 68: even lanes are pixels 0 to 3, odd ones 4 to 7 */
  uint16_t places[8];    /* 84: of the pixels */
} strip_t;

/* clang-format off */
/* A column apart, four columns have two windows; two columns apart they have one. */
#define TWO(to, columns)                                                  \
  "vldrw.u32 q0, [r1, " columns "]\n\t"                                   \
  "vmladav.s8 r0, q0, q3\n\tvmladav.s8 r2, q0, q4\n\tvmov " to ", r0, r2\n\t"
#define ONE_AND_ONE(to)                                                   \
  "vldrw.u32 q0, [r1, q5]\n\tvmladav.s8 r0, q0, q3\n\t"                   \
  "vldrw.u32 q4, [r1, q7]\n\tvmladav.s8 r2, q4, q3\n\tvmov " to ", r0, r2\n\t"
#define ON "add r1, r10\n\t"
#define BACK "add r1, r11\n\t"
#define SHIFTED "vldrw.32 q4, [r12, #-4]\n\tvmov.32 q4[0], r0\n\t"

#define SCALE(q)                                                          \
  "vadd.i32 " q ", " q ", r4\n\tvqrdmulh.s32 " q ", " q ", r5\n\t"        \
  TIES(q, "r9") "vrshl.s32 " q ", r6\n\t"

/* Makes up to sixteen channels of some pixels. */
#define DEFINE(name, windows, finish)                                     \
  __attribute__((noinline)) static void name(const strip_t *strip) {      \
    register const strip_t *at __asm__("r0") = strip;                     \
    __asm__ volatile(                                                     \
        "ldm r0, {r8, r9, r10, r11, r12}\n\tldrd r1, r3, [r0, #20]\n\t"   \
        "ldrd r2, r4, [r0, #28]\n\tvldrw.32 q5, [r0, #36]\n\t"            \
        "vldrw.32 q7, [r0, #52]\n\tvldrw.32 q6, [r0, #68]\n\t"            \
        "vcmp.s16 lt, q6, r4\n\tvldrw.32 q6, [r0, #84]\n\tdls lr, r2\n"   \
        "1:\n\tldm r12!, {r4, r5, r6}\n\tmovs r0, #0\n\t"                 \
        "vldrw.32 q3, [r12]\n\tvmov.32 q3[3], r0\n\t"                     \
        windows "adds r12, #12\n\t" finish                                \
        "vqadd.s16 q2, q2, r8\n\tvqmovnb.s16 q2, q2\n\t"                  \
        "vpst\n\tvstrbt.16 q2, [r3, q6]\n\tadds r3, #1\n\tle lr, 1b\n\t"  \
        : "+r"(at)                                                        \
        :                                                                 \
        : "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "r12", "lr", "q0",  \
          "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");      \
  }
#define FOUR SCALE("q2") "vqmovnb.s32 q2, q2\n\t"
#define EIGHT                                                             \
  SCALE("q2") SCALE("q1") "vqmovnb.s32 q2, q2\n\tvqmovnt.s32 q2, q1\n\t"

DEFINE(make_four, SHIFTED TWO("d4", "q5") TWO("d5", "q7") BACK, FOUR)
DEFINE(make_eight,
       SHIFTED TWO("d4", "q5") TWO("d5", "q7") ON TWO("d2", "q5") TWO("d3", "q7") BACK, EIGHT)
DEFINE(make_four_apart, ONE_AND_ONE("d4") ON ONE_AND_ONE("d5") BACK, FOUR)
DEFINE(make_eight_apart,
       ONE_AND_ONE("d4") ON ONE_AND_ONE("d5") ON ONE_AND_ONE("d2") ON ONE_AND_ONE("d3") BACK,
       EIGHT)
/* clang-format on */

/* Puts the bytes of three rows side by side, in words, sixteen at a time. Reads up to fifteen bytes
 * more than there are; the state's memory has them. */
static inline void interleave(const int8_t *const rows[SIDE], const uint32_t steps[SIDE],
                              uint32_t turns, uint32_t *to) {
  const int8_t *r0 = rows[0], *r1 = rows[1], *r2 = rows[2];
  __asm__ volatile(
      "dls lr, %[turns]\n"
      "1:\n\tvldrb.8 q0, [%[r0]]\n\tvldrb.8 q1, [%[r1]]\n\tvldrb.8 q2, [%[r2]]\n\t"
      "add %[r0], %[s0]\n\tadd %[r1], %[s1]\n\tadd %[r2], %[s2]\n\t"
      "vst40.8 {q0, q1, q2, q3}, [%[to]]\n\tvst41.8 {q0, q1, q2, q3}, [%[to]]\n\t"
      "vst42.8 {q0, q1, q2, q3}, [%[to]]\n\tvst43.8 {q0, q1, q2, q3}, [%[to]]!\n\t"
      "le lr, 1b\n\t"
      : [r0] "+r"(r0), [r1] "+r"(r1), [r2] "+r"(r2), [to] "+r"(to)
      : [turns] "r"(turns), [s0] "r"(steps[0]), [s1] "r"(steps[1]), [s2] "r"(steps[2])
      : "q0", "q1", "q2", "q3", "lr", "memory");
}

static void make_channels(const strip_t *strip, bool is_apart) {
  if (strip->count > (PIXELS / 2U)) {
    (is_apart ? make_eight_apart : make_eight)(strip);
  } else {
    (is_apart ? make_four_apart : make_four)(strip);
  }
}

/* All channels of up to eight pixels; the first one's window starts at `left`. */
static void make_pixels(const engine_layer_t *layer, strip_t *strip,
                        const int8_t *const lines[SIDE], const int8_t *zeros, int32_t left,
                        uint32_t *words) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = (channels < LANES) ? channels : LANES;
  const uint32_t columns = ((strip->count - 1U) * layer->stride_width) + SIDE;
  const uint32_t before = (left < 0) ? (uint32_t)(-left) : 0U;
  const uint32_t after = (uint32_t)((int32_t)layer->width - left);
  const uint32_t end = (after < columns) ? after : columns;
  const uint32_t turns = (((end - before) * pitch) + LANES - 1U) / LANES;
  const int8_t *rows[SIDE];
  uint32_t steps[SIDE];
  for (uint32_t y = 0U; y < SIDE; ++y) {
    rows[y] = zeros;
    steps[y] = 0U;
    if (lines[y] != NULL) {
      rows[y] = &lines[y][(uint32_t)(left + (int32_t)before) * channels];
      steps[y] = (channels < LANES) ? LANES : channels;
    }
  }
  strip->words = layer->weights;
  for (uint32_t c = 0U; c < channels; c += LANES) {
    const uint32_t others = channels - c;
    interleave(rows, steps, turns, &words[before * pitch]);
    if (c == 0U) {
      /* What lies beside the image is the same for all channels. */
      (void)memset(words, layer->zero_point, before * pitch * 4U);
      (void)memset(&words[end * pitch], layer->zero_point, (columns - end) * pitch * 4U);
    }
    strip->channels = (others < LANES) ? others : LANES;
    make_channels(strip, layer->stride_width != 1U);
    strip->words = &strip->words[LANES * CHANNEL_WORDS];
    strip->out = &strip->out[LANES];
    for (uint32_t y = 0U; y < SIDE; ++y) {
      rows[y] = (steps[y] != 0U) ? &rows[y][LANES] : zeros;
    }
  }
}

/* weights: of each channel bias, multiplier, negative shift, and three words of weights. */
ENGINE_KERNEL
void engine_depthwise_3x3_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const uint32_t stride = layer->stride_width;
  const uint32_t pitch = 4U * ((channels < LANES) ? channels : LANES);
  int8_t *const zeros = scratch;
  uint32_t *const words = (uint32_t *)(void *)&zeros[LANES];
  const int8_t *lines[SIDE];
  strip_t strip = {.zero_point = layer->out_zero_point, .one = 1, .step = 4U * pitch};
  strip.strip = words;
  for (uint32_t n = 0U; n < 4U; ++n) {
    strip.columns[n] = n * pitch;
    strip.others[n] = (n + 2U) * pitch;
    strip.pixels[2U * n] = (uint16_t)n;
    strip.pixels[(2U * n) + 1U] = (uint16_t)(n + 4U);
    strip.places[2U * n] = (uint16_t)(n * channels);
    strip.places[(2U * n) + 1U] = (uint16_t)((n + 4U) * channels);
  }
  (void)memset(zeros, layer->zero_point, LANES);
  for (uint32_t y = 0U; y < SIDE; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; column += PIXELS) {
    const uint32_t rest = layer->out_width - column;
    strip.count = (rest < PIXELS) ? rest : PIXELS;
    /* The steps over four columns of the turn's windows, taken back, and a word on. */
    const uint32_t steps = (strip.count > (PIXELS / 2U)) ? (2U * stride) - 1U : stride - 1U;
    strip.back = 4U - (steps * strip.step);
    strip.out = &out[column * channels];
    make_pixels(layer, &strip, lines, zeros, (int32_t)(column * stride) - (int32_t)layer->pad_left,
                words);
  }
  mve_clamp_row(layer, out);
}
