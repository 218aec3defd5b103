/* The engine's kernels: each makes one row of a layer's output from rows of its input. */
#ifndef ENGINE_H_
#define ENGINE_H_

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if UINT_MAX < 0xFFFFFFFF
#error "The engine needs a core with an int of 32 bits."
#endif
#if defined(__BYTE_ORDER__) && (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
#error "The weights are for a little-endian core."
#endif

/* Each model brings the kernels; of equal ones the linker takes one. */
#if defined(__GNUC__) && !defined(_WIN32)
#define ENGINE_KERNEL __attribute__((weak))
#else
#define ENGINE_KERNEL
#endif

/* Cores that multiply to 32 bits only: Cortex-M0, M0+ and M23. */
#if defined(__ARM_ARCH_6M__) || defined(__ARM_ARCH_8M_BASE__)
#define ENGINE_SHORT_MULTIPLY
#endif

/* A function that is long there: called, it has the few registers to itself. */
#if defined(ENGINE_SHORT_MULTIPLY) && defined(__GNUC__)
#define ENGINE_LONG static __attribute__((noinline, unused))
#else
#define ENGINE_LONG static inline
#endif

/* A core that can read a word anywhere, by a compiler that was told not to: words lie on words. */
#if defined(__ARM_ARCH) && !defined(__ARM_FEATURE_UNALIGNED) && !defined(ENGINE_SHORT_MULTIPLY)
#define ENGINE_ALIGNED
#endif

/* What a layer is, as its kernel needs it. Sizes in elements, offsets in bytes. */
typedef struct {
  uint16_t height;
  uint16_t width;
  uint16_t channels;
  uint16_t out_width;
  uint16_t out_channels;
  uint16_t window_height;
  uint16_t window_width;
  uint8_t stride_height;
  uint8_t stride_width;
  uint8_t dilation_height;
  uint8_t dilation_width;
  uint8_t pad_top;
  uint8_t pad_left;
  int8_t zero_point;
  int8_t out_zero_point;
  int8_t low;
  int8_t high;
  const uint32_t *weights;
} engine_layer_t;

/* The rows of a tensor: a ring, and beside it the newest row while it is not kept. */
typedef struct {
  const int8_t *ring;
  const int8_t *head;
  uint32_t head_row; /* its number; a number that no row has while the head is empty */
  uint32_t slots;
  uint32_t row_bytes;
} engine_rows_t;

static inline const int8_t *engine_row(const engine_rows_t *rows, uint32_t row) {
  return (row == rows->head_row) ? rows->head : &rows->ring[(row % rows->slots) * rows->row_bytes];
}

/* The input row under a tap of the window, NULL above and below the image. */
static inline const int8_t *engine_tap_row(const engine_layer_t *layer, const engine_rows_t *in,
                                           uint32_t out_row, uint32_t tap) {
  const int32_t row = (int32_t)(out_row * layer->stride_height) +
                      (int32_t)(tap * layer->dilation_height) - (int32_t)layer->pad_top;
  return ((row < 0) || (row >= (int32_t)layer->height)) ? NULL : engine_row(in, (uint32_t)row);
}

/* Copies bytes. The library's memcpy is compiled for the core, and newlib's reads words anywhere:
 * where they must lie on words, it gets nothing else. */
static inline void engine_copy(int8_t *to, const int8_t *from, uint32_t bytes) {
#ifdef ENGINE_ALIGNED
  const uint32_t whole = (((uintptr_t)to | (uintptr_t)from) % 4U == 0U) ? (bytes & ~3U) : 0U;
  (void)memcpy(to, from, whole);
  for (uint32_t n = whole; n < bytes; ++n) {
    to[n] = from[n];
    __asm__ volatile("" ::: "memory"); /* else the compiler makes a memcpy of it */
  }
#else
  (void)memcpy(to, from, bytes);
#endif
}

static inline int32_t engine_clamp(int32_t value, int32_t low, int32_t high) {
  const int32_t raised = (value < low) ? low : value;
  return (raised > high) ? high : raised;
}

/* Sums are of 32 bits and wrap, as LiteRT's do: what counts is that the last one fits. */
static inline int32_t engine_sum(int32_t a, int32_t b) {
  return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* Adds the output's zero point, and clamps to int8 and to the fused activation. */
static inline int8_t engine_output(const engine_layer_t *layer, int32_t value) {
  return (int8_t)engine_clamp(engine_sum(value, layer->out_zero_point), layer->low, layer->high);
}

/* A fused activation, where the kernel has saturated to int8 only. */
static inline void engine_clamp_row(const engine_layer_t *layer, int8_t *out) {
  if ((layer->low > -128) || (layer->high < 127)) {
    const uint32_t count = (uint32_t)layer->out_width * layer->out_channels;
    for (uint32_t i = 0U; i < count; ++i) {
      out[i] = (int8_t)engine_clamp(out[i], layer->low, layer->high);
    }
  }
}

/* Twice the product's upper 32 bits, rounded: one instruction where the core has SMMULR. */
#ifdef ENGINE_SHORT_MULTIPLY
/* Four products of halves, the low ones signed: none of them, and no sum, exceeds 32 bits. */
static inline int32_t engine_high_multiply(int32_t value, int32_t multiplier) {
  const int32_t low = (int16_t)value;
  const int32_t high = ((value >> 15) + 1) >> 1;
  const int32_t other_low = (int16_t)multiplier;
  const int32_t other_high = ((multiplier >> 15) + 1) >> 1;
  const int32_t middle =
      (high * other_low) + (low * other_high) + (((low * other_low) >> 16) + (1L << 14));
  return engine_sum((int32_t)((uint32_t)(high * other_high) << 1), middle >> 15);
}
#else
static inline int32_t engine_high_multiply(int32_t value, int32_t multiplier) {
  return (int32_t)((((int64_t)value * multiplier) + (1LL << 30)) >> 31);
}
#endif

/* To nearest, ties away from zero. */
static inline int32_t engine_divide_by_power(int32_t value, uint32_t exponent) {
  const uint32_t mask = (1UL << exponent) - 1U;
  const uint32_t remainder = (uint32_t)value & mask;
  const uint32_t threshold = (mask >> 1) + ((value < 0) ? 1U : 0U);
  return (value >> exponent) + ((remainder > threshold) ? 1 : 0);
}

/* The multiplier is positive, so that its product is above INT32_MIN, and one less is no overflow.
 */
ENGINE_LONG int32_t engine_requantize(int32_t value, int32_t multiplier, int32_t right_shift) {
  if (right_shift <= 0) {
    return engine_high_multiply((int32_t)((uint32_t)value << (uint32_t)-right_shift), multiplier);
  }
  /* To nearest, ties away from zero: of a negative one, what is just below the tie. */
  const int32_t scaled = engine_high_multiply(value, multiplier);
  return (((scaled + (scaled >> 31)) >> (right_shift - 1)) + 1) >> 1;
}

/* Adds the output's zero point, and saturates to int8: `engine_clamp_row` does the rest. */
static inline int8_t engine_saturated_output(int32_t value, int32_t zero_point) {
  const int32_t sum = engine_sum(value, zero_point);
#ifdef ENGINE_SHORT_MULTIPLY
  /* No core that has this saturates in one instruction; most sums are bytes already. */
  return ((int8_t)sum == sum) ? (int8_t)sum : (int8_t)((sum < 0) ? -128 : 127);
#elif defined(__ARM_FEATURE_SAT)
  int32_t saturated;
  __asm__("ssat %0, #8, %1" : "=r"(saturated) : "r"(sum));
  return (int8_t)saturated;
#else
  return (int8_t)engine_clamp(sum, -128, 127);
#endif
}

void engine_conv(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out,
                 void *scratch);
void engine_conv_sparse(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                        int8_t *out, void *scratch);
void engine_conv_int4(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                      int8_t *out, void *scratch);
void engine_depthwise(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                      int8_t *out, void *scratch);
void engine_conv_4_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                       int8_t *out, void *scratch);
void engine_conv_3_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                       int8_t *out, void *scratch);
void engine_conv_2_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                       int8_t *out, void *scratch);
void engine_conv_1_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                       int8_t *out, void *scratch);
void engine_conv_4_sparse_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_conv_3_sparse_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_conv_2_sparse_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_conv_1_sparse_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_conv_4_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch);
void engine_conv_3_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch);
void engine_conv_2_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch);
void engine_conv_1_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch);
void engine_depthwise_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch);
void engine_depthwise_any_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_conv_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out, void *scratch);
void engine_conv_sparse_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                            int8_t *out, void *scratch);
void engine_conv_int4_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch);
void engine_depthwise_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                          int8_t *out, void *scratch);
void engine_depthwise_3x3_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch);
void engine_fully_connected(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out);
void engine_fully_connected_int4(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out);
void engine_fully_connected_dsp(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out);
void engine_fully_connected_int4_dsp(const engine_layer_t *layer, const engine_rows_t *in,
                                     int8_t *out);
void engine_fully_connected_mve(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out);
void engine_fully_connected_int4_mve(const engine_layer_t *layer, const engine_rows_t *in,
                                     int8_t *out);
void engine_average_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                         int8_t *out);
void engine_max_pool(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out);
void engine_mean(const engine_layer_t *layer, const engine_rows_t *in, int8_t *out);
void engine_add(const engine_layer_t *layer, const engine_rows_t *in, const engine_rows_t *other,
                uint32_t row, int8_t *out);
void engine_add_dsp(const engine_layer_t *layer, const engine_rows_t *in,
                    const engine_rows_t *other, uint32_t row, int8_t *out);
void engine_add_mve(const engine_layer_t *layer, const engine_rows_t *in,
                    const engine_rows_t *other, uint32_t row, int8_t *out);
void engine_pad(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out);
void engine_quantize(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out);
void engine_softmax(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                    int8_t *out);
void engine_table(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row, int8_t *out);

#endif
