/* Runs the model where an emulator has a console and files: on the images of a file, or on one
 * image made here, whose result was computed when this firmware was built. */
#include <string.h>

#include "clock.h"
#include "image_part.h"
#include "model.h"
#include "model_self_test.h"
#include "semihosting.h"
#include "start.h"
#ifdef MODEL_PROFILE
#include "profile.h"
#endif

#define INPUTS "inputs.bin"
#define OUTPUTS "outputs.bin"
#define CALIBRATION_TURNS 100000U

/* What a debugger reads: 1 the self-test passed, 2 it failed, 3 the weights are damaged. */
volatile uint32_t firmware_result;

/* Which model this is, for whoever looks at the image or at the board's memory. */
const char *volatile firmware_model;

void fault(void) {
  firmware_result = 4U;
  semihosting_print("fault 1\n");
  semihosting_exit(0);
  for (;;) {
  }
}

static void print_number(const char *name, uint32_t value) {
  char digits[12];
  char *at = &digits[sizeof(digits) - 1U];
  uint32_t rest = value;
  *at = '\0';
  *(--at) = '\n';
  do {
    *(--at) = (char)('0' + (rest % 10U));
    rest /= 10U;
  } while (rest != 0U);
  semihosting_print(name);
  semihosting_print(" ");
  semihosting_print(at);
}

/* Fills `image` and says whether there was another. */
typedef bool (*next_t)(int32_t source);

static bool read_image(int32_t file) { return semihosting_read(file, image, sizeof(image)) == 0; }

static uint32_t random_state;

static bool make_image(int32_t ignored) {
  (void)ignored;
  model_self_test_fill(&random_state, (int8_t *)image, sizeof(image));
  return true;
}

/* One inference; false if there was no input. */
static bool infer(next_t next, int32_t source, int8_t *output) {
  const int8_t *result = NULL;
  for (uint32_t part = 0U; part < IMAGE_PARTS; ++part) {
    if (!next(source)) {
      return false;
    }
    result = push_part(image, output);
  }
  take_output(output, result);
  return true;
}

/* Ticks of a loop of two instructions a turn: with an emulator, what a tick is worth. */
static uint32_t calibrate(void) {
  uint32_t turns = CALIBRATION_TURNS;
  const uint32_t start = clock_ticks();
  __asm__ volatile(".syntax unified\n1:\n\tsubs %0, #1\n\tbne 1b" : "+l"(turns) : : "cc");
  return clock_since(start);
}

static void run_file(int32_t inputs) {
  static int8_t output[MODEL_OUTPUT_BYTES];
  const int32_t outputs = semihosting_open(OUTPUTS, sizeof(OUTPUTS) - 1U, 5U);
  uint32_t count = 0U;
  while (infer(read_image, inputs, output)) {
    if (count == 0U) {
      print_number("ticks", ticks);
      print_number("stack_bytes", stack_used_bytes());
#ifdef MODEL_PROFILE
      profile_write();
#endif
    }
    (void)semihosting_write(outputs, output, MODEL_OUTPUT_BYTES);
    ++count;
  }
  semihosting_close(outputs);
  print_number("count", count);
}

int main(void) {
  firmware_model = MODEL_SHA256;
  clock_start();
  model_start(&state);
  const bool is_intact = model_is_intact();
  const int32_t inputs = semihosting_open(INPUTS, sizeof(INPUTS) - 1U, 1U);
  print_number("intact", is_intact ? 1U : 0U);
  print_number("calibration_ticks", calibrate());
  print_number("state_bytes", sizeof(state));
  print_number("image_bytes", IMAGE_BYTES);
  if (!is_intact) {
    firmware_result = 3U;
  } else if (inputs >= 0) {
    run_file(inputs);
  } else {
    static int8_t output[MODEL_OUTPUT_BYTES];
    static const int8_t expected[MODEL_OUTPUT_BYTES] = MODEL_SELF_TEST_OUTPUT;
    random_state = MODEL_SELF_TEST_SEED;
    (void)infer(make_image, 0, output);
    firmware_result = (memcmp(output, expected, sizeof(expected)) == 0) ? 1U : 2U;
    print_number("self_test", (firmware_result == 1U) ? 1U : 0U);
    print_number("ticks", ticks);
    print_number("stack_bytes", stack_used_bytes());
  }
  semihosting_exit(is_intact && (firmware_result < 2U));
  return 0;
}
