/* What the kernels for Helium have in common. */
#ifndef ENGINE_MVE_H_
#define ENGINE_MVE_H_

#include "engine.h"

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

/* A function whose body is assembly alone: it saves what it uses. */
#define MVE_NAKED __attribute__((naked, noinline))
#define MVE_UNUSED __attribute__((unused))

/* clang-format off */
/* VQDMLAH by one goes from ties away from zero to ties upwards: it lowers a negative number by one.
 */
#define TIES(q, one) "vqdmlah.s32 " q ", " q ", " one "\n\t"

/* Adds the zero point; the lowest byte of each word is the sum, saturated. */
#define SATURATE(q, zero_point)                                                  \
  "vadd.i32 " q ", " q ", " zero_point "\n\tvqmovnb.s32 " q ", " q "\n\t"        \
  "vqmovnb.s16 " q ", " q "\n\t"
/* clang-format on */

/* Returns where the filled bytes end. */
static inline int8_t *mve_fill(void *to, int8_t value, uint32_t bytes) {
  int8_t *at = to;
  __asm__ volatile(
      "vdup.8 q0, %[value]\n\twlstp.8 lr, %[bytes], 2f\n"
      "1:\n\tvstrb.8 q0, [%[at]], #16\n\tletp lr, 1b\n2:\n\t"
      : [at] "+r"(at)
      : [value] "r"((int32_t)value), [bytes] "r"(bytes)
      : "q0", "lr", "memory");
  return &((int8_t *)to)[bytes];
}

/* A fused activation, where the kernel has saturated to int8 only. */
static inline void mve_clamp_row(const engine_layer_t *layer, int8_t *out) {
  if ((layer->low > -128) || (layer->high < 127)) {
    __asm__ volatile(
        "vdup.8 q1, %[low]\n\tvdup.8 q2, %[high]\n\tdlstp.8 lr, %[count]\n"
        "1:\n\tvldrb.8 q0, [%[out]]\n\tvmax.s8 q0, q0, q1\n\tvmin.s8 q0, q0, q2\n\t"
        "vstrb.8 q0, [%[out]], #16\n\tletp lr, 1b\n\t"
        : [out] "+r"(out)
        : [low] "r"((int32_t)layer->low), [high] "r"((int32_t)layer->high),
          [count] "r"((uint32_t)layer->out_width * layer->out_channels)
        : "q0", "q1", "q2", "lr", "memory");
  }
}

#endif
