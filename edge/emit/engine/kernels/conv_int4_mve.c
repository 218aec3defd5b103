/* CONV_2D with Helium, of weights of four bits: sixteen taps of four channels by two pixels.
 *
 * Of two channels a byte has the first one's weight in its upper half. Shifted or cut, each half is
 * a byte of 16 times the weight. */
#include "conv_mve_rows.h"

/* clang-format off */
#define LAST_OF_PIXELS "vpstt\n\tvldrbt.8 q0, [r1]\n\tvldrbt.8 q1, [r3]\n\t"

/* Of two channels, sixteen taps of two pixels; q5 keeps the upper halves. */
#define TWO(mac, at, x0, x1, y0, y1)                                              \
  "vldrb.8 q2, [r5" at "\n\tvshl.i8 q3, q2, #4\n\tvand q2, q2, q5\n\t"           \
  mac " " x0 ", q0, q2\n\t" mac " " y0 ", q1, q2\n\t"                             \
  mac " " x1 ", q0, q3\n\t" mac " " y1 ", q1, q3\n\t"
#define HALVES(mac, first, second)                                                \
  TWO(mac, first, "r0", "r2", "r8", "r10") TWO(mac, second, "r4", "r6", "r12", "lr")
#define NEXT_HALVES(mac) HALVES(mac, "], #16", "], #16")

/* Pairs of pixels, of four channels a turn of the outer loop, as in conv_mve.c. */
#define DEFINE_PAIRS(name, dot, leave)                                            \
  __attribute__((noinline)) static void name(row_t *row) {                        \
    register row_t *const at __asm__("r11") = row;                                \
    __asm__ volatile(                                                             \
        "ldr r0, [r11, #60]\n\tvctp.8 r0\n\tmovs r0, #0xF0\n\tvdup.8 q5, r0\n"    \
        "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q4, [r5]\n\tvldrw.32 q6, [r5, #16]\n\t" \
        "vldrw.32 q7, [r5, #32]\n\tadds r5, #48\n\tstr r5, [r11, #28]\n\t"        \
        "add r0, r11, #36\n\tldm r0, {r2, r4, r6}\n\tstrd r6, r2, [r11, #12]\n\t" \
        "mov r1, r4\n\tldr r3, [r11, #24]\n\tadd r3, r4\n"                        \
        "2:\n\t" dot                                                              \
        "vmov d0, r0, r2\n\tvmov d1, r4, r6\n\tvmov d2, r8, r10\n\tvmov d3, r12, lr\n\t" \
        "ldm r11, {r0, r2, r4, r6, r8, r10}\n\tadd r1, r10\n\tadd r3, r10\n\t"    \
        "vshr.s32 q0, q0, #4\n\tvshr.s32 q1, q1, #4\n\t"                          \
        "vadd.i32 q0, q0, q4\n\tvadd.i32 q1, q1, q4\n\t"                          \
        STORE_PAIR("vldrw.32 q1, [r11, #64]\n\t", "q1") leave NEXT_BLOCK          \
        :                                                                         \
        : "r"(at)                                                                 \
        : CLOBBERED);                                                             \
  }

/* Seventeen to 32 taps. */
DEFINE_PAIRS(make_pairs_of_two,
             PIXELS HALVES("vmladav.s8", "]", ", #16]")
             LAST_OF_PIXELS HALVES("vmladava.s8", ", #32]", ", #48]"), "adds r5, #64\n\t")

/* More taps. An odd number of vectors starts in the middle of the loop. */
DEFINE_PAIRS(make_pairs,
             "ldrd r5, r9, [r11, #28]\n\t" PIXELS NEXT_HALVES("vmladav.s8")
             "lsrs r9, r9, #1\n\tbcs 4f\n\tsubs r9, #1\n"
             "3:\n\t" PIXELS NEXT_HALVES("vmladava.s8")
             "4:\n\t" PIXELS NEXT_HALVES("vmladava.s8") "subs r9, #1\n\tbpl 3b\n\t"
             LAST_OF_PIXELS NEXT_HALVES("vmladava.s8"), "")
/* clang-format on */

/* Pixels of up to sixteen taps: the weights of four channels stay in q0 to q3. */
__attribute__((noinline)) static void make_short(row_t *row) {
  register row_t *const at __asm__("r11") = row;
  __asm__ volatile(
      "ldr r0, [r11, #60]\n\tvctp.8 r0\n\tldm r11, {r8, r9, r10}\n\tldr r12, [r11, #24]\n"
      "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q5, [r5]\n\tvldrw.32 q6, [r5, #16]\n\t"
      "vldrw.32 q7, [r5, #32]\n\tvldrw.32 q0, [r5, #48]\n\tvldrw.32 q2, [r5, #64]\n\t"
      "adds r5, #80\n\tvshl.i8 q1, q0, #4\n\tvshl.i8 q3, q2, #4\n\t"
      "vshr.s8 q0, q0, #4\n\tvshr.s8 q1, q1, #4\n\tvshr.s8 q2, q2, #4\n\tvshr.s8 q3, q3, #4\n\t"
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
      "1:\n\tldr r5, [r11, #52]\n\tvldrw.32 q5, [r5]\n\tvldrw.32 q6, [r5, #16]\n\t"
      "vldrw.32 q7, [r5, #32]\n\tadds r5, #48\n\tldrd r1, r3, [r11, #40]\n\t"
      "movs r0, #0xF0\n\tvdup.8 q4, r0\n\tmovs r0, #0\n\tmovs r2, #0\n\t"
      "movs r4, #0\n\tmovs r6, #0\n\tldr lr, [r11, #80]\n\tdlstp.8 lr, lr\n"
      "2:\n\tvldrb.8 q0, [r1], #16\n\tvldrb.8 q1, [r5], #16\n\t"
      "vshl.i8 q2, q1, #4\n\tvand q1, q1, q4\n\t"
      "vmladava.s8 r0, q0, q1\n\tvmladava.s8 r2, q0, q2\n\tvldrb.8 q1, [r5], #16\n\t"
      "vshl.i8 q2, q1, #4\n\tvand q1, q1, q4\n\t"
      "vmladava.s8 r4, q0, q1\n\tvmladava.s8 r6, q0, q2\n\tletp lr, 2b\n\t"
      "vmov d0, r0, r2\n\tvmov d1, r4, r6\n\tldrd r8, r9, [r11]\n\t"
      "vshr.s32 q0, q0, #4\n\tvadd.i32 q0, q0, q5\n\t"
      "vqrdmulh.s32 q0, q0, q6\n\t" TIES("q0", "r9") "vrshl.s32 q0, q0, q7\n\t" SATURATE(
          "q0", "r8") "vstrb.32 q0, [r3]\n\t" NEXT_BLOCK
      :
      : "r"(at)
      : CLOBBERED);
}

/* All channels of pixels side by side. */
static void make_pixels(const engine_layer_t *layer, row_t *row, const int8_t *x, uint32_t pixels,
                        int8_t *out) {
  const uint32_t channels = layer->out_channels;
  start_row(layer, row, x, out);
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
  if ((pixels % 2U) != 0U) {
    start_row(layer, row, &x[(pixels - 1U) * row->x_step], &out[(pixels - 1U) * channels]);
    make_single(row);
  }
}

/* weights: of four channels biases, multipliers and negative shifts, then sixteen taps of two
 * channels each. */
ENGINE_KERNEL
void engine_conv_int4_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch) {
  make_row(layer, in, row, out, scratch, make_pixels);
}
