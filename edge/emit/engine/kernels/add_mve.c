/* ADD with Helium, four elements at a time. */

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

/* clang-format off */
/* VQDMLAH by one goes from ties away from zero to ties upwards: it lowers a negative number by one.
 * Where nothing is shifted, it adds nothing: `lower` is zero. */
#define SCALE(q, multiplier, lower, shift)                                        \
  "vqrdmulh.s32 " q ", " q ", " multiplier "\n\t"                                 \
  "vqdmlah.s32 " q ", " q ", %[" lower "]\n\tvrshl.s32 " q ", %[" shift "]\n\t"
/* clang-format on */

/* weights: of both inputs zero point, multiplier and negative shift; the output's last two. */
ENGINE_KERNEL
void engine_add_mve(const engine_layer_t *layer, const engine_rows_t *in,
                    const engine_rows_t *other, uint32_t row, int8_t *out) {
  const int8_t *a = engine_row(in, row);
  const int8_t *b = engine_row(other, row);
  const uint32_t *const w = layer->weights;
  const uint32_t count = (uint32_t)layer->width * layer->channels;
  /* Zero points, multipliers and bounds, each in all lanes. */
  const uint32_t lanes[6] = {w[0], w[3], w[1], w[4], (uint32_t)layer->low, (uint32_t)layer->high};
  const uint32_t *constant = lanes;
  __asm__ volatile(
      "ldr lr, [%[constant]], #4\n\tvdup.32 q2, lr\n\t"
      "ldr lr, [%[constant]], #4\n\tvdup.32 q3, lr\n\t"
      "ldr lr, [%[constant]], #4\n\tvdup.32 q4, lr\n\t"
      "ldr lr, [%[constant]], #4\n\tvdup.32 q5, lr\n\t"
      "ldr lr, [%[constant]], #4\n\tvdup.32 q6, lr\n\t"
      "ldr lr, [%[constant]], #4\n\tvdup.32 q7, lr\n\t"
      "mov %[constant], #1\n\tldr lr, %[count]\n\tdlstp.32 lr, lr\n"
      "1:\n\tvldrb.s32 q0, [%[a]], #4\n\tvldrb.s32 q1, [%[b]], #4\n\t"
      "vsub.i32 q0, q0, q2\n\tvsub.i32 q1, q1, q3\n\t"
      "vshl.i32 q0, q0, #20\n\tvshl.i32 q1, q1, #20\n\t"
      SCALE("q0", "q4", "a_lower", "a_shift") SCALE("q1", "q5", "b_lower", "b_shift")
      "vadd.i32 q0, q0, q1\n\t"
      SCALE("q0", "%[multiplier]", "constant", "shift")
      "vadd.i32 q0, q0, %[zero_point]\n\tvmax.s32 q0, q0, q6\n\tvmin.s32 q0, q0, q7\n\t"
      "vstrb.32 q0, [%[out]], #4\n\tletp lr, 1b\n\t"
      : [a] "+l"(a), [b] "+l"(b), [out] "+l"(out), [constant] "+r"(constant)
      : [a_lower] "r"((w[2] != 0U) ? 1 : 0), [a_shift] "r"(w[2]),
        [b_lower] "r"((w[5] != 0U) ? 1 : 0), [b_shift] "r"(w[5]), [multiplier] "r"(w[6]),
        [shift] "r"(w[7]), [zero_point] "r"((int32_t)layer->out_zero_point), [count] "m"(count)
      : "q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7", "lr", "memory");
}
