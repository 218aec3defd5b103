/* CONV_2D with Helium: sixteen taps at a time, two channels by three pixels. */
#include <arm_mve.h>
#include <stdbool.h>

/* The assembly takes all registers: without optimization, or with a frame pointer, gcc has too few.
 */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2", "omit-frame-pointer")
#endif

#include "engine.h"

#define TILE_PIXELS 3U
#define TILE_CHANNELS 4U

/* What precedes the taps, for four channels each: biases, multipliers, negative shifts. Fewer than
 * four channels left over are made together with those before them. */
#define HEADER_WORDS 12U

/* What the assembly needs; it reads them by their offsets. */
typedef struct {
  const int8_t *x[TILE_PIXELS]; /* 0 */
  uint32_t taps;                /* 12 */
  int32_t skip;                 /* 16: from where the loop leaves two channels to the next two */
  const int32_t *header;        /* 20 */
  int8_t *to[TILE_PIXELS];      /* 24 */
  int32_t zero_point;           /* 36 */
  const int32_t *end;           /* 40 */
  const int8_t *weights;        /* 44 */
  int32_t low;                  /* 48 */
  int32_t high;                 /* 52 */
  uint32_t lanes;               /* 56 */
} tile_t;

/* clang-format off */
/* The sums of two channels and three pixels, to the lower or upper halves of q5, q6 and q7. */
#define DOT(bias, half0, half1, half2)                                                 \
  "ldr r4, [r12, #20]\n\tldrd r0, r2, [r4, #" bias "]\n\t"                      \
  "mov r4, r0\n\tmov r8, r0\n\tmov r6, r2\n\tmov r10, r2\n\t"                 \
  "ldm r12, {r5, r9, r11}\n\tldr lr, [r12, #12]\n\tdlstp.8 lr, lr\n"           \
  "2:\n\tvldrb.8 q0, [r1], #16\n\tvldrb.8 q1, [r3], #16\n\t"                  \
  "vldrb.8 q2, [r5], #16\n\tvmladava.s8 r0, q0, q2\n\tvmladava.s8 r2, q1, q2\n\t" \
  "vldrb.8 q2, [r9], #16\n\tvmladava.s8 r4, q0, q2\n\tvmladava.s8 r6, q1, q2\n\t" \
  "vldrb.8 q2, [r11], #16\n\tvmladava.s8 r8, q0, q2\n\tvmladava.s8 r10, q1, q2\n\t" \
  "letp lr, 2b\n\t"                                                            \
  "ldr lr, [r12, #16]\n\tadd r1, lr\n\tadd r3, lr\n\t"  \
  "vmov " half0 ", r0, r2\n\tvmov " half1 ", r4, r6\n\tvmov " half2 ", r8, r10\n\t"

/* VQDMLAH by one goes from ties away from zero to ties upwards: it lowers a negative number by one.
 */
#define SCALE(q)                                                                  \
  "vqrdmulh.s32 " q ", " q ", q0\n\tvqdmlah.s32 " q ", " q ", r10\n\t"            \
  "vrshl.s32 " q ", " q ", q1\n\tvadd.i32 " q ", " q ", r6\n\t"                   \
  "vmax.s32 " q ", " q ", q3\n\tvmin.s32 " q ", " q ", q4\n\t"
/* clang-format on */

/* Makes three pixels, four channels a turn: two of them by three pixels in core registers, twice.
 * In assembly, because gcc 12 moves vectors through memory. */
__attribute__((noinline)) static void make_tile(tile_t *tile) {
  register tile_t *const at __asm__("r12") = tile;
  __asm__ volatile(
      "ldrd r0, r2, [r12, #48]\n\tvdup.32 q3, r0\n\tvdup.32 q4, r2\n\t"
      "ldr r1, [r12, #44]\n\tldr r0, [r12, #12]\n\tadd r3, r1, r0\n\t"
      "ldr r0, [r12, #56]\n\tvctp.32 r0\n"
      "1:\n\t"
      DOT("0", "d10", "d12", "d14") DOT("8", "d11", "d13", "d15")
      "add r11, r12, #20\n\tldm r11, {r0, r2, r4, r5, r6, r8}\n\tmov r10, #1\n\t"
      "vldrw.32 q0, [r0, #16]\n\tvldrw.32 q1, [r0, #32]\n\tadds r0, #48\n\t"
      SCALE("q5") SCALE("q6") SCALE("q7")
      "vpsttt\n\tvstrbt.32 q5, [r2], #4\n\tvstrbt.32 q6, [r4], #4\n\t"
      "vstrbt.32 q7, [r5], #4\n\t"
      "stm r11, {r0, r2, r4, r5}\n\tcmp r0, r8\n\tbne 1b\n\t"
      :
      : "r"(at)
      : "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r8", "r9", "r10", "r11", "lr", "q0", "q1", "q2",
        "q3", "q4", "q5", "q6", "q7", "cc", "memory");
}

static inline int8_t *copy_bytes(int8_t *to, const int8_t *from, uint32_t bytes) {
  int8_t *at = to;
  __asm__ volatile(
      "dlstp.8 lr, %[bytes]\n"
      "1:\n\tvldrb.8 q0, [%[from]], #16\n\tvstrb.8 q0, [%[at]], #16\n\tletp lr, 1b\n\t"
      : [from] "+r"(from), [at] "+r"(at)
      : [bytes] "r"(bytes)
      : "q0", "lr", "memory");
  return &to[bytes];
}

static inline int8_t *fill_bytes(int8_t *to, int8_t value, uint32_t bytes) {
  int8_t *at = to;
  __asm__ volatile(
      "vdup.8 q0, %[value]\n\tdlstp.8 lr, %[bytes]\n"
      "1:\n\tvstrb.8 q0, [%[at]], #16\n\tletp lr, 1b\n\t"
      : [at] "+r"(at)
      : [value] "r"(value), [bytes] "r"(bytes)
      : "q0", "lr", "memory");
  return &to[bytes];
}

/* One row of the window at the border of the image, or with gaps. */
static int8_t *gather_border(const engine_layer_t *layer, const int8_t *line, int32_t left,
                             int8_t *to) {
  for (uint32_t t = 0U; t < layer->window_width; ++t) {
    const int32_t at = left + (int32_t)(t * layer->dilation_width);
    to = ((at < 0) || (at >= (int32_t)layer->width))
             ? fill_bytes(to, layer->zero_point, layer->channels)
             : copy_bytes(to, &line[(uint32_t)at * layer->channels], layer->channels);
  }
  return to;
}

/* What the window sees at one pixel, in one piece. Writes up to fifteen bytes behind it. */
static inline void gather(const engine_layer_t *layer, const int8_t *const lines[], int32_t left,
                          int8_t *to) {
  const uint32_t bytes = (uint32_t)layer->window_width * layer->channels;
  const uint32_t start = (uint32_t)left * layer->channels;
  const bool is_inside = (left >= 0) && (layer->dilation_width == 1U) &&
                         ((left + (int32_t)layer->window_width) <= (int32_t)layer->width);
  const int8_t *const *const end = &lines[layer->window_height];
  for (const int8_t *const *line = lines; line != end; ++line) {
    if (*line == NULL) {
      to = fill_bytes(to, layer->zero_point, bytes);
    } else if (!is_inside) {
      to = gather_border(layer, *line, left, to);
    } else if (bytes <= 16U) {
      vstrbq_s8(to, vldrbq_z_s8(&(*line)[start], vctp8q(bytes)));
      to = &to[bytes];
    } else {
      to = copy_bytes(to, &(*line)[start], bytes);
    }
  }
}

/* All channels of three pixels. */
static inline void make_pixels(const engine_layer_t *layer, tile_t *tile, uint32_t blocks) {
  const uint32_t channels = layer->out_channels;
  const uint32_t whole = (channels < TILE_CHANNELS) ? TILE_CHANNELS : channels;
  const uint32_t over = channels % TILE_CHANNELS;
  const int32_t *const headers = (const int32_t *)layer->weights;
  const int8_t *const weights = (const int8_t *)&headers[blocks * HEADER_WORDS];
  const uint32_t others = (channels < TILE_CHANNELS) ? 1U : (channels / TILE_CHANNELS);
  tile->header = headers;
  tile->end = &headers[others * HEADER_WORDS];
  tile->weights = weights;
  make_tile(tile);
  if (blocks != others) {
    /* Some of the last four channels once more. */
    for (uint32_t p = 0U; p < TILE_PIXELS; ++p) {
      tile->to[p] = &tile->to[p][(int32_t)over - (int32_t)TILE_CHANNELS];
    }
    tile->end = &headers[blocks * HEADER_WORDS];
    tile->weights = &weights[(whole - TILE_CHANNELS) * tile->taps];
    make_tile(tile);
  }
}

/* weights: headers of four channels each, then the taps of all channels. */
ENGINE_KERNEL
void engine_conv_mve(const engine_layer_t *layer, const engine_rows_t *in, uint32_t row,
                     int8_t *out, void *scratch) {
  const uint32_t taps = (uint32_t)layer->window_height * layer->window_width * layer->channels;
  const uint32_t channels = layer->out_channels;
  const uint32_t blocks = (channels + TILE_CHANNELS - 1U) / TILE_CHANNELS;
  const int32_t back = (int32_t)((taps + 15U) & ~15U);
  const bool is_pointwise = (taps == layer->channels) && (layer->pad_left == 0U);
  const int8_t **const lines = (const int8_t **)scratch;
  int8_t *const windows = (int8_t *)&lines[layer->window_height];
  tile_t tile;
  tile.taps = taps;
  tile.skip = (int32_t)(2U * taps) - back;
  tile.zero_point = layer->out_zero_point;
  tile.lanes = (channels < TILE_CHANNELS) ? channels : TILE_CHANNELS;
  tile.low = layer->low;
  tile.high = layer->high;
  for (uint32_t y = 0U; y < layer->window_height; ++y) {
    lines[y] = engine_tap_row(layer, in, row, y);
  }
  int32_t left = -(int32_t)layer->pad_left;
  for (uint32_t column = 0U; column < layer->out_width; column += TILE_PIXELS) {
    const uint32_t pixels = layer->out_width - column;
    for (uint32_t p = 0U; p < TILE_PIXELS; ++p) {
      tile.to[p] = &out[(column + p) * channels];
      if (p >= pixels) {
        /* The first pixel once more, to where it goes anyway. */
        tile.x[p] = tile.x[0];
        tile.to[p] = tile.to[0];
      } else if (is_pointwise) {
        tile.x[p] = &lines[0][(uint32_t)left * taps];
      } else {
        tile.x[p] = &windows[p * taps];
        gather(layer, lines, left, &windows[p * taps]);
      }
      left += (int32_t)layer->stride_width;
    }
    make_pixels(layer, &tile, blocks);
  }
}
