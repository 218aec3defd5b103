/* DEPTHWISE_CONV_2D of 3x3, a column apart, with Helium: a channel's window in one vector, eight
 * pixels a turn. */
#include <string.h>

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

#define LANES 16U
#define PIXELS 8U
#define SIDE 3U

/* A channel's words: bias, multiplier, negative shift; the weights of each column in a word. */
#define CHANNEL_WORDS 6U

/* What the assembly needs; it reads them by their offsets. */
typedef struct {
  const int32_t *words;  /* 0 */
  const uint32_t *strip; /* 4: of the channel's first column: its three rows in a word */
  int8_t *out;           /* 8 */
  int32_t zero_point;    /* 12 */
  int32_t one;           /* 16 */
  uint32_t step;         /* 20: bytes from one load to the next */
  int32_t high;          /* 24 */
  int32_t low;           /* 28 */
  uint32_t channels;     /* 32 */
  uint32_t count;        /* 36: pixels */
  uint32_t pitch;        /* 40: bytes from one column to the next */
  uint32_t out_pitch;    /* 44 */
} strip_t;

/* clang-format off */
/* Four columns of the strip have two windows. */
#define WINDOWS(to)                                                       \
  "vldrw.u32 q0, [r1, q5]\n\tadd r1, r10\n\t"                            \
  "vmladav.s8 r0, q0, q3\n\tvmladav.s8 r2, q0, q4\n\tvmov " to ", r0, r2\n\t"

/* VQDMLAH by one goes from ties away from zero to ties upwards: it lowers a negative number by one.
 */
#define SCALE(q)                                                         \
  "vadd.i32 " q ", " q ", r4\n\tvqrdmulh.s32 " q ", " q ", r5\n\t"       \
  "vqdmlah.s32 " q ", " q ", r9\n\tvrshl.s32 " q ", r6\n\t"

/* clang-format on */

/* Makes up to sixteen channels of eight pixels. Even lanes are pixels 0 to 3, odd ones 4 to 7. */
__attribute__((noinline)) static void make_channels(strip_t *strip) {
  register strip_t *const at __asm__("r12") = strip;
  __asm__ volatile(
      "movs r0, #0\n\tvidup.u32 q5, r0, #1\n\tldr r1, [r12, #40]\n\tvmul.i32 q5, q5, r1\n\t"
      "movs r0, #0\n\tvidup.u32 q6, r0, #1\n\tmov r1, #4\n\tvadd.i32 q0, q6, r1\n\t"
      "vmovnt.i32 q6, q0\n\tldr r0, [r12, #36]\n\tvcmp.s16 lt, q6, r0\n\t"
      "ldr r0, [r12, #44]\n\tvmul.i16 q6, q6, r0\n\t"
      "ldr r0, [r12, #28]\n\tvdup.16 q7, r0\n\t"
      "add r0, r12, #12\n\tldm r0, {r8, r9, r10, r11}\n\tldr lr, [r12, #32]\n\tdls lr, lr\n"
      "1:\n\tldm r12, {r0, r1, r3}\n\tldm r0!, {r4, r5, r6}\n\t"
      "vldrw.32 q3, [r0]\n\tvldrw.32 q4, [r0, #-4]\n\tadds r0, #12\n\tadds r2, r1, #4\n\t"
      "strd r0, r2, [r12]\n\tadds r2, r3, #1\n\tstr r2, [r12, #8]\n\t"
      "movs r0, #0\n\tvmov.32 q3[3], r0\n\tvmov.32 q4[0], r0\n\t"
      WINDOWS("d2") WINDOWS("d3") WINDOWS("d4") WINDOWS("d5") SCALE("q1") SCALE("q2")
      "vdup.16 q3, r11\n\tvqmovnb.s32 q1, q1\n\tvqmovnt.s32 q1, q2\n\t"
      "vqadd.s16 q1, q1, r8\n\tvmax.s16 q1, q1, q7\n\tvmin.s16 q1, q1, q3\n\t"
      "vpst\n\tvstrbt.16 q1, [r3, q6]\n\tle lr, 1b\n\t"
      :
      : "r"(at)
      : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "lr", "q0",
        "q1", "q2", "q3", "q4", "q5", "q6", "q7", "cc", "memory");
}

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

/* Columns from `left` on of up to sixteen channels, the first of them `channel`. */
static void fill_strip(const engine_layer_t *layer, const int8_t *const lines[SIDE],
                       const int8_t *zeros, int32_t left, uint32_t columns, uint32_t channel,
                       uint32_t *strip) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = (channels < LANES) ? channels : LANES;
  const int32_t after = (int32_t)layer->width - left;
  const uint32_t before = (left < 0) ? (uint32_t)(-left) : 0U;
  const uint32_t end = (after < (int32_t)columns) ? (uint32_t)after : columns;
  const uint32_t first = (uint32_t)(left + (int32_t)before) * channels;
  const int8_t *rows[SIDE];
  uint32_t steps[SIDE];
  for (uint32_t y = 0U; y < SIDE; ++y) {
    rows[y] = (lines[y] != NULL) ? &lines[y][first + channel] : zeros;
    steps[y] = (lines[y] == NULL) ? 0U : ((channels < LANES) ? LANES : channels);
  }
  const uint32_t turns = (((end - before) * pitch) + LANES - 1U) / LANES;
  interleave(rows, steps, turns, &strip[before * pitch]);
  if (before != 0U) {
    (void)memset(strip, layer->zero_point, before * pitch * 4U);
  }
  if (end != columns) {
    (void)memset(&strip[end * pitch], layer->zero_point, (columns - end) * pitch * 4U);
  }
}

/* weights: of each channel bias, multiplier, negative shift, and three words of weights. */
ENGINE_KERNEL
void engine_depthwise_3x3_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = 4U * ((channels < LANES) ? channels : LANES);
  int8_t *const zeros = scratch;
  uint32_t *const words = (uint32_t *)(void *)&zeros[LANES];
  const int8_t *lines[SIDE];
  strip_t strip;
  strip.zero_point = layer->out_zero_point;
  strip.one = 1;
  strip.step = 2U * pitch;
  strip.high = layer->high;
  strip.low = layer->low;
  strip.pitch = pitch;
  strip.out_pitch = channels;
  (void)memset(zeros, layer->zero_point, LANES);
  for (uint32_t y = 0U; y < SIDE; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; column += PIXELS) {
    const uint32_t rest = layer->out_width - column;
    const int32_t left = (int32_t)column - (int32_t)layer->pad_left;
    strip.count = (rest < PIXELS) ? rest : PIXELS;
    strip.words = (const int32_t *)layer->weights;
    for (uint32_t c = 0U; c < channels; c += LANES) {
      const uint32_t others = channels - c;
      fill_strip(layer, lines, zeros, left, (strip.count + SIDE) - 1U, c, words);
      strip.strip = words;
      strip.out = &out[(column * channels) + c];
      strip.channels = (others < LANES) ? others : LANES;
      make_channels(&strip);
    }
  }
}
