/* CONV_2D with the DSP extension: two channels by up to four pixels at a time.
 *
 * conv_dsp.c reads all weights. conv_sparse_dsp.c, which defines CONV_SPARSE, leaves out the blocks
 * of two channels by eight taps that are all zero; before each block that is there comes its
 * number. conv_int4_dsp.c, which defines CONV_INT4, reads weights of four bits: of two channels a
 * and b a byte is 16 a + b + 8, so that no sign needs to be extended. The first sum is of bytes as
 * they are, the second of their lower halves: their difference is 16 times a's sum, and what 8 adds
 * to b's, eight times the sum of the taps, is taken off it.
 *
 * What runs once for each output or tap is assembly with a fixed use of all registers, in functions
 * that the compiler leaves alone: no compiler is short of registers here, none spills any. */
#include <stdbool.h>
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define MOST_PIXELS 4U

#ifdef CONV_INT4
/* Of each pixel a word behind its taps. */
#define RAISED_WORDS 1U
#define RAISED(function) , (function)
#else
#define RAISED_WORDS 0U
#define RAISED(function)
#endif

#ifdef CONV_SPARSE
#define CONV_4 engine_conv_4_sparse_dsp
#define CONV_3 engine_conv_3_sparse_dsp
#define CONV_2 engine_conv_2_sparse_dsp
#define CONV_1 engine_conv_1_sparse_dsp
#elif defined(CONV_INT4)
#define CONV_4 engine_conv_4_int4_dsp
#define CONV_3 engine_conv_3_int4_dsp
#define CONV_2 engine_conv_2_int4_dsp
#define CONV_1 engine_conv_1_int4_dsp
#else
#define CONV_4 engine_conv_4_dsp
#define CONV_3 engine_conv_3_dsp
#define CONV_2 engine_conv_2_dsp
#define CONV_1 engine_conv_1_dsp
#endif

/* The sums of up to four pixels: r4 to r7 of the first channel, r8 to r11 of the second; what fewer
 * pixels leave holds operands. r0 walks over the weights, r1 over the taps: of each two taps a word
 * for each pixel. Loads stand side by side, where a Cortex-M4 makes all but the first in a cycle.
 */
/* clang-format off */
#ifdef CONV_INT4
/* A word of weights has two channels' four taps: bytes 0 and 2, the lower ones, come first. */
#define LOWER_TAPS(even, odd, word)                \
  "sxtb16 " even ", " word "\n\tand " odd ", " even ", #0x000F000F\n\t"
#define UPPER_TAPS(even, odd, word)                \
  "sxtb16 " even ", " word ", ror #8\n\tand " odd ", " even ", #0x000F000F\n\t"
#else
#define LOWER_TAPS(even, odd, word) UNPACK(even, odd)
#define UPPER_TAPS(even, odd, word) UNPACK(even, odd)
#endif
#define UNPACK(even, odd)                          \
  "sxtb16 " odd ", " even ", ror #8\n\tsxtb16 " even ", " even "\n\t"
#define ADD_BOTH(a, b, even, odd, x)               \
  "smlad r" #a ", " even ", " x ", r" #a "\n\t"    \
  "smlad r" #b ", " odd ", " x ", r" #b "\n\t"
/* Starts a pixel's sums: the biases are in the first one's. */
#define START(a, b, even, odd, x)                  \
  "smlad r" #a ", " even ", " x ", r4\n\t"         \
  "smlad r" #b ", " odd ", " x ", r8\n\t"

/* What a tile below has on the stack. */
#define OUT "[sp]" /* then comes the end of it, and its stride */
#define X "[sp, #12]"
#define WEIGHTS "[sp, #52]"
#define ENTRY WEIGHTS
#define LAST "[sp, #56]"
#define ZERO_POINT "[sp, #60]"

/* Before the first weights come the biases. What moves its base goes last: behind it, a load may take
 * two cycles. */
#define BIASES "ldr.w r1, " X "\n\tldr r8, [r0, #4]\n\tldr.w r2, [r0, #8]\n\t"
#ifdef CONV_INT4
#define WORD "ldr.w r2, [r0]\n\t"
#define BEHIND_BIASES "8"
#else
#define WORD "ldr r2, [r0], #4\n\t"
#define BEHIND_BIASES "12"
#endif
#define FIRST_BIAS(bytes) "ldr r4, [r0], #" bytes "\n\t"

/* By the number of pixels: four taps, the first four, and four that say whether they are the last
 * four. */
#define LOWER_4(add) add(4, 8, "r2", "r3", "r12") add(5, 9, "r2", "r3", "lr")
#define UPPER_4(add) add(6, 10, "r2", "r3", "r12") add(7, 11, "r2", "r3", "lr")
#define PAIR_4(word) "ldr r12, [r1, #8]\n\tldr lr, [r1, #12]\n\t" word
#define SUM_4(taps)                                                                \
  taps("r2", "r3", "r2") UPPER_4(ADD_BOTH) "ldrd r12, lr, [r1], #16\n\t" LOWER_4(ADD_BOTH)
#define UPPER_PAIR_4 PAIR_4("ldr r2, [r0], #4\n\t") SUM_4(UPPER_TAPS)
#define TAPS_4 PAIR_4(WORD) SUM_4(LOWER_TAPS) UPPER_PAIR_4
#define FIRST_4                                                                    \
  BIASES PAIR_4("") FIRST_BIAS(BEHIND_BIASES)                                      \
  LOWER_TAPS("r2", "r3", "r2") UPPER_4(START) "ldrd r12, lr, [r1], #16\n\t"        \
  START(5, 9, "r2", "r3", "lr") START(4, 8, "r2", "r3", "r12") UPPER_PAIR_4
#define LAST_4                                                                     \
  PAIR_4("ldr.w r3, " LAST "\n\t" WORD) "cmp.w r1, r3\n\t" SUM_4(LOWER_TAPS) UPPER_PAIR_4

/* Of fewer pixels there are registers for the weights of four taps. */
#ifdef CONV_INT4
#define FETCH "ldr r3, [r0], #4\n\t"
#define FETCH_FIRST "ldr.w r1, " X "\n\tldr r8, [r0, #4]\n\tldr.w r3, [r0, #8]\n\t" FIRST_BIAS("12")
#define FETCH_LAST(last) "ldr.w " last ", " LAST "\n\tldr r3, [r0], #4\n\tcmp.w r1, " last "\n\t"
#else
#define FETCH "ldrd r2, r3, [r0], #8\n\t"
#define FETCH_FIRST BIASES "ldr.w r3, [r0, #12]\n\t" FIRST_BIAS("16")
#define FETCH_LAST(last)                                                           \
  "ldr.w " last ", " LAST "\n\tldr.w r3, [r0, #4]\n\tldr r2, [r0], #8\n\t"               \
  "cmp.w r1, " last "\n\t"
#endif

#define X_3 "ldm r1!, {r7, r12, lr}\n\t"
#define SUM_3(taps, add, even)                                                     \
  taps(even, "r11", "r3") add(6, 10, even, "r11", "lr") add(5, 9, even, "r11", "r12")  \
  add(4, 8, even, "r11", "r7")
#define FOUR_3(add) X_3 SUM_3(LOWER_TAPS, add, "r2") X_3 SUM_3(UPPER_TAPS, ADD_BOTH, "r3")
#define TAPS_3 FETCH FOUR_3(ADD_BOTH)
#define FIRST_3 FETCH_FIRST FOUR_3(START)
#define LAST_3 FETCH_LAST("r11") FOUR_3(ADD_BOTH)

#define SUM_2(taps, add, even, first, second)                                      \
  taps(even, "r10", "r3") add(5, 9, even, "r10", second) add(4, 8, even, "r10", first)
#define FOUR_2(add)                                                                \
  "ldm r1!, {r6, r7, r12, lr}\n\t" SUM_2(LOWER_TAPS, add, "r2", "r6", "r7")        \
  SUM_2(UPPER_TAPS, ADD_BOTH, "r3", "r12", "lr")
#define TAPS_2 FETCH FOUR_2(ADD_BOTH)
#define FIRST_2 FETCH_FIRST FOUR_2(START)
#define LAST_2 FETCH_LAST("r10") FOUR_2(ADD_BOTH)

#define SUM_1(taps, even, x) taps(even, "r10", "r3") ADD_BOTH(4, 8, even, "r10", x)
#define FOUR_1 "ldrd r12, lr, [r1], #8\n\t" SUM_1(LOWER_TAPS, "r2", "r12") SUM_1(UPPER_TAPS, "r3", "lr")
#define TAPS_1 FETCH FOUR_1
#define FIRST_1 FETCH_FIRST FOUR_1
#define LAST_1 FETCH_LAST("r10") FOUR_1

#ifdef CONV_SPARSE
#define COPY(a, b) "mov r" #a ", r4\n\tmov r" #b ", r8\n\t"
#define COPY_4 COPY(7, 11) COPY_3
#define COPY_3 COPY(6, 10) COPY_2
#define COPY_2 COPY(5, 9)
#define COPY_1
/* Adds to r1 where block r2 is among the taps. */
#define FIND_4 "add r1, r1, r2, lsl #6\n\t"
#define FIND_3 "add r2, r2, r2, lsl #1\n\tadd r1, r1, r2, lsl #4\n\t"
#define FIND_2 "add r1, r1, r2, lsl #5\n\t"
#define FIND_1 "add r1, r1, r2, lsl #4\n\t"
#define ENTER(n)
/* Before the biases stands how far behind them the last block is. */
#define SUMS(n)                                                                    \
  "ldm r0!, {r2, r4, r8}\n\tadd r3, r0, r2\n\tstr r3, " LAST "\n\t" COPY_##n           \
  "cmp r2, #0\n\tblt 4f\n\t.balign 4\n"                                            \
  "2:\n\tldr.w r3, " LAST "\n\tldr.w r1, " X "\n\tldr r2, [r0], #4\n\t" FIND_##n          \
  "cmp.w r0, r3\n\t" TAPS_##n TAPS_##n "bne 2b\n4:\n\t"
#else
/* Weights come in turns of eight taps; two turns are unrolled, and an odd number of them enters in
 * the middle: what bit of the distance to the last four taps tells, by the number of pixels. */
#define ENTER_(bit, even, odd)                                                     \
  "ldr r2, " LAST "\n\tsubs r2, r2, r3\n\tadr r3, " odd "\n\ttst r2, #" bit "\n\t"      \
  "beq 6f\n\tadr r3, " even "\n6:\n\tadds r3, #1\n\tstr r3, " ENTRY "\n\t"
#define ENTER_4 ENTER_("64", "3f", "5f")
#define ENTER_3 ENTER_("16", "5f", "3f")
#define ENTER_2 ENTER_("32", "3f", "5f")
#define ENTER_1 ENTER_("16", "3f", "5f")
#define ENTER(n) ENTER_##n
#define SUMS(n)                                                                    \
  FIRST_##n "ldr pc, " ENTRY "\n\t.balign 4\n2:\n\t" TAPS_##n "3:\n\t" TAPS_##n        \
  TAPS_##n "5:\n\t" LAST_##n "bne 2b\n\t"
#endif

#ifdef CONV_INT4
/* What is taken off the second channel's sums stands behind the taps. */
#define PART(a, b, raised)                                                         \
  "sub r" #a ", r" #a ", r" #b "\n\tasr r" #a ", r" #a ", #4\n\t"                  \
  "add r" #b ", r" #b ", " raised "\n\t"
#define PART_4 "ldm r1, {r2, r3, r12, lr}\n\t" PART(4, 8, "r2") PART(5, 9, "r3") PART(6, 10, "r12") PART(7, 11, "lr")
#define PART_3 "ldm r1, {r2, r3, r12}\n\t" PART(4, 8, "r2") PART(5, 9, "r3") PART(6, 10, "r12")
#define PART_2 "ldrd r2, r3, [r1]\n\t" PART(4, 8, "r2") PART(5, 9, "r3")
#define PART_1 "ldr r2, [r1]\n\t" PART(4, 8, "r2")
#define PART_OF(n) PART_##n

/* The products of a pixel's taps with -8. */
#define RAISE(x, sum) "smlad r" #sum ", r" #x ", r3, r" #sum "\n\t"
#define RAISE_4 RAISE(4, 8) RAISE(5, 9) RAISE(6, 10) RAISE(7, 11)
#define RAISE_3 RAISE(4, 8) RAISE(5, 9) RAISE(6, 10)
#define RAISE_2 RAISE(4, 8) RAISE(5, 9)
#define RAISE_1 RAISE(4, 8)
#define RAISE_PIXELS(n, words, store)                                              \
  __asm__("push {r4-r11}\n\tmvn r3, #0x00070007\n\tmov r8, #0\n\t"              \
          "mov r9, #0\n\tmov r10, #0\n\tmov r11, #0\n\t"                       \
          "1:\n\tldm r0!, {" words "}\n\t" RAISE_##n "cmp r0, r1\n\tbne 1b\n\t"  \
          store "\n\tpop {r4-r11}\n\tbx lr\n\t.balign 4")
#else
#define PART_OF(n)
#endif

/* The scales of the first channel are in r1 and r2, of the second in r3 and lr: as DSP_MULTIPLY and
 * DSP_SHIFT have them, but most shifts are one less than a negative power of two, which rounds ties
 * away from zero; where it cannot, the first shift is even. */
#define MULTIPLY_A(sum) "smmlar r" #sum ", r" #sum ", r1, r" #sum "\n\t"
#define SHIFT_A(sum) "smmlsr r" #sum ", r" #sum ", r2, r12\n\t"
#define MULTIPLY_B(sum) "smmlar r" #sum ", r" #sum ", r3, r" #sum "\n\t"
#define SHIFT_B(sum) "smmlsr r" #sum ", r" #sum ", lr, r12\n\t"
#define EACH_4(do, a, b, c, d) do(a) do(b) do(c) do(d)
#define EACH_3(do, a, b, c, d) do(a) do(b) do(c)
#define EACH_2(do, a, b, c, d) do(a) do(b)
#define EACH_1(do, a, b, c, d) do(a)
#define BOTH(n, do_a, do_b) EACH_##n(do_a, 4, 5, 6, 7) EACH_##n(do_b, 8, 9, 10, 11)
/* r1 is before the first pixel's output, lr the stride. */
#define STORE_4                                                                    \
  "strb r4, [r1, #1]!\n\tadd r3, r1, lr, lsl #1\n\tstrb r5, [r1, lr]\n\t"           \
  "strb r6, [r3]\n\tstrb r7, [r3, lr]\n\tstrb r8, [r1, #1]!\n\tstrb r9, [r1, lr]\n\t"  \
  "strb r10, [r3, #1]!\n\tstrb r11, [r3, lr]\n\t"
#define STORE_3                                                                    \
  "strb r4, [r1, #1]!\n\tstrb r5, [r1, lr]\n\tstrb r6, [r1, lr, lsl #1]\n\t"       \
  "strb r8, [r1, #1]!\n\tstrb r9, [r1, lr]\n\tstrb r10, [r1, lr, lsl #1]\n\t"
#define STORE_2                                                                    \
  "strb r4, [r1, #1]!\n\tstrb r5, [r1, lr]\n\t"                                    \
  "strb r8, [r1, #1]!\n\tstrb r9, [r1, lr]\n\t"
#define STORE_1 "strb r4, [r1, #1]!\n\tstrb r8, [r1, #1]!\n\t"
#define TILE(n)                                                                    \
  __asm__("subs r0, #1\n\tsubs r1, #1\n\tpush {r0-r11, lr}\n\t"              \
          "ldr r0, " WEIGHTS "\n\t" ENTER(n) ".balign 4\n1:\n\t" SUMS(n) PART_OF(n)           \
          "ldr r12, " ZERO_POINT "\n\tldm r0!, {r1, r2, r3, lr}\n\t"               \
          BOTH(n, MULTIPLY_A, MULTIPLY_B) "tst r2, #1\n\tbeq 8f\n7:\n\t"            \
          BOTH(n, SHIFT_A, SHIFT_B) BOTH(n, DSP_SATURATE, DSP_SATURATE)            \
          "ldm sp, {r1, r2, lr}\n\t" STORE_##n                                     \
          "str r1, " OUT "\n\tcmp r1, r2\n\tbne 1b\n\t"                            \
          "add sp, sp, #16\n\tpop {r4-r11, pc}\n"                                  \
          "8:\n\t" BOTH(n, DSP_AWAY, DSP_AWAY) "b 7b\n\t.balign 4")

/* Row by row, bytes of pixels become words of two halfwords, side by side for the pixels: of four bytes the
 * first and the third, then the second and the fourth; of what is left over, two by two. The pixels
 * end at r0, r3, r12 and r2; lr is what is left, less than zero. */
#define ROW "[sp]"
#define STEP "[sp, #8]"
#define WORDS_END "[sp, #12]"
#define WORDS "[sp, #52]"
#define REST "[sp, #56]"
#define ROWS_END "[sp, #60]"
#define FROM_4 "adds r3, r0, r2\n\tadd r12, r0, r2, lsl #1\n\tadd r2, r3, r2, lsl #1\n\t"
#define FROM_3 "adds r3, r0, r2\n\tadd r12, r0, r2, lsl #1\n\t"
#define FROM_2 "adds r3, r0, r2\n\t"
#define FROM_1
#define PIXELS_4(do) do(4, 8, "r0") do(5, 9, "r3") do(6, 10, "r12") do(7, 11, "r2")
#define PIXELS_3(do) do(4, 7, "r0") do(5, 8, "r3") do(6, 9, "r12")
#define PIXELS_2(do) do(4, 6, "r0") do(5, 7, "r3")
#define PIXELS_1(do) do(4, 5, "r0")
#define LOAD_WORD(even, odd, from) "ldr r" #even ", [" from ", lr]\n\t"
#define LOAD_BYTE(even, odd, from) "ldrsb r" #even ", [" from "]\n\t"
#define UNPACK_ODD(even, odd, from) "sxtb16 r" #odd ", r" #even ", ror #8\n\t"
#define UNPACK_EVEN(even, odd, from) "sxtb16 r" #even ", r" #even "\n\t"
#define UNPACK_PAIR(even, odd, from)                                               \
  "ldrsb r" #even ", [" from "], #1\n\tldrsb r" #odd ", [" from "], #1\n\t"        \
  "pkhbt r" #even ", r" #even ", r" #odd ", lsl #16\n\t"
#define UNPACK_ROWS(n, words, pairs)                                               \
  __asm__("push {r0-r11, lr}\n"                                                    \
          "1:\n\tldr r4, " ROW "\n\tldr r2, " STEP "\n\tldr r3, " WORDS_END "\n\t"    \
          "ldr r5, " WORDS "\n\tldr r0, [r4], #4\n\tstr r4, " ROW "\n\t"            \
          "add r0, r3\n\t" FROM_##n "rsbs lr, r5, #0\n\tbeq 3f\n"                  \
          "2:\n\t" PIXELS_##n(LOAD_WORD) PIXELS_##n(UNPACK_ODD)                     \
          PIXELS_##n(UNPACK_EVEN) "stm r1!, {" words "}\n\tadds lr, lr, #4\n\tbne 2b\n" \
          "3:\n\tldr lr, " REST "\n\tlsls lr, lr, #31\n\tbcc 4f\n\t"                 \
          PIXELS_##n(UNPACK_PAIR) "stm r1!, {" pairs "}\n"                         \
          "4:\n\tbpl 5f\n\t" PIXELS_##n(LOAD_BYTE) "stm r1!, {" pairs "}\n"        \
          "5:\n\tldr r4, " ROW "\n\tldr r5, " ROWS_END "\n\tcmp r4, r5\n\tbne 1b\n\t"  \
          "add sp, sp, #16\n\tmov r0, r1\n\tpop {r4-r11, pc}\n\t.balign 4")
/* clang-format on */

typedef const uint32_t *make_tile_t(int8_t *out, const int8_t *out_end, uint32_t stride,
                                    const uint32_t *x, const uint32_t *weights,
                                    const uint32_t *last, int32_t zero_point);

#ifdef CONV_INT4
typedef void raise_tile_t(const uint32_t *x, const uint32_t *end, uint32_t *to);
#endif

/* What a number of pixels needs. Only the tiles that a program's layers take are linked. */
typedef struct {
  uint32_t pixels;
  dsp_unpack_t *unpack;
  make_tile_t *make;
#ifdef CONV_INT4
  raise_tile_t *raise;
#endif
} tile_t;

/* Makes outputs of some pixels, `stride` apart, of an even number of channels, at least two.
 * `last` is where the last four taps are. Returns where the next channels' weights are. */
#define MAKE_TILE(n)                                                                        \
  DSP_NAKED static const uint32_t *make_tile##n(                                            \
      DSP_UNUSED int8_t *out, DSP_UNUSED const int8_t *out_end, DSP_UNUSED uint32_t stride, \
      DSP_UNUSED const uint32_t *x, DSP_UNUSED const uint32_t *weights,                     \
      DSP_UNUSED const uint32_t *last, DSP_UNUSED int32_t zero_point)

/* Unpacks what the window sees of pixels that are `step` apart: of each row, `words` bytes that end
 * at `words_end`, and a `rest` of up to three. Returns where the next words go. */
#define UNPACK_TILE(n)                                                                        \
  DSP_NAKED static uint32_t *unpack##n(                                                       \
      DSP_UNUSED const int8_t *const *rows, DSP_UNUSED uint32_t *x, DSP_UNUSED uint32_t step, \
      DSP_UNUSED uint32_t words_end, DSP_UNUSED uint32_t words, DSP_UNUSED uint32_t rest,     \
      DSP_UNUSED const int8_t *const *rows_end)

MAKE_TILE(4) { TILE(4); }
MAKE_TILE(3) { TILE(3); }
MAKE_TILE(2) { TILE(2); }
MAKE_TILE(1) { TILE(1); }
UNPACK_TILE(4) { UNPACK_ROWS(4, "r4-r11", "r4-r7"); }
UNPACK_TILE(3) { UNPACK_ROWS(3, "r4-r9", "r4-r6"); }
UNPACK_TILE(2) { UNPACK_ROWS(2, "r4-r7", "r4, r5"); }
UNPACK_TILE(1) { UNPACK_ROWS(1, "r4, r5", "r4"); }

#ifdef CONV_INT4
/* Writes what is to be added to each pixel's sums of second channels, of the taps up to `end`. */
#define RAISE_TILE(n)                                                                          \
  DSP_NAKED static void raise##n(DSP_UNUSED const uint32_t *x, DSP_UNUSED const uint32_t *end, \
                                 DSP_UNUSED uint32_t *to)

RAISE_TILE(4) { RAISE_PIXELS(4, "r4-r7", "stm r2, {r8-r11}"); }
RAISE_TILE(3) { RAISE_PIXELS(3, "r4-r6", "stm r2, {r8-r10}"); }
RAISE_TILE(2) { RAISE_PIXELS(2, "r4, r5", "strd r8, r9, [r2]"); }
RAISE_TILE(1) { RAISE_PIXELS(1, "r4", "str r8, [r2]"); }
#endif

static void all_channels(const engine_layer_t *layer, const tile_t *tile, const uint32_t *x,
                         const uint32_t *last, int8_t *out) {
  const uint32_t channels = layer->out_channels;
  const uint32_t even = channels & ~1U;
  const int32_t zero_point = layer->out_zero_point;
  const uint32_t *weights = layer->weights;
  if (even != 0U) {
    weights = tile->make(out, &out[even], channels, x, weights, last, zero_point);
  }
  if (even != channels) {
    /* The last channel has one of zeros at its side, which goes nowhere. */
    int8_t both[2U * MOST_PIXELS];
    (void)tile->make(both, &both[2], 2U, x, weights, last, zero_point);
    for (uint32_t p = 0U; p < tile->pixels; ++p) {
      out[(p * channels) + even] = both[2U * p];
    }
  }
}

/* Windows that have gaps, or of pixels that have gaps between them: one behind another. */
__attribute__((noinline)) static void collect_windows(const engine_layer_t *layer,
                                                      const int8_t *line, int32_t left,
                                                      uint32_t pixels, int8_t *to) {
  const uint32_t channels = layer->channels;
  for (uint32_t p = 0U; p < pixels; ++p) {
    int32_t column = left + (int32_t)(p * layer->stride_width);
    for (uint32_t t = 0U; t < layer->window_width; ++t) {
      (void)memset(to, layer->zero_point, channels);
      if ((line != NULL) && (column >= 0) && (column < (int32_t)layer->width)) {
        engine_copy(to, &line[(uint32_t)column * channels], channels);
      }
      to = &to[channels];
      column += (int32_t)layer->dilation_width;
    }
  }
}

/* What the windows of a tile's pixels see, put together in `run` row by row: they reach over the
 * border of the image, where the zero point is, or have gaps. */
__attribute__((noinline)) static void gather(const engine_layer_t *layer, const tile_t *tile,
                                             const int8_t *const lines[], int32_t left, uint32_t *x,
                                             int8_t *run) {
  const uint32_t width = layer->window_width;
  const uint32_t channels = layer->channels;
  const uint32_t bytes = width * channels;
  const uint32_t words = bytes & ~3U;
  const bool has_gaps = (layer->dilation_width > 1U) || (layer->stride_width > width);
  const uint32_t seen = ((tile->pixels - 1U) * layer->stride_width) + width;
  const uint32_t step = has_gaps ? bytes : (layer->stride_width * channels);
  const int32_t right = left + (int32_t)seen;
  const int32_t first = (left > 0) ? left : 0;
  const int32_t last = (right < (int32_t)layer->width) ? right : (int32_t)layer->width;
  const int8_t *const whole = run;
  bool is_blank = false;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    const int8_t *const line = lines[y];
    if (has_gaps) {
      collect_windows(layer, line, left, tile->pixels, run);
    } else {
      /* What is outside stays from row to row. */
      if ((line == NULL) || !is_blank) {
        (void)memset(run, layer->zero_point, seen * channels);
        is_blank = true;
      }
      if ((line != NULL) && (first < last)) {
        engine_copy(&run[(uint32_t)(first - left) * channels], &line[(uint32_t)first * channels],
                    (uint32_t)(last - first) * channels);
      }
    }
    x = DSP_UNPACK(tile, &whole, x, step, words, words, bytes - words, &whole + 1);
  }
}

/* A row goes in tiles of `wide`, but for as many of one pixel less as leave no other rest. */
static void make_row(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out, void *scratch, const tile_t *wide, const tile_t *narrow) {
  const int8_t **const lines = scratch;
  const int8_t *const *const end = &lines[layer->window_height];
  uint32_t *const x = (uint32_t *)&lines[layer->window_height];
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t words = bytes & ~3U;
  const uint32_t used = layer->window_height * ((words / 2U) + ((bytes - words + 1U) / 2U));
  /* Weights are filled up with zeros to whole turns of the loop: what lies there does not count. */
  const uint32_t pairs = (used + 3U) & ~3U;
  int8_t *const run = (int8_t *)&x[wide->pixels * (pairs + RAISED_WORDS)];
  const uint32_t stride = layer->stride_width;
  const uint32_t step = stride * layer->channels;
  bool is_whole = layer->dilation_width == 1U;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
    is_whole = is_whole && (lines[y] != NULL);
  }
  int32_t left = -(int32_t)layer->pad_left;
  uint32_t rest = layer->out_width;
  int8_t *to = out;
  while (rest != 0U) {
    const tile_t *const tile = ((rest % wide->pixels) != 0U) ? narrow : wide;
    const uint32_t pixels = tile->pixels;
    const int32_t right = left + (int32_t)(((pixels - 1U) * stride) + layer->window_width);
    if (is_whole && (left >= 0) && (right <= (int32_t)layer->width)) {
      const uint32_t offset = (uint32_t)left * layer->channels;
      (void)DSP_UNPACK(tile, lines, x, step, offset + words, words, bytes - words, end);
    } else {
      gather(layer, tile, lines, left, x, run);
    }
#ifdef CONV_INT4
    tile->raise(x, &x[pixels * used], &x[pixels * pairs]);
#endif
    all_channels(layer, tile, x, &x[pixels * (pairs - 2U)], to);
    left += (int32_t)(pixels * stride);
    to = &to[pixels * layer->out_channels];
    rest -= pixels;
  }
  engine_clamp_row(layer, out);
}

static const tile_t tile4 = {4U, unpack4, make_tile4 RAISED(raise4)};
static const tile_t tile3 = {3U, unpack3, make_tile3 RAISED(raise3)};
static const tile_t tile2 = {2U, unpack2, make_tile2 RAISED(raise2)};
static const tile_t tile1 = {1U, unpack1, make_tile1 RAISED(raise1)};

/* Of rows of a multiple of four pixels. */
ENGINE_KERNEL
void CONV_4(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
            void *scratch) {
  make_row(layer, in, row, out, scratch, &tile4, &tile4);
}

/* Of other rows, of three pixels or of six or more. */
ENGINE_KERNEL
void CONV_3(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
            void *scratch) {
  make_row(layer, in, row, out, scratch, &tile4, &tile3);
}

/* Of rows of five pixels and of two. */
ENGINE_KERNEL
void CONV_2(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
            void *scratch) {
  make_row(layer, in, row, out, scratch, &tile3, &tile2);
}

/* Of rows of one pixel. */
ENGINE_KERNEL
void CONV_1(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
            void *scratch) {
  make_row(layer, in, row, out, scratch, &tile1, &tile1);
}
