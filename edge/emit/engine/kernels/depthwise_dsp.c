/* DEPTHWISE_CONV_2D 3x3 with the DSP extension, of strides 1 and 2 along a row.
 *
 * Channel by channel, a strip of outputs is made in two passes: sums of rows 0 and 1, two taps in
 * a multiplication, then row 2, which completes and scales them. What lies outside of the image
 * above or below has its weights set to zero and counts in the bias; on the left and on the right
 * it is one column, of the zero point.
 *
 * The assembly has a fixed use of all registers, in functions that the compiler leaves alone. */
#include <stdbool.h>

#include "dsp.h"
#include "engine.h"

/* Outputs of a strip; their sums are in memory. */
#define STRIP_PIXELS 64U

/* What of a strip lies outside of the image, beside whether its pairs leave an output over: an
 * output whose last column is outside is no pair's. */
#define IS_ODD_FLAG 1U
#define RIGHT_FLAG 2U
#define LEFT_FLAG 4U
#define TOP_FLAG 8U
#define BOTTOM_FLAG 16U

/* A strip from channel 0 on, as the assembly below has it on the stack. */
typedef struct {
  const int8_t *top;
  uint32_t middle; /* how far off row 1 is */
  uint32_t step;   /* to the next pixel */
  int32_t *sums;
  const int8_t *bottom;
  int8_t *out;
  uint32_t pairs;
  uint32_t flags;
  const uint32_t *block;
  uint32_t channels;
  uint32_t zero_points; /* the input's, in both halves */
  int32_t out_zero_point;
} strip_t;

/* clang-format off */
#define TOP "[sp]"
#define STEP "[sp, #8]"
#define BOTTOM "[sp, #16]"
#define PAIRS "[sp, #24]"
#define FLAGS "[sp, #28]"
#define BLOCK "[sp, #32]"
#define CHANNELS "[sp, #36]"
#define ZERO_POINTS "[sp, #40]"

/* Rows 0 and 1 of the next column. */
#define LOAD(v)                                        \
  "ldrsb r" #v ", [r0]\n\tldrsb r12, [r0, r1]\n\t"     \
  "add r0, r0, r2\n\tpkhbt r" #v ", r" #v ", r12, lsl #16\n\t"
#define SUM(a, b, c)                                   \
  "smlad r12, r" #a ", r4, r7\n\t"                     \
  "smlad r12, r" #b ", r5, r12\n\t"                    \
  "smlad r12, r" #c ", r6, r12\n\tstr r12, [r3], #4\n\t"

/* By the stride: the first columns, two outputs, one, and one at the border. */
#define SUMS_FIRST_1 LOAD(9)
#define SUMS_TWO_1(a, b, c, d) LOAD(c) LOAD(d) SUM(a, b, c) SUM(b, c, d)
#define SUMS_PAIRS_1                                   \
  "4:\n\t" SUMS_TWO_1(8, 9, 10, 11)                    \
  "subs lr, lr, #1\n\tblo 5f\n\t" SUMS_TWO_1(10, 11, 8, 9) \
  "subs lr, lr, #1\n\tbhs 4b\n\tb 6f\n"                \
  "5:\n\tmov r8, r10\n\tmov r9, r11\n"
#define SUMS_ONE_1 LOAD(10) SUM(8, 9, 10) "mov r8, r9\n\tmov r9, r10\n"
#define SUMS_LAST_1 "ldr r10, " ZERO_POINTS "\n\t" SUM(8, 9, 10)

#define SUMS_FIRST_2
#define SUMS_PAIRS_2                                   \
  "4:\n\t" LOAD(9) LOAD(10) SUM(8, 9, 10) LOAD(9) LOAD(8) SUM(10, 9, 8) \
  "subs lr, lr, #1\n\tbhs 4b\n"
#define SUMS_ONE_2 LOAD(9) LOAD(10) SUM(8, 9, 10) "mov r8, r10\n"
#define SUMS_LAST_2 LOAD(9) SUMS_LAST_1

#define SCALE(sum) DSP_MULTIPLY(sum) DSP_AWAY(sum) DSP_SHIFT(sum) DSP_SATURATE(sum)
#define STORE_ONE SCALE(11) "strb r11, [r5]\n\tadd r5, r5, r1\n\t"
/* Row 2 of the next two columns. */
#define LOAD_TWO(v)                                    \
  "ldrsb r" #v ", [r0]\n\tldrsb r11, [r0, r1]\n\t"     \
  "add r0, r0, r1, lsl #1\n\tpkhbt r" #v ", r" #v ", r11, lsl #16\n\t"

#define OUT_FIRST_1                                    \
  "ldrsb r11, [r0]\n\tadd r0, r0, r1\n\tpkhbt r9, r9, r11, lsl #16\n\t"
#define OUT_TWO_1(a, b)                                \
  LOAD_TWO(b) "ldrd r11, lr, [r4], #8\n\t"             \
  "smlad r11, r" #a ", r7, r11\n\tsmlatb lr, r" #a ", r7, lr\n\t" \
  "smlabt r11, r" #b ", r8, r11\n\tsmlad lr, r" #b ", r8, lr\n\t" \
  DSP_MULTIPLY(11) DSP_MULTIPLY(14) DSP_AWAY(11) DSP_AWAY(14) \
  DSP_SHIFT(11) DSP_SHIFT(14) DSP_SATURATE(11) DSP_SATURATE(14) \
  "strb r11, [r5]\n\tstrb lr, [r5, r1]\n\tadd r5, r5, r1, lsl #1\n\t"
#define OUT_PAIRS_1                                    \
  "10:\n\t" OUT_TWO_1(9, 10) "subs r6, r6, #1\n\tblo 11f\n\t" \
  OUT_TWO_1(10, 9) "subs r6, r6, #1\n\tbhs 10b\n\tb 12f\n" \
  "11:\n\tmov r9, r10\n"
#define OUT_SUM_1                                      \
  "ldr r11, [r4], #4\n\tsmlad r11, r9, r7, r11\n\t"    \
  "smlabt r11, r10, r8, r11\n\t" STORE_ONE
#define OUT_ONE_1                                      \
  "ldrsb r10, [r0]\n\tadd r0, r0, r1\n\t" OUT_SUM_1    \
  "lsl r10, r10, #16\n\tpkhtb r9, r10, r9, asr #16\n"
#define OUT_LAST_1 "ldr r10, " ZERO_POINTS "\n\t" OUT_SUM_1

#define OUT_FIRST_2
#define OUT_SUM_2(a, b)                                \
  "ldr r11, [r4], #4\n\tsmlatb r11, r" #a ", r7, r11\n\t" \
  "smlad r11, r" #b ", r8, r11\n\t" STORE_ONE
#define OUT_PAIRS_2                                    \
  "10:\n\t" LOAD_TWO(10) OUT_SUM_2(9, 10) LOAD_TWO(9) OUT_SUM_2(10, 9) \
  "subs r6, r6, #1\n\tbhs 10b\n"
#define OUT_ONE_2 LOAD_TWO(10) OUT_SUM_2(9, 10) "mov r9, r10\n"
#define OUT_LAST_2                                     \
  "ldrsb r10, [r0]\n\tldr r11, " ZERO_POINTS "\n\t"    \
  "pkhbt r10, r10, r11, lsl #16\n\t" OUT_SUM_2(9, 10)

/* Where row 2's first column is for a start: below the second one, or in the upper half. */
#define OUT_SHIFT_1
#define OUT_SHIFT_2 "lsl r9, r9, #16\n"

/* Rows 0 and 1: r0 walks over row 0, row 1 is r1 off, and the next column r2; r3 walks over the
 * sums. The weights are in r4 to r6, the bias in r7, columns in r8 to r11. */
#define SUMS(stride)                                   \
  "1:\n\t"                                             \
  "ldr r12, " BLOCK "\n\t"                             \
  "ldrd r0, r1, " TOP "\n\t"                           \
  "ldm r12!, {r7, r8}\n\t"                             \
  "ldr r9, [r12]\n\t"                                  \
  "str r12, " BLOCK "\n\t"                             \
  "add r12, r0, #1\n\t"                                \
  "str r12, " TOP "\n\t"                               \
  "sxtb16 r4, r8\n\t"                                  \
  "sxtb16 r5, r8, ror #8\n\t"                          \
  "sxtb16 r6, r9\n\t"                                  \
  "ldrd r2, r3, " STEP "\n\t"                          \
  "ldrd lr, r12, " PAIRS "\n\t"                        \
  "ldr r8, " ZERO_POINTS "\n\t"                        \
  "tst r12, #24\n\t"                                   \
  "bne 15f\n"                                          \
  "2:\n\t"                                             \
  "lsls r12, r12, #30\n\t"                             \
  "bcs 3f\n\t" LOAD(8)                                 \
  "3:\n\t" SUMS_FIRST_##stride                         \
  "subs lr, lr, #1\n\tblo 6f\n" SUMS_PAIRS_##stride    \
  "6:\n\t"                                             \
  "ldr r12, " FLAGS "\n\t"                             \
  "lsls r12, r12, #31\n\t"                             \
  "bpl 7f\n\t" SUMS_ONE_##stride                       \
  "7:\n\tbcc 8f\n\t" SUMS_LAST_##stride "8:\n\t"

/* Row 2: r0 walks over it, the next column and output are r1 off; r4 walks over the sums, r5 over
 * the outputs. The weights are in r7 and r8, columns in r9 and r10; r2, r3 and r12 scale. */
#define OUTPUTS(stride)                                \
  "ldr r12, " BLOCK "\n\t"                             \
  "ldm r12!, {r0, r1, r2}\n\t"                         \
  "str r12, " BLOCK "\n\t"                             \
  "sxtb16 r7, r0, ror #8\n\t"                          \
  "sxtb16 r8, r1\n\t"                                  \
  "mov r3, #0x80000000\n\t"                            \
  "lsr r1, r1, #8\n\t"                                 \
  "asr r3, r3, r1\n\t"                                 \
  "ldrd r0, r5, " BOTTOM "\n\t"                        \
  "add r11, r0, #1\n\t"                                \
  "add r12, r5, #1\n\t"                                \
  "strd r11, r12, " BOTTOM "\n\t"                      \
  "ldrd r1, r4, " STEP "\n\t"                          \
  "ldrd r6, r11, " PAIRS "\n\t"                        \
  "ldrd r9, r12, " ZERO_POINTS "\n\t"                  \
  "lsls r11, r11, #28\n\t"                             \
  "bcs 17f\n"                                          \
  "18:\n\t"                                            \
  "lsls r11, r11, #2\n\t"                              \
  "bcs 9f\n\t"                                         \
  "ldrsb r9, [r0]\n\tadd r0, r0, r1\n\t" OUT_SHIFT_##stride \
  "9:\n\t" OUT_FIRST_##stride                          \
  "subs r6, r6, #1\n\tblo 12f\n" OUT_PAIRS_##stride    \
  "12:\n\t"                                            \
  "ldr r11, " FLAGS "\n\t"                             \
  "lsls r11, r11, #31\n\t"                             \
  "bpl 13f\n\t" OUT_ONE_##stride                       \
  "13:\n\tbcc 14f\n\t" OUT_LAST_##stride "14:\n\t"

/* Rows that are not there: their weights count in the bias alone. */
#define ABSENT                                         \
  "15:\n\t"                                            \
  "tst r12, #8\n\t"                                    \
  "beq 16f\n\t"                                        \
  "smlabb r7, r4, r8, r7\n\tsmlabb r7, r5, r8, r7\n\tsmlabb r7, r6, r8, r7\n\t" \
  "bfc r4, #0, #16\n\tbfc r5, #0, #16\n\tbfc r6, #0, #16\n" \
  "16:\n\t"                                            \
  "tst r12, #16\n\t"                                   \
  "beq 2b\n\t"                                         \
  "ldr r10, " BLOCK "\n\t"                             \
  "ldr r10, [r10, #4]\n\t"                             \
  "sxtb16 r9, r9, ror #8\n\t"                          \
  "sxtb16 r10, r10\n\t"                                \
  "smlabb r7, r9, r8, r7\n\tsmlad r7, r10, r8, r7\n\t" \
  "b 2b\n"                                             \
  "17:\n\tmov r7, #0\n\tmov r8, #0\n\tb 18b\n\t"

#define STRIP(stride)                                  \
  __asm__("push {r4-r11, lr}\n\tsub sp, sp, #48\n\t"   \
          "ldm r0, {r1-r12}\n\tstm sp, {r1-r12}\n"     \
          SUMS(stride) OUTPUTS(stride)                 \
          "ldr r0, " CHANNELS "\n\t"                   \
          "subs r0, r0, #1\n\t"                        \
          "str r0, " CHANNELS "\n\t"                   \
          "bne 1b\n\t"                                 \
          "add sp, sp, #48\n\tpop {r4-r11, pc}\n" ABSENT ".balign 4")
/* clang-format on */

DSP_NAKED static void strip1(DSP_UNUSED const strip_t *strip) { STRIP(1); }
DSP_NAKED static void strip2(DSP_UNUSED const strip_t *strip) { STRIP(2); }

/* The row's and the column's middle tap always lies in the image. */
ENGINE_KERNEL
void engine_depthwise_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch) {
  const uint32_t channels = layer->channels;
  const uint32_t stride = layer->stride_width;
  const int8_t *rows[3];
  for (uint32_t y = 0U; y < 3U; ++y) {
    rows[y] = engine_tap_row(layer, in, row, y);
  }
  const int8_t *const middle = rows[1];
  const uint32_t absent =
      ((rows[0] == NULL) ? TOP_FLAG : 0U) | ((rows[2] == NULL) ? BOTTOM_FLAG : 0U);
  const int8_t *const first = (rows[0] == NULL) ? middle : rows[0];
  const int8_t *const third = (rows[2] == NULL) ? middle : rows[2];
  const uint32_t zero_point = (uint32_t)layer->zero_point & 0xFFFFU;
  for (uint32_t start = 0U; start < layer->out_width; start += STRIP_PIXELS) {
    const uint32_t rest = layer->out_width - start;
    const uint32_t pixels = (rest < STRIP_PIXELS) ? rest : STRIP_PIXELS;
    const int32_t left = (int32_t)(start * stride) - (int32_t)layer->pad_left;
    const int32_t end = left + (int32_t)((pixels - 1U) * stride) + 3;
    const uint32_t at = (left < 0) ? 0U : ((uint32_t)left * channels);
    const uint32_t is_cut = (end > (int32_t)layer->width) ? 1U : 0U;
    const uint32_t inside = pixels - is_cut;
    const uint32_t flags = absent | ((left < 0) ? LEFT_FLAG : 0U) | (is_cut * RIGHT_FLAG) |
                           ((inside % 2U) * IS_ODD_FLAG);
    const strip_t strip = {&first[at],
                           (uint32_t)((uintptr_t)middle - (uintptr_t)first),
                           channels,
                           scratch,
                           &third[at],
                           &out[start * channels],
                           inside / 2U,
                           flags,
                           layer->weights,
                           channels,
                           (zero_point << 16) | zero_point,
                           layer->out_zero_point};
    if (stride == 1U) {
      strip1(&strip);
    } else {
      strip2(&strip);
    }
  }
  engine_clamp_row(layer, out);
}
