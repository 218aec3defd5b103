/* The firmware's protocol on this machine: commands come from standard input, answers go to
 * standard output. The model adds up the bytes of each part of its image. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chip.h"
#include "clock.h"
#include "inference.h"
#include "protocol.h"
#include "text.h"

#define PARTS 3U
#define PART_BYTES 4U

/* What the linker script leaves free, and a guard behind it. */
__asm__(".data\n.balign 4\n.globl free_start\nfree_start: .skip " FREE_BYTES
        "\n.globl free_end\nfree_end: .skip 8\n");
extern uint8_t free_end[];

static uint8_t part_buffer[PART_BYTES];
const uint32_t inference_parts = PARTS;
const uint32_t inference_part_bytes = PART_BYTES;
uint8_t *const inference_part = part_buffer;
static uint32_t pushed;
static int8_t sums[PARTS];

void inference_start(void) { pushed = 0U; }

bool inference_push(const uint8_t *part, int8_t *output) {
  int32_t sum = 0;
  if (pushed >= PARTS) {
    abort();
  }
  for (uint32_t n = 0U; n < PART_BYTES; ++n) {
    sum += (int8_t)part[n];
  }
  sums[pushed] = (int8_t)sum;
  ++pushed;
  if (pushed < PARTS) {
    return false;
  }
  memcpy(output, sums, PARTS);
  return true;
}

uint32_t inference_cycles(void) { return 1234U; }

void chip_put(uint8_t byte) { (void)putchar(byte); }

uint32_t chip_clock_hz(void) { return 16000000U; }

static uint32_t now;

uint32_t clock_microseconds(void) { return ++now; }

uint32_t clock_microseconds_of(uint32_t cycles) { return cycles / 16U; }

int main(int count, char **arguments) {
  if (count == 4) {
    const uint32_t mantissa = (uint32_t)strtoul(arguments[2], NULL, 10);
    const int32_t exponent = (int32_t)strtol(arguments[3], NULL, 10);
    (void)arguments[1];
    for (int32_t steps = -255; steps <= 255; ++steps) {
      text_thousandths(steps, mantissa, exponent);
      text_put("\n");
    }
    return 0;
  }
  protocol_start((count == 2) ? 3U : 1U);
  for (int byte = getchar(); byte != EOF; byte = getchar()) {
    if (byte == 0xFF) {
      now += 6000000U; /* six seconds of silence */
    }
    protocol_take((uint8_t)byte);
  }
  for (uint32_t n = 0U; n < 8U; ++n) {
    if (free_end[n] != 0U) {
      abort();
    }
  }
  return 0;
}
