/* Runs the model on a board of its own: tests itself, and tells what came of it by a line on the
 * serial port and by a light. */
#include <stdbool.h>
#include <string.h>

#include "board.h"
#include "chip.h"
#include "clock.h"
#include "inference.h"
#include "model.h"
#include "model_self_test.h"

#define BLINKS_A_SECOND_GOOD 1U
#define BLINKS_A_SECOND_BAD 8U

/* What a debugger reads: 1 the self-test passed, 2 it failed, 3 the weights are damaged. */
volatile uint32_t firmware_result;

/* Which model this is, for whoever looks at the image or at the board's memory. */
const char *volatile firmware_model;

static void print(const char *text) {
  for (const char *at = text; *at != '\0'; ++at) {
    chip_put((uint8_t)*at);
  }
}

static uint32_t test_itself(void) {
  static const int8_t expected[MODEL_OUTPUT_BYTES] = MODEL_SELF_TEST_OUTPUT;
  static int8_t output[MODEL_OUTPUT_BYTES];
  if (!model_is_intact()) {
    return 3U;
  }
  uint32_t random_state = MODEL_SELF_TEST_SEED;
  inference_start();
  do {
    model_self_test_fill(&random_state, (int8_t *)inference_part, inference_part_bytes);
  } while (!inference_push(output));
  return (memcmp(output, expected, sizeof(expected)) == 0) ? 1U : 2U;
}

int main(void) {
  static const char *const results[] = {"passed", "failed", "weights damaged"};
  firmware_model = MODEL_SHA256;
  clock_start();
  firmware_result = test_itself();
  print("m-[model " MODEL_SHA256 "]\r\nm-[self-test ");
  print(results[firmware_result - 1U]);
  print("]\r\n");
  const uint32_t blinks = (firmware_result == 1U) ? BLINKS_A_SECOND_GOOD : BLINKS_A_SECOND_BAD;
  const uint32_t half = chip_clock_hz() / (2U * blinks);
  bool is_on = true;
  uint32_t since = clock_ticks();
  for (;;) {
    if (clock_since(since) >= half) {
      chip_led(is_on);
      is_on = !is_on;
      since += half;
    }
  }
}
