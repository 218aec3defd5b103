/* DEPTHWISE_CONV_2D with the DSP extension, of any window: four channels of a pixel at a time, two
 * taps in a multiplication. */
#include <stdbool.h>
#include <string.h>

#include "dsp.h"
#include "engine.h"

#define CHANNELS 4U

/* Where the taps of a pixel are, an even number of them, and what all channels share. */
typedef struct {
  const int8_t **taps;
  const int8_t **end;
  int32_t zero_point;
  uintptr_t addresses; /* of the rows and of the channels, one OR the other */
} pixel_t;

/* clang-format off */
/* Of two channels the bytes of both taps in `x`, and their weights. */
#define TWO_CHANNELS(x, w, a, b)                          \
  "sxtb16 r8, " x "\n\tsxtb16 r3, " w "\n\t"              \
  "smlad " a ", r8, r3, " a "\n\t"                        \
  "sxtb16 " x ", " x ", ror #8\n\tsxtb16 " w ", " w ", ror #8\n\t" \
  "smlad " b ", " x ", " w ", " b "\n\t"
#define FINISH(sum)                                       \
  "ldrd r2, r3, [r1], #8\n\t" DSP_MULTIPLY(sum) DSP_AWAY(sum) DSP_SHIFT(sum) \
  DSP_SATURATE(sum) "strb r" #sum ", [r0], #1\n\t"

/* Channels up to `end`; returns where the next weights are. */
DSP_NAKED static const uint32_t *make_fours(DSP_UNUSED const pixel_t *pixel,
                                            DSP_UNUSED const uint32_t *weights,
                                            DSP_UNUSED uint32_t channel, DSP_UNUSED uint32_t end,
                                            DSP_UNUSED int8_t *out) {
  __asm__("push {r0, r2-r11, lr}\n"
          "1:\n\t"
          "ldr r3, [sp]\n\t"
          "ldm r1!, {r4-r7}\n\t"
          "ldrd r0, lr, [r3]\n"
          "2:\n\t"
          "ldrd r8, r9, [r0], #8\n\t"
          "ldr r8, [r8, r2]\n\t"
          "ldr r9, [r9, r2]\n\t"
          "ldrd r10, r11, [r1], #8\n\t"
          "pkhbt r12, r8, r9, lsl #16\n\t"
          "pkhtb r9, r9, r8, asr #16\n\t"
          TWO_CHANNELS("r12", "r10", "r4", "r5") TWO_CHANNELS("r9", "r11", "r6", "r7")
          "cmp r0, lr\n\t"
          "bne 2b\n\t"
          "ldr r3, [sp]\n\t"
          "ldr r0, [sp, #48]\n\t"
          "ldr r12, [r3, #8]\n\t"
          FINISH(4) FINISH(5) FINISH(6) FINISH(7)
          "ldrd r2, r3, [sp, #4]\n\t"
          "str r0, [sp, #48]\n\t"
          "add r2, r2, #4\n\t"
          "str r2, [sp, #4]\n\t"
          "cmp r2, r3\n\t"
          "blo 1b\n\t"
          "mov r0, r1\n\t"
          "pop {r1-r11, pc}\n\t"
          ".balign 4");
}
/* clang-format on */

/* What `make_fours` makes, of channels that do not lie on words. */
static const uint32_t *make_fours_of_bytes(const pixel_t *pixel, const uint32_t *weights,
                                           uint32_t channel, uint32_t end, int8_t *out) {
  for (; channel < end; channel += CHANNELS) {
    int32_t sums[CHANNELS] = {(int32_t)weights[0], (int32_t)weights[1], (int32_t)weights[2],
                              (int32_t)weights[3]};
    weights = &weights[CHANNELS];
    for (const int8_t **tap = pixel->taps; tap != pixel->end; tap = &tap[2]) {
      for (uint32_t n = 0U; n < CHANNELS; ++n) {
        const uint32_t two = weights[n / 2U] >> (8U * (n % 2U));
        const uint32_t x = dsp_low((uint32_t)tap[0][channel + n], (uint32_t)tap[1][channel + n]);
        sums[n] = dsp_add_products(sums[n], x, dsp_even(two));
      }
      weights = &weights[2];
    }
    for (uint32_t n = 0U; n < CHANNELS; ++n) {
      int32_t sum = sums[n];
      __asm__(
          "smmlar %0, %0, %1, %0\n\tadd %0, %0, %0, asr #31\n\t"
          "smmlsr %0, %0, %2, %3\n\tssat %0, #8, %0"
          : "+r"(sum)
          : "r"(weights[0]), "r"(weights[1]), "r"(pixel->zero_point));
      out[n] = (int8_t)sum;
      weights = &weights[2];
    }
    out = &out[CHANNELS];
  }
  return weights;
}

static const uint32_t *make_channels(const pixel_t *pixel, const uint32_t *weights,
                                     uint32_t channel, uint32_t end, int8_t *out) {
  return DSP_HAS_WORDS(pixel->addresses) ? make_fours(pixel, weights, channel, end, out)
                                         : make_fours_of_bytes(pixel, weights, channel, end, out);
}

/* All channels of a pixel, whose taps are `offset` behind those that were found; what lies behind
 * the last channel is made, but goes nowhere. */
static void make_pixel(const engine_layer_t *layer, const pixel_t *pixel, uint32_t offset,
                       int8_t *out) {
  const uint32_t channels = layer->channels;
  const uint32_t whole = channels & ~(CHANNELS - 1U);
  const uint32_t *weights = layer->weights;
  if (whole != 0U) {
    weights = make_channels(pixel, weights, offset, offset + whole, out);
  }
  if (whole != channels) {
    int8_t last[CHANNELS];
    (void)make_channels(pixel, weights, offset + whole, offset + channels, last);
    for (uint32_t c = whole; c < channels; ++c) {
      out[c] = last[c - whole];
    }
  }
}

/* The taps of a row of the window, of which the first one is in column `at`. */
static const int8_t **find_taps(const engine_layer_t *layer, const int8_t *line, int32_t at,
                                const int8_t *padding, const int8_t **tap) {
  const int32_t step = (int32_t)layer->dilation_width * (int32_t)layer->channels;
  int32_t offset = at * (int32_t)layer->channels;
  for (uint32_t x = 0U; x < layer->window_width; ++x) {
    const uint32_t is_inside = ((at >= 0) && (at < (int32_t)layer->width)) ? 1U : 0U;
    *tap = ((line != NULL) && (is_inside != 0U)) ? &line[offset] : padding;
    tap = &tap[1];
    at += (int32_t)layer->dilation_width;
    offset += step;
  }
  return tap;
}

/* scratch: a pointer to each row of the window, one to each tap, and a pixel of the zero point. */
ENGINE_KERNEL
void engine_depthwise_any_dsp(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                              int8_t *out, void *scratch) {
  const int8_t **const lines = scratch;
  const int8_t **const taps = &lines[layer->window_height];
  const uint32_t count = (uint32_t)layer->window_height * layer->window_width;
  pixel_t pixel = {taps, &taps[(count + 1U) & ~1U], layer->out_zero_point, layer->channels};
  int8_t *const padding = (int8_t *)pixel.end;
  (void)memset(padding, layer->zero_point, layer->channels);
  bool has_all_rows = true;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
    has_all_rows = has_all_rows && (lines[y] != NULL);
    pixel.addresses |= (uintptr_t)lines[y];
  }
  const uint32_t step = (uint32_t)layer->stride_width * layer->channels;
  const int32_t reach = ((int32_t)layer->window_width - 1) * (int32_t)layer->dilation_width;
  uint32_t offset = 0U;
  bool was_inside = false;
  for (uint32_t column = 0U; column < layer->out_width; ++column) {
    const int32_t left = (int32_t)(column * layer->stride_width) - (int32_t)layer->pad_left;
    const bool is_inside = has_all_rows && (left >= 0) && ((left + reach) < (int32_t)layer->width);
    if (is_inside && was_inside) {
      offset += step;
    } else {
      const int8_t **tap = taps;
      for (uint32_t y = 0U; y < layer->window_height; ++y) {
        tap = find_taps(layer, lines[y], left, padding, tap);
      }
      if ((count % 2U) != 0U) {
        *tap = taps[count - 1U]; /* once more, with weights of zero */
      }
      offset = 0U;
    }
    was_inside = is_inside;
    make_pixel(layer, &pixel, offset, &out[column * layer->channels]);
  }
  engine_clamp_row(layer, out);
}
