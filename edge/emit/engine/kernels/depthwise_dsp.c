/* DEPTHWISE_CONV_2D 3x3 with the DSP extension, of strides 1 and 2 along a row.
 *
 * Four channels of a strip are unpacked together. Of each two columns a channel gets three words:
 * rows 0 and 1 of the first column, of the second one, and row 2 of both. Five multiplications of
 * pairs then make an output. The sums take the place of the columns, and are scaled at last.
 *
 * What runs once for each column or output is assembly with a fixed use of all registers, in
 * functions that the compiler leaves alone. */
#include <stdbool.h>
#include <string.h>

#include "dsp.h"
#include "engine.h"

/* Columns in memory, two by two, and what they suffice for by the stride. */
#define STRIP_PAIRS 17U
#define PAIR_WORDS 12U

/* Of a channel: its bias, three words of weights, with the shift in the last one, its multiplier.
 */
#define CHANNEL_WORDS 5U

/* Pairs of columns up to `end`: where the three rows of the first column of channel 0 are, and how
 * far off the next column is, which may be anywhere for a single pair. */
typedef struct {
  const int8_t *top;
  const int8_t *middle;
  uint32_t top_step;
  uint32_t middle_step;
  const int8_t *bottom;
  uint32_t bottom_step;
  const uint32_t *end;
} segment_t;

/* Pairs on the left of the image, one across its border, those inside, and so on the right. */
#define SEGMENT_COUNT 5U

/* Four channels from `channel` on, of all segments up to `end`: rows 0 and 1, then row 2. */
DSP_NAKED static void unpack_columns(DSP_UNUSED const segment_t *segments,
                                     DSP_UNUSED uint32_t channel, DSP_UNUSED uint32_t *to,
                                     DSP_UNUSED const uint32_t *end) {
  /* clang-format off */
  __asm__("push {r0-r11, lr}\n\t"
          "mov lr, r0\n\t"
          "mov r12, r2\n"
          "1:\n\t"
          "ldr r5, [sp, #4]\n\t"
          "ldr r4, [lr, #24]\n\t"
          "ldm lr, {r0, r1, r2, r3}\n\t"
          "add lr, lr, #28\n\t"
          "add r0, r0, r5\n\t"
          "add r1, r1, r5\n\t"
          "push {r4, lr}\n"
          "2:\n\t"
          "ldr r4, [r0]\n\t"
          "ldr r5, [r1]\n\t"
          "ldr r6, [r0, r2]\n\t"
          "ldr r7, [r1, r3]\n\t"
          "add r0, r0, r2, lsl #1\n\t"
          "add r1, r1, r3, lsl #1\n\t"
          "sxtb16 r8, r4, ror #8\n\t"
          "sxtb16 r9, r5, ror #8\n\t"
          "sxtb16 r10, r6, ror #8\n\t"
          "sxtb16 r11, r7, ror #8\n\t"
          "pkhbt lr, r8, r9, lsl #16\n\t"
          "pkhtb r9, r9, r8, asr #16\n\t"
          "pkhbt r8, r10, r11, lsl #16\n\t"
          "pkhtb r11, r11, r10, asr #16\n\t"
          "strd lr, r8, [r12, #12]\n\t"
          "strd r9, r11, [r12, #36]\n\t"
          "sxtb16 r4, r4\n\t"
          "sxtb16 r5, r5\n\t"
          "sxtb16 r6, r6\n\t"
          "sxtb16 r7, r7\n\t"
          "pkhbt lr, r4, r5, lsl #16\n\t"
          "pkhtb r5, r5, r4, asr #16\n\t"
          "pkhbt r8, r6, r7, lsl #16\n\t"
          "pkhtb r7, r7, r6, asr #16\n\t"
          "strd r5, r7, [r12, #24]\n\t"
          "strd lr, r8, [r12], #48\n\t"
          "ldr lr, [sp]\n\t"
          "cmp r12, lr\n\t"
          "bne 2b\n\t"
          "pop {r4, lr}\n\t"
          "ldr r5, [sp, #12]\n\t"
          "cmp r12, r5\n\t"
          "bne 1b\n\t"
          "pop {r8, r9, r10, r11}\n"
          "3:\n\t"
          "ldrd r0, r1, [r8, #16]\n\t"
          "ldr r3, [r8, #24]\n\t"
          "add r8, r8, #28\n\t"
          "add r0, r0, r9\n"
          "4:\n\t"
          "ldr r4, [r0]\n\t"
          "ldr r5, [r0, r1]\n\t"
          "add r0, r0, r1, lsl #1\n\t"
          "sxtb16 r6, r4, ror #8\n\t"
          "sxtb16 r7, r5, ror #8\n\t"
          "sxtb16 r4, r4\n\t"
          "sxtb16 r5, r5\n\t"
          "pkhbt r12, r6, r7, lsl #16\n\t"
          "pkhtb r7, r7, r6, asr #16\n\t"
          "str r12, [r10, #20]\n\t"
          "str r7, [r10, #44]\n\t"
          "pkhbt r12, r4, r5, lsl #16\n\t"
          "pkhtb r5, r5, r4, asr #16\n\t"
          "str r12, [r10, #8]\n\t"
          "str r5, [r10, #32]\n\t"
          "add r10, r10, #48\n\t"
          "cmp r10, r3\n\t"
          "bne 4b\n\t"
          "cmp r10, r11\n\t"
          "bne 3b\n\t"
          "pop {r4-r11, pc}\n\t"
          ".balign 4");
  /* clang-format on */
}

/* Where a column of a row is; outside of the image there is the zero point. */
static const int8_t *column_of(const engine_layer_t *layer, const int8_t *row, int32_t at,
                               const int8_t *zeros) {
  const bool is_there = (row != NULL) && (at >= 0) && (at < (int32_t)layer->width);
  return is_there ? &row[(uint32_t)at * layer->channels] : zeros;
}

/* Columns from `at` on, two by two. */
static void find_columns(const engine_layer_t *layer, const int8_t *const rows[3], int32_t at,
                         const int8_t *zeros, segment_t *segment, const uint32_t *to,
                         const uint32_t *end) {
  while (to != end) {
    const int8_t *first[3];
    uint32_t step[3];
    uint32_t pairs = (uint32_t)(end - to) / PAIR_WORDS;
    for (uint32_t y = 0U; y < 3U; ++y) {
      first[y] = column_of(layer, rows[y], at, zeros);
      const int8_t *const second = column_of(layer, rows[y], at + 1, zeros);
      step[y] = (uint32_t)((uintptr_t)second - (uintptr_t)first[y]);
    }
    if (at < (int32_t)layer->width) {
      /* Two columns on the same side of the border. */
      const int32_t alike = ((at < 0) ? -at : ((int32_t)layer->width - at)) / 2;
      const uint32_t some = (alike > 1) ? (uint32_t)alike : 1U;
      pairs = (pairs < some) ? pairs : some;
    }
    to = &to[pairs * PAIR_WORDS];
    *segment = (segment_t){first[0], first[1], step[0], step[1], first[2], step[2], to};
    segment = &segment[1];
    at += (int32_t)(2U * pairs);
  }
}

/* What STRIP below has on the stack. */
/* clang-format off */
#define BIASES "[sp]"
#define LEFT "[sp, #8]"
#define BLOCK "[sp, #12]"
#define COLUMNS_OUT "[sp, #16]"
#define COLUMNS "[sp, #16]"
#define OUT "[sp, #20]"
#define END "[sp, #24]"
#define PIXELS "[sp, #64]"
#define STRIDE "[sp, #68]"
#define ZERO_POINT "[sp, #72]"
#define IS_ODD "[sp, #76]"

/* Three words of two columns. */
#define FETCH(v, w, last) \
  "ldrd r" #v ", r" #w ", [r0], #48\n\tldr r" #last ", [r0, #-40]\n\t"
/* The weights are in r1 to r3, those of row 2 in r4, and in r5 one tap on. Two outputs: */
#define STEP_1(v0, v1, p, v2, v3, q)                   \
  FETCH(v2, v3, q)                                     \
  "ldrd r12, lr, " BIASES "\n\t"                       \
  "smlad r12, r" #v0 ", r1, r12\n\t"                   \
  "smlad lr, r" #v1 ", r1, lr\n\t"                     \
  "smlad r12, r" #v1 ", r2, r12\n\t"                   \
  "smlad lr, r" #v2 ", r2, lr\n\t"                     \
  "smlad r12, r" #v2 ", r3, r12\n\t"                   \
  "smlad lr, r" #v3 ", r3, lr\n\t"                     \
  "smlad r12, r" #p ", r4, r12\n\t"                    \
  "smlatb lr, r" #p ", r4, lr\n\t"                     \
  "smlabt r12, r" #q ", r5, r12\n\t"                   \
  "smlad lr, r" #q ", r5, lr\n\t"                      \
  "strd r12, lr, [r0, #-96]\n\t"
/* One output. */
#define STEP_2(v0, v1, p, v2, v3, q)                   \
  FETCH(v2, v3, q)                                     \
  "ldr r12, " BIASES "\n\t"                            \
  "smlad r12, r" #v0 ", r1, r12\n\t"                   \
  "smlad r12, r" #v1 ", r2, r12\n\t"                   \
  "smlad r12, r" #v2 ", r3, r12\n\t"                   \
  "smlad r12, r" #p ", r4, r12\n\t"                    \
  "smlabt r12, r" #q ", r5, r12\n\t"                   \
  "str r12, [r0, #-96]\n\t"
#define TWO_SUMS_1 "ldrd r4, r5, [r0], #48\n\t"
#define TWO_SUMS_2 "ldr r5, [r0, #48]\n\tldr r4, [r0], #96\n\t"

#define UNPACK_WEIGHTS                                 \
  "ldr r12, " BLOCK "\n\t"                             \
  "ldr r0, " COLUMNS "\n\t"                            \
  "ldm r12!, {r2, r3, r4, r5}\n\t"                     \
  "str r12, " BLOCK "\n\t"                             \
  "strd r2, r2, " BIASES "\n\t"                        \
  "sxtb16 r1, r3\n\t"                                  \
  "sxtb16 r2, r3, ror #8\n\t"                          \
  "sxtb16 r3, r4\n\t"                                  \
  "sxtb16 r4, r4, ror #8\n\t"                          \
  "sxtb16 r5, r5\n\t"

/* As dsp.h says: r2 and r3 scale; the output is r1, its stride lr. */
#define FETCH_SCALE                                    \
  "ldrd r0, r1, " COLUMNS_OUT "\n\t"                   \
  "ldr r7, " BLOCK "\n\t"                              \
  "mov r3, #0x80000000\n\t"                            \
  "ldr r4, [r7, #-4]\n\t"                              \
  "ldr r2, [r7], #4\n\t"                               \
  "lsr r4, r4, #8\n\t"                                 \
  "asr r3, r3, r4\n\t"                                 \
  "str r7, " BLOCK "\n\t"                              \
  "ldr r6, " PIXELS "\n\t"                             \
  "ldr lr, " STRIDE "\n\t"                             \
  "ldr r12, " ZERO_POINT "\n\t"

#define STRIP(stride)                                                                 \
  __asm__("push {r0-r11, lr}\n\tsub sp, sp, #12\n\tmov r4, #4\n\tstr r4, " LEFT "\n"  \
          "1:\n\t" UNPACK_WEIGHTS                                                     \
          "ldr r12, " IS_ODD "\n\tcmp r12, #0\n\tbeq 2f\n\t"                          \
          FETCH(9, 10, 11) "b 4f\n"                                                   \
          "2:\n\t" FETCH(6, 7, 8)                                                     \
          "3:\n\t" STEP_##stride(6, 7, 8, 9, 10, 11)                                  \
          "4:\n\t" STEP_##stride(9, 10, 11, 6, 7, 8)                                  \
          "ldr r12, " END "\n\tcmp r0, r12\n\tbne 3b\n\t" FETCH_SCALE                 \
          "subs r6, r6, #2\n\tblo 6f\n"                                               \
          "5:\n\t" TWO_SUMS_##stride DSP_MULTIPLY(4) DSP_MULTIPLY(5) DSP_AWAY(4)      \
          DSP_AWAY(5) DSP_SHIFT(4) DSP_SHIFT(5) DSP_SATURATE(4) DSP_SATURATE(5)       \
          "strb r4, [r1]\n\tstrb r5, [r1, lr]\n\tadd r1, r1, lr, lsl #1\n\t"          \
          "subs r6, r6, #2\n\tbhs 5b\n"                                               \
          "6:\n\tcmn r6, #1\n\tbne 7f\n\tldr r4, [r0]\n\t" DSP_MULTIPLY(4)            \
          DSP_AWAY(4) DSP_SHIFT(4) DSP_SATURATE(4) "strb r4, [r1]\n"                  \
          "7:\n\tldrd r0, r1, " COLUMNS_OUT "\n\tldr r2, " END "\n\tldr r3, " LEFT    \
          "\n\tadd r0, r0, #12\n\tadd r1, r1, #1\n\tadd r2, r2, #12\n\t"              \
          "subs r3, r3, #1\n\tstrd r0, r1, " COLUMNS_OUT "\n\tstr r2, " END           \
          "\n\tstr r3, " LEFT "\n\tbne 1b\n\tadd sp, sp, #28\n\tpop {r4-r11, pc}\n\t" \
          ".balign 4")
/* clang-format on */

/* Four channels of `pixels` outputs, `stride` apart. `is_odd` is whether there is an odd number of
 * steps, which are of two outputs, or of one where every other column is one's middle. */
#define STRIP_FUNCTION(n)                                                                        \
  DSP_NAKED static void strip##n(DSP_UNUSED const uint32_t *block, DSP_UNUSED uint32_t *columns, \
                                 DSP_UNUSED int8_t *out, DSP_UNUSED const uint32_t *end,         \
                                 DSP_UNUSED uint32_t pixels, DSP_UNUSED uint32_t stride,         \
                                 DSP_UNUSED int32_t zero_point, DSP_UNUSED uint32_t is_odd)

STRIP_FUNCTION(1) { STRIP(1); }
STRIP_FUNCTION(2) { STRIP(2); }

/* All channels of a strip of `pixels` outputs, of which the first one is number `start`. */
static void make_strip(const engine_layer_t *layer, const int8_t *const rows[3], uint32_t start,
                       uint32_t pixels, int8_t *out, uint32_t *columns, const int8_t *zeros) {
  segment_t segments[SEGMENT_COUNT];
  const uint32_t channels = layer->channels;
  const uint32_t steps = (layer->stride_width == 1U) ? ((pixels + 1U) / 2U) : pixels;
  const uint32_t *const end = &columns[(steps + 1U) * PAIR_WORDS];
  const uint32_t *block = layer->weights;
  find_columns(layer, rows, (int32_t)(start * layer->stride_width) - (int32_t)layer->pad_left,
               zeros, segments, columns, end);
  for (uint32_t c = 0U; c < channels; c += 4U) {
    unpack_columns(segments, c, columns, end);
    if (layer->stride_width == 1U) {
      strip1(block, columns, &out[c], end, pixels, channels, layer->out_zero_point, steps % 2U);
    } else {
      strip2(block, columns, &out[c], end, pixels, channels, layer->out_zero_point, steps % 2U);
    }
    block = &block[4U * CHANNEL_WORDS];
  }
}

ENGINE_KERNEL
void engine_depthwise_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch) {
  int8_t *const zeros = scratch;
  uint32_t *const columns = (uint32_t *)scratch + (layer->channels / 4U);
  const int8_t *const rows[3] = {engine_tap_row(layer, in, row, 0U),
                                 engine_tap_row(layer, in, row, 1U),
                                 engine_tap_row(layer, in, row, 2U)};
  (void)memset(zeros, layer->zero_point, layer->channels);
  const uint32_t most = (STRIP_PAIRS - 1U) * ((layer->stride_width == 1U) ? 2U : 1U);
  for (uint32_t start = 0U; start < layer->out_width; start += most) {
    const uint32_t rest = layer->out_width - start;
    const uint32_t pixels = (rest < most) ? rest : most;
    make_strip(layer, rows, start, pixels, &out[start * layer->channels], columns, zeros);
  }
  engine_clamp_row(layer, out);
}
