/* Runs the model on a board of its own: tests itself, tells what came of it on the serial port and
 * by a light, and answers there from then on. */
#include <stdbool.h>
#include <string.h>

#include "chip.h"
#include "clock.h"
#include "inference.h"
#include "model.h"
#include "model_self_test.h"
#include "protocol.h"

#define BLINKS_A_SECOND_GOOD 1U
#define BLINKS_A_SECOND_BAD 8U

/* What a debugger reads: 1 the self-test passed, 2 it failed, 3 the weights are damaged. */
volatile uint32_t firmware_result;

/* Which model this is, for whoever looks at the image or at the board's memory. */
const char *volatile firmware_model;

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
  } while (!inference_push(inference_part, output));
  return (memcmp(output, expected, sizeof(expected)) == 0) ? 1U : 2U;
}

int main(void) {
  firmware_model = MODEL_SHA256;
  clock_start();
  chip_led(true);
  firmware_result = test_itself();
  protocol_start(firmware_result);
  const uint32_t blinks = (firmware_result == 1U) ? BLINKS_A_SECOND_GOOD : BLINKS_A_SECOND_BAD;
  const uint32_t half = chip_clock_hz() / (2U * blinks);
  uint32_t since = clock_ticks();
  bool is_on = true;
  for (;;) {
    uint8_t byte;
    if (chip_get(&byte)) {
      protocol_take(byte);
    } else if (clock_since(since) >= half) {
      since = clock_ticks();
      is_on = !is_on;
      chip_led(is_on);
      (void)clock_microseconds(); /* so that it misses no round of the counter */
    } else {
      /* nothing to do yet */
    }
  }
}
