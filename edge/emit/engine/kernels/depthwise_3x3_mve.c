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
                              uint32_t channel, uint32_t turns, uint32_t *to) {
  /* A row above or below the image has the same bytes for all channels. */
  const int8_t *r0 = (steps[0] == 0U) ? rows[0] : &rows[0][channel];
  const int8_t *r1 = (steps[1] == 0U) ? rows[1] : &rows[1][channel];
  const int8_t *r2 = (steps[2] == 0U) ? rows[2] : &rows[2][channel];
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

/* Offsets of columns in the strip, which are `pitch` bytes apart, and of pixels in the row. */
static inline void set_places(strip_t *strip, uint32_t pitch, uint32_t channels) {
  uint32_t number = 0U;
  __asm__ volatile(
      "vidup.u32 q0, %[number], #1\n\tvadd.i32 q2, q0, %[four]\n\tvmul.i32 q1, q0, %[pitch]\n\t"
      "vmovnt.i32 q0, q2\n\tvstrw.32 q1, [%[at], #36]\n\tvadd.i32 q1, q1, %[two]\n\t"
      "vstrw.32 q1, [%[at], #52]\n\tvmul.i16 q1, q0, %[channels]\n\t"
      "vstrw.32 q0, [%[at], #68]\n\tvstrw.32 q1, [%[at], #84]\n\t"
      : [number] "+Te"(number)
      : [at] "r"(strip), [four] "r"(4), [pitch] "r"(pitch), [two] "r"(2U * pitch),
        [channels] "r"(channels)
      : "q0", "q1", "q2", "memory");
}

/* Pixels of the layer's next channels; the strip starts at `words`. */
static inline void make_strip(const engine_layer_t *layer, strip_t *strip, uint32_t pixels,
                              const uint32_t *words, int8_t *out) {
  const uint32_t stride = layer->stride_width;
  for (uint32_t p = 0U; p < pixels; p += PIXELS) {
    const uint32_t rest = pixels - p;
    const bool is_half = rest <= (PIXELS / 2U);
    /* The steps over four columns of a turn's windows, taken back, and a word on. */
    strip->back = 4U - (strip->step * (is_half ? (stride - 1U) : ((2U * stride) - 1U)));
    strip->count = (rest < PIXELS) ? rest : PIXELS;
    strip->strip = &words[p * stride * (strip->step / 16U)];
    strip->out = &out[p * layer->channels];
    if (is_half) {
      ((stride == 1U) ? make_four : make_four_apart)(strip);
    } else {
      ((stride == 1U) ? make_eight : make_eight_apart)(strip);
    }
  }
}

/* All channels of pixels; the first one's window starts at `left`. */
static void make_pixels(const engine_layer_t *layer, strip_t *strip,
                        const int8_t *const lines[SIDE], const int8_t *zeros, int32_t left,
                        uint32_t pixels, uint32_t *words, int8_t *out) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = (channels < LANES) ? channels : LANES;
  const uint32_t columns = ((pixels - 1U) * layer->stride_width) + SIDE;
  const uint32_t before = (left < 0) ? (uint32_t)(-left) : 0U;
  const uint32_t after = (uint32_t)((int32_t)layer->width - left);
  const uint32_t end = (after < columns) ? after : columns;
  const uint32_t turns = (((end - before) * pitch) + LANES - 1U) / LANES;
  const uint32_t step = (channels < LANES) ? LANES : channels;
  const int8_t *rows[SIDE];
  uint32_t steps[SIDE];
  for (uint32_t y = 0U; y < SIDE; ++y) {
    const bool is_outside = lines[y] == NULL;
    rows[y] = is_outside ? zeros : &lines[y][(uint32_t)(left + (int32_t)before) * channels];
    steps[y] = is_outside ? 0U : step;
  }
  strip->words = layer->weights;
  for (uint32_t c = 0U; c < channels; c += LANES) {
    const uint32_t others = channels - c;
    interleave(rows, steps, c, turns, &words[before * pitch]);
    if (c == 0U) {
      /* What lies beside the image is the same for all channels. */
      if (before != 0U) {
        (void)memset(words, layer->zero_point, before * pitch * 4U);
      }
      if (end != columns) {
        (void)memset(&words[end * pitch], layer->zero_point, (columns - end) * pitch * 4U);
      }
    }
    strip->channels = (others < LANES) ? others : LANES;
    make_strip(layer, strip, pixels, words, &out[c]);
    strip->words = &strip->words[LANES * CHANNEL_WORDS];
  }
}

/* weights: of each channel bias, multiplier, negative shift, and three words of weights. */
ENGINE_KERNEL
void engine_depthwise_3x3_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = 4U * ((channels < LANES) ? channels : LANES);
  /* As many as sixteen words have pixels of all channels. */
  const uint32_t at_once = (channels < LANES) ? (PIXELS * (LANES / channels)) : PIXELS;
  int8_t *const zeros = scratch;
  uint32_t *const words = (uint32_t *)(void *)&zeros[LANES];
  const int8_t *lines[SIDE];
  strip_t strip;
  strip.zero_point = layer->out_zero_point;
  strip.one = 1;
  strip.step = 4U * pitch;
  set_places(&strip, pitch, channels);
  for (uint32_t y = 0U; y < SIDE; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
    if (lines[y] == NULL) {
      (void)memset(zeros, layer->zero_point, LANES);
    }
  }
  for (uint32_t column = 0U; column < layer->out_width; column += at_once) {
    const uint32_t rest = layer->out_width - column;
    make_pixels(layer, &strip, lines, zeros,
                (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left,
                (rest < at_once) ? rest : at_once, words, &out[column * channels]);
  }
  mve_clamp_row(layer, out);
}
