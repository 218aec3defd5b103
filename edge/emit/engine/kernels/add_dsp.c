/* ADD with the DSP extension: four elements in turn, all constants in registers. */
#include "dsp.h"
#include "engine.h"

/* In the order of the registers r0 to r8 and r12. */
typedef struct {
  const int8_t *wide;   /* the input of the larger scale, which is only shifted to the left */
  const int8_t *scaled; /* the other one */
  int32_t multiplier;
  int32_t right;
  int8_t *out;
  uint32_t scaled_zero_point; /* raised by 20 bits */
  int32_t scaled_multiplier;
  int32_t scaled_right;
  uint32_t wide_start; /* minus the zero point, raised by 19 bits */
  int32_t out_zero_point;
} add_t;

/* Sums in r9 and r10 of what was loaded there and in r11 and lr, and their outputs. */
/* clang-format off */
#define SCALE(scaled, wide)                               \
  "rsb r" #scaled ", r5, r" #scaled ", lsl #20\n\t"       \
  "add " wide ", r8, " wide ", lsl #19\n\t"               \
  "smmlar r" #scaled ", r" #scaled ", r6, r" #scaled "\n\t" \
  DSP_AWAY(scaled)                                        \
  "smmlsr r" #scaled ", r" #scaled ", r7, " wide "\n\t"   \
  DSP_MULTIPLY(scaled) DSP_AWAY(scaled) DSP_SHIFT(scaled) DSP_SATURATE(scaled)

/* As many elements as lie before `end`, which is one of `wide`, in fours, and `rest` more. */
DSP_NAKED static void add_all(DSP_UNUSED const add_t *add, DSP_UNUSED const int8_t *end,
                              DSP_UNUSED uint32_t rest) {
  __asm__("push {r1-r11, lr}\n\t"
          "ldm r0, {r0-r8, r12}\n\t"
          "b 2f\n"
          "1:\n\t"
          "ldrsb r9, [r1, #2]\n\t"
          "ldrsb r10, [r1, #3]\n\t"
          "ldrsb r11, [r0, #2]\n\t"
          "ldrsb lr, [r0, #3]\n\t"
          SCALE(9, "r11") SCALE(10, "lr")
          "strb r9, [r4, #2]\n\t"
          "strb r10, [r4, #3]\n\t"
          "ldrsb r10, [r1, #1]\n\t"
          "ldrsb lr, [r0, #1]\n\t"
          "ldrsb r9, [r1], #4\n\t"
          "ldrsb r11, [r0], #4\n\t"
          SCALE(9, "r11") SCALE(10, "lr")
          "strb r10, [r4, #1]\n\t"
          "strb r9, [r4], #4\n"
          "2:\n\t"
          "ldr r9, [sp]\n\t"
          "cmp r0, r9\n\t"
          "bne 1b\n\t"
          "ldr r10, [sp, #4]\n\t"
          "b 4f\n"
          "3:\n\t"
          "ldrsb r9, [r1], #1\n\t"
          "ldrsb r11, [r0], #1\n\t"
          SCALE(9, "r11")
          "strb r9, [r4], #1\n"
          "4:\n\t"
          "subs r10, r10, #1\n\t"
          "bhs 3b\n\t"
          "pop {r1-r11, pc}\n\t"
          ".balign 4");
}
/* clang-format on */

/* weights: whether the second input is the one of the larger scale; then as in `add_t`. */
ENGINE_KERNEL
void engine_add_dsp(const engine_layer_t *layer, const engine_rows_t *in,
                    const engine_rows_t *other, uint32_t row, int8_t *out) {
  const uint32_t *const w = layer->weights;
  const uint32_t count = (uint32_t)layer->width * layer->channels;
  const int8_t *const wide = engine_row((w[0] != 0U) ? other : in, row);
  const int8_t *const scaled = engine_row((w[0] != 0U) ? in : other, row);
  const add_t add = {wide, scaled,        (int32_t)w[1], (int32_t)w[2], out,
                     w[3], (int32_t)w[4], (int32_t)w[5], w[6],          layer->out_zero_point};
  add_all(&add, &wide[count & ~3U], count % 4U);
  engine_clamp_row(layer, out);
}
