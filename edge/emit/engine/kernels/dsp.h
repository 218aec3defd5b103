/* The instructions of Armv7E-M's and Armv8-M's DSP extension that the kernels use. */
#ifndef DSP_H_
#define DSP_H_

#include <stdbool.h>
#include <stdint.h>

/* A function whose body is assembly alone: it saves what it uses. */
#define DSP_NAKED __attribute__((naked, noinline))
#define DSP_UNUSED __attribute__((unused))

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

/* Whether a word may be read at an address. */
#ifdef ENGINE_ALIGNED
#define DSP_HAS_WORDS(address) (((address) % 4U) == 0U)
#else
#define DSP_HAS_WORDS(address) true
#endif

/* Bytes 0 and 2, sign-extended to halfwords. */
static inline uint32_t dsp_even(uint32_t bytes) {
  uint32_t halves;
  __asm__("sxtb16 %0, %1" : "=r"(halves) : "r"(bytes));
  return halves;
}

/* Bytes 1 and 3, sign-extended to halfwords. */
static inline uint32_t dsp_odd(uint32_t bytes) {
  uint32_t halves;
  __asm__("sxtb16 %0, %1, ror #8" : "=r"(halves) : "r"(bytes));
  return halves;
}

/* Both lower halfwords: a's, and b's above it. */
static inline uint32_t dsp_low(uint32_t a, uint32_t b) {
  uint32_t halves;
  __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(halves) : "r"(a), "r"(b));
  return halves;
}

/* Unpacks what a convolution's window sees of pixels that are `step` apart: of each row, `words`
 * bytes that end at `words_end`, and a `rest` of up to three. Returns where the next words go. */
typedef uint32_t *dsp_unpack_t(const int8_t *const *rows, uint32_t *x, uint32_t step,
                               uint32_t words_end, uint32_t words, uint32_t rest,
                               const int8_t *const *rows_end);

#ifdef ENGINE_ALIGNED
#define DSP_UNPACK(tile, ...) dsp_unpack_rows((tile)->unpack, (tile)->pixels, __VA_ARGS__)

/* Of each pixel a byte, and in the upper half the one that is `gap` behind it. */
static inline uint32_t *dsp_pair_bytes(const int8_t *from, uint32_t step, uint32_t gap,
                                       uint32_t pixels, uint32_t *x) {
  for (uint32_t p = 0U; p < pixels; ++p) {
    x[p] = dsp_low((uint32_t)from[0], (uint32_t)from[gap]);
    from = &from[step];
  }
  return &x[pixels];
}

/* A row of pixels that do not lie on words; the weight of what is beside the last one is zero. */
static inline uint32_t *dsp_unpack_bytes(const int8_t *from, uint32_t *x, uint32_t step,
                                         uint32_t words, uint32_t rest, uint32_t pixels) {
  for (uint32_t k = 0U; k < words; k += 4U) {
    x = dsp_pair_bytes(&from[k], step, 2U, pixels, x);
    x = dsp_pair_bytes(&from[k + 1U], step, 2U, pixels, x);
  }
  if (rest >= 2U) {
    x = dsp_pair_bytes(&from[words], step, 1U, pixels, x);
  }
  return ((rest % 2U) == 0U) ? x : dsp_pair_bytes(&from[words + rest - 1U], step, 0U, pixels, x);
}

static inline uint32_t *dsp_unpack_rows(dsp_unpack_t *unpack, uint32_t pixels,
                                        const int8_t *const *rows, uint32_t *x, uint32_t step,
                                        uint32_t words_end, uint32_t words, uint32_t rest,
                                        const int8_t *const *rows_end) {
  for (; rows != rows_end; rows = &rows[1]) {
    const int8_t *const from = &(*rows)[words_end - words];
    x = DSP_HAS_WORDS((uintptr_t)from | step)
            ? unpack(rows, x, step, words_end, words, rest, &rows[1])
            : dsp_unpack_bytes(from, x, step, words, rest, pixels);
  }
  return x;
}
#else
#define DSP_UNPACK(tile, ...) (tile)->unpack(__VA_ARGS__)
#endif

/* Adds the products of the lower halfwords and of the upper ones. */
static inline int32_t dsp_add_products(int32_t sum, uint32_t a, uint32_t b) {
  __asm__("smlad %0, %1, %2, %0" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

/* The two roundings of TFLite's kernels, the second with ties away from zero, and saturation to
 * int8 of a sum in a register, in four steps. Only layers whose channels all shift to the right, by
 * 1 to 23, have DSP kernels.
 *
 * r2 is the multiplier doubled less 2^32, so that adding the sum in the upper word makes up for it:
 * one instruction doubles and multiplies. r3 is -2^(32 - right): taken off, its product is the
 * shift, rounded. r12 is the output's zero point. */
/* clang-format off */
#define DSP_MULTIPLY(sum) "smmlar r" #sum ", r" #sum ", r2, r" #sum "\n\t"
#define DSP_AWAY(sum) "add r" #sum ", r" #sum ", r" #sum ", asr #31\n\t"
#define DSP_SHIFT(sum) "smmlsr r" #sum ", r" #sum ", r3, r12\n\t"
#define DSP_SATURATE(sum) "ssat r" #sum ", #8, r" #sum "\n\t"
/* clang-format on */

#endif
