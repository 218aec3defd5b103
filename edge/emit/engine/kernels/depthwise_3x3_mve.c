/* DEPTHWISE_CONV_2D of 3x3, one or two columns apart, with Helium: a channel's window in one
 * vector, four or eight pixels a turn. */
#include <stdbool.h>

#include "mve.h"

#define LANES 16U
#define PIXELS 8U
#define SIDE 3U

/* What the assembly needs; it reads it by its offsets. */
typedef struct {
  const int8_t *rows[SIDE]; /* 0: of sixteen channels */
  uint32_t steps[SIDE];     /* 12 */
  uint32_t *to;             /* 24 */
  uint32_t ahead[SIDE];     /* 28: from a row's end to the next channels */
  int32_t zero_point;       /* 40 */
  int32_t one;              /* 44 */
  uint32_t step;            /* 48: bytes of four columns */
  uint32_t back;            /* 52: from the last windows to the next channel's first */
  const uint32_t *heads;    /* 56 */
  uint32_t turns;           /* 60: vectors of a row; none if the strip is filled */
  uint32_t *beside;         /* 64: columns beside the image */
  uint32_t beside_words;    /* 68 */
  uint32_t beside_value;    /* 72 */
  int8_t *out;              /* 76 */
  int32_t channels;         /* 80: left over */
  uint32_t count;           /* 84: pixels */
  uint32_t columns[4];      /* 88: from the strip; the first four, and those two after them */
  uint32_t others[4];       /* 104 */
  uint16_t pixels[8];       /* 120: even lanes are pixels 0 to 3, odd ones 4 to 7 */
  uint16_t places[8];       /* 136: of the pixels */
  uint32_t *strip;          /* 152: of a column the bytes of three rows are a word */
  const uint32_t *taps;     /* 156 */
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
#define BOTH "vldrw.32 q4, [r7], #4\n\tvldrw.32 q3, [r7], #12\n\tldrsb r6, [r7, #-9]\n\t"
#define FIRST "vldrw.32 q3, [r7], #16\n\tldrsb r6, [r7, #-13]\n\t"

#define SCALE(q)                                                          \
  "vadd.i32 " q ", " q ", r4\n\tvqrdmulh.s32 " q ", " q ", r5\n\t"        \
  TIES(q, "r9") "vrshl.s32 " q ", r6\n\t"

/* All channels of some pixels, sixteen a turn. Puts the bytes of three rows side by side, in words;
 * reads up to fifteen bytes more than there are, the state's memory has them. */
#define DEFINE(name, windows, finish)                                     \
  MVE_NAKED static void name(strip_t *strip MVE_UNUSED) {                 \
    __asm__ volatile(                                                     \
        "push {r0, r4-r11, lr}\n\tvpush {d8-d15}\n\tmov r7, r0\n\t"           \
        "add r1, r7, #40\n\tldm r1, {r8, r9, r10, r11, r12}\n\t"          \
        "vldrw.32 q5, [r7, #88]\n\tvldrw.32 q7, [r7, #104]\n\t"           \
        "vldrw.32 q6, [r7, #120]\n\tldr r0, [r7, #84]\n\t"                \
        "vcmp.s16 lt, q6, r0\n\tvldrw.32 q6, [r7, #136]\n"                \
        "1:\n\tldm r7, {r0, r1, r2, r3, r4, r5, r6}\n\t"                  \
        "ldr lr, [r7, #60]\n\tvmov.i32 q3, #0\n\twls lr, lr, 3f\n"                           \
        "2:\n\tvldrb.8 q0, [r0]\n\tvldrb.8 q1, [r1]\n\tvldrb.8 q2, [r2]\n\t" \
        "add r0, r3\n\tadd r1, r4\n\tadd r2, r5\n\t"                      \
        "vst40.8 {q0, q1, q2, q3}, [r6]\n\tvst41.8 {q0, q1, q2, q3}, [r6]\n\t" \
        "vst42.8 {q0, q1, q2, q3}, [r6]\n\tvst43.8 {q0, q1, q2, q3}, [r6]!\n\t" \
        "le lr, 2b\n\t"                                                   \
        "add r6, r7, #28\n\tldm r6, {r3, r4, r5}\n\t"                     \
        "add r0, r3\n\tadd r1, r4\n\tadd r2, r5\n\tstm r7, {r0, r1, r2}\n" \
        "3:\n\tadd r0, r7, #64\n\tldm r0, {r1, r2, r3, r4, r5}\n\t"       \
        "vdup.32 q0, r3\n\twlstp.32 lr, r2, 5f\n"                          \
        "4:\n\tvstrw.32 q0, [r1], #16\n\tletp lr, 4b\n"                   \
        "5:\n\tmov r3, r4\n\tadds r4, #16\n\tmov r2, #16\n\tsubs r5, #16\n\t" \
        "it mi\n\taddmi r2, r5\n\tstrd r4, r5, [r7, #76]\n\t"             \
        "ldrd r1, r7, [r7, #152]\n\tdls lr, r2\n"                            \
        "6:\n\tldrd r4, r5, [r12], #8\n\t"                                 \
        windows finish                                \
        "vqadd.s16 q2, q2, r8\n\tvqmovnb.s16 q2, q2\n\t"                  \
        "vpst\n\tvstrbt.16 q2, [r3, q6]\n\tadds r3, #1\n\tle lr, 6b\n\t"  \
        "ldr r0, [sp, #64]\n\tstr r7, [r0, #156]\n\tmov r7, r0\n\t"       \
        "ldr r0, [r7, #80]\n\tcmp r0, #0\n\tbgt 1b\n\t"                   \
        "vpop {d8-d15}\n\tadd sp, #4\n\tpop {r4-r11, pc}\n\t");                         \
  }
#define FOUR SCALE("q2") "vqmovnb.s32 q2, q2\n\t"
#define EIGHT                                                             \
  SCALE("q2") SCALE("q1") "vqmovnb.s32 q2, q2\n\tvqmovnt.s32 q2, q1\n\t"

DEFINE(make_four, BOTH TWO("d4", "q5") TWO("d5", "q7") BACK, FOUR)
DEFINE(make_eight,
       BOTH TWO("d4", "q5") TWO("d5", "q7") ON TWO("d2", "q5") TWO("d3", "q7") BACK, EIGHT)
DEFINE(make_four_apart, FIRST ONE_AND_ONE("d4") ON ONE_AND_ONE("d5") BACK, FOUR)
DEFINE(make_eight_apart,
       FIRST ONE_AND_ONE("d4") ON ONE_AND_ONE("d5") ON ONE_AND_ONE("d2") ON ONE_AND_ONE("d3") BACK,
       EIGHT)
/* clang-format on */

/* Offsets of columns in the strip, which are `pitch` bytes apart, and of pixels in the row. */
static inline void set_places(strip_t *strip, uint32_t pitch, uint32_t channels) {
  uint32_t number = 0U;
  __asm__ volatile(
      "vidup.u32 q0, %[number], #1\n\tvadd.i32 q2, q0, %[four]\n\tvmul.i32 q1, q0, %[pitch]\n\t"
      "vmovnt.i32 q0, q2\n\tvstrw.32 q1, [%[at], #88]\n\tvadd.i32 q1, q1, %[two]\n\t"
      "vstrw.32 q1, [%[at], #104]\n\tvmul.i16 q1, q0, %[channels]\n\t"
      "vstrw.32 q0, [%[at], #120]\n\tvstrw.32 q1, [%[at], #136]\n\t"
      : [number] "+Te"(number)
      : [at] "r"(strip), [four] "r"(4), [pitch] "r"(pitch), [two] "r"(2U * pitch),
        [channels] "r"(channels)
      : "q0", "q1", "q2", "memory");
}

/* Where the strip's rows come from; the first window starts at `left`. */
static void set_rows(const engine_layer_t *layer, strip_t *strip, const int8_t *const lines[SIDE],
                     const int8_t *zeros, int32_t left, uint32_t columns) {
  const uint32_t channels = layer->channels;
  const uint32_t pitch = strip->step / 16U;
  const uint32_t before = (left < 0) ? (uint32_t)(-left) : 0U;
  const uint32_t after = (uint32_t)((int32_t)layer->width - left);
  const uint32_t end = (after < columns) ? after : columns;
  const uint32_t first = (uint32_t)(left + (int32_t)before) * channels;
  const uint32_t step = (channels < LANES) ? LANES : channels;
  strip->to = &strip->strip[before * pitch];
  strip->turns = (((end - before) * pitch) + LANES - 1U) / LANES;
  strip->beside = &strip->strip[end * pitch];
  strip->beside_words = (columns - end) * pitch;
  for (uint32_t n = 0U; n < (before * pitch); ++n) {
    strip->strip[n] = strip->beside_value;
  }
  for (uint32_t y = 0U; y < SIDE; ++y) {
    const bool is_outside = lines[y] == NULL;
    strip->rows[y] = is_outside ? zeros : &lines[y][first];
    strip->steps[y] = is_outside ? 0U : step;
    strip->ahead[y] = is_outside ? 0U : (LANES - (strip->turns * step));
  }
}

/* All channels of pixels from `column` on, eight at a time from one strip. */
static void make_pixels(const engine_layer_t *layer, strip_t *strip, uint32_t pixels, int8_t *out) {
  const uint32_t stride = layer->stride_width;
  for (uint32_t p = 0U; p < pixels; p += PIXELS) {
    const uint32_t rest = pixels - p;
    const bool is_half = rest <= (PIXELS / 2U);
    /* The steps over four columns of a turn's windows, taken back, and a word on. */
    strip->back = 4U - (strip->step * (is_half ? (stride - 1U) : ((2U * stride) - 1U)));
    /* Two windows of four columns take the zero before the weights, too. */
    strip->taps = &layer->weights[(stride == 1U) ? 0U : 1U];
    strip->heads = &layer->weights[(4U * layer->channels) + 1U];
    strip->out = &out[p * layer->channels];
    strip->channels = layer->channels;
    strip->count = (rest < PIXELS) ? rest : PIXELS;
    if (is_half) {
      ((stride == 1U) ? make_four : make_four_apart)(strip);
    } else {
      ((stride == 1U) ? make_eight : make_eight_apart)(strip);
    }
    strip->turns = 0U;
    strip->beside_words = 0U;
    strip->strip = &strip->strip[PIXELS * stride * (strip->step / 16U)];
  }
}

/* weights: of each channel a zero and three words of weights, one for each column, the negative
 * shift in the first one's last byte, which meets a zero; a zero; of each channel bias and
 * multiplier. */
ENGINE_KERNEL
void engine_depthwise_3x3_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const uint32_t stride = layer->stride_width;
  const uint32_t pitch = 4U * ((channels < LANES) ? channels : LANES);
  /* As many as sixteen words have pixels of all channels. */
  const uint32_t at_once = (channels < LANES) ? (PIXELS * (LANES / channels)) : PIXELS;
  int8_t *const zeros = scratch;
  const int8_t *lines[SIDE];
  strip_t strip;
  strip.zero_point = layer->out_zero_point;
  strip.one = 1;
  strip.step = 4U * pitch;
  strip.beside_value = (uint8_t)layer->zero_point * 0x010101UL;
  set_places(&strip, pitch, channels);
  (void)mve_fill(zeros, layer->zero_point, LANES);
  for (uint32_t y = 0U; y < SIDE; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  for (uint32_t column = 0U; column < layer->out_width; column += at_once) {
    const uint32_t rest = layer->out_width - column;
    const uint32_t pixels = (rest < at_once) ? rest : at_once;
    strip.strip = (uint32_t *)(void *)&zeros[LANES];
    set_rows(layer, &strip, lines, zeros, (int32_t)(column * stride) - (int32_t)layer->pad_left,
             ((pixels - 1U) * stride) + SIDE);
    make_pixels(layer, &strip, pixels, &out[column * channels]);
  }
  mve_clamp_row(layer, out);
}
