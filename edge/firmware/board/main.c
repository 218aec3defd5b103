/* Runs the model: on the images of a file where a debugger or an emulator offers one, else on one
 * image made here, whose result was computed when this firmware was built. */
#include <string.h>

#include "model.h"
#include "model_self_test.h"
#include "semihosting.h"
#include "start.h"
#ifdef MODEL_PROFILE
#include "profile.h"
#endif
#ifdef FIRMWARE_CAMERA
#include "model_camera.h"
#endif

#define INPUTS "inputs.bin"
#define OUTPUTS "outputs.bin"
#define SYSTICK_TOP 0x00FFFFFFU
#define CALIBRATION_TURNS 100000U

/* What a debugger reads: 1 the self-test passed, 2 it failed, 3 the weights are damaged. */
volatile uint32_t firmware_result;

/* Which model this is, for whoever looks at the image or at the board's memory. */
const char *volatile firmware_model;

static model_state_t state;
static uint32_t ticks;
static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010U;

/* What is read at once, and all that lies between the source and the model; on words, where a
 * core reads faster. */
#define ON_WORDS _Alignas(uint32_t)
#if defined(FIRMWARE_CAMERA)
static ON_WORDS uint8_t image[MODEL_CAMERA_ROW_BYTES];
static model_camera_state_t camera;
static ON_WORDS int8_t row_in[MODEL_ROW_BYTES];
#define IMAGE_BYTES (sizeof(image) + sizeof(camera) + sizeof(row_in))
#elif defined(FIRMWARE_FRAME)
static ON_WORDS int8_t image[MODEL_INPUT_BYTES];
#define IMAGE_BYTES sizeof(image)
#else
static ON_WORDS int8_t image[MODEL_ROW_BYTES];
#define IMAGE_BYTES sizeof(image)
#endif

static void start_clock(void) {
  systick[1] = SYSTICK_TOP;
  systick[2] = 0U;
  systick[0] = 5U; /* the core's clock, no interrupt */
}

static uint32_t clock_since(uint32_t start) { return (start - systick[2]) & SYSTICK_TOP; }

void fault(void) {
  firmware_result = 4U;
  if (FIRMWARE_HAS_SEMIHOSTING) {
    semihosting_print("fault 1\n");
    semihosting_exit(0);
  }
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

#if defined(FIRMWARE_CAMERA) || !defined(FIRMWARE_FRAME)
/* Byte by byte: the library's memcpy reads words anywhere, which a core can be told to refuse. */
static void take_output(volatile int8_t *to, const int8_t *from) {
  for (uint32_t n = 0U; n < MODEL_OUTPUT_BYTES; ++n) {
    to[n] = from[n];
  }
}
#endif

/* One inference; false if there was no input. */
static bool infer(next_t next, int32_t source, int8_t *output) {
#if defined(FIRMWARE_CAMERA)
  const int8_t *result = NULL;
  for (uint32_t row = 0U; row < MODEL_CAMERA_HEIGHT; ++row) {
    if (!next(source)) {
      return false;
    }
    const uint32_t start = systick[2];
    model_camera_push_row(&camera, image);
    while (model_camera_next_row(&camera, row_in)) {
      result = model_push_row(&state, row_in);
    }
    ticks += clock_since(start);
  }
  take_output(output, result);
#elif defined(FIRMWARE_FRAME)
  if (!next(source)) {
    return false;
  }
  const uint32_t start = systick[2];
  model_run(&state, image, output);
  ticks += clock_since(start);
#else
  const int8_t *result = NULL;
  for (uint32_t row = 0U; row < MODEL_INPUT_HEIGHT; ++row) {
    if (!next(source)) {
      return false;
    }
    const uint32_t start = systick[2];
    result = model_push_row(&state, image);
    ticks += clock_since(start);
  }
  take_output(output, result);
#endif
  return true;
}

/* Ticks of a loop of two instructions a turn: with an emulator, what a tick is worth. */
static uint32_t calibrate(void) {
  uint32_t turns = CALIBRATION_TURNS;
  const uint32_t start = systick[2];
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
  start_clock();
  model_start(&state);
  const bool is_intact = model_is_intact();
  const int32_t inputs =
      FIRMWARE_HAS_SEMIHOSTING ? semihosting_open(INPUTS, sizeof(INPUTS) - 1U, 1U) : -1;
  if (FIRMWARE_HAS_SEMIHOSTING) {
    print_number("intact", is_intact ? 1U : 0U);
    print_number("calibration_ticks", calibrate());
    print_number("state_bytes", sizeof(state));
    print_number("image_bytes", IMAGE_BYTES);
  }
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
    if (FIRMWARE_HAS_SEMIHOSTING) {
      print_number("self_test", (firmware_result == 1U) ? 1U : 0U);
      print_number("ticks", ticks);
      print_number("stack_bytes", stack_used_bytes());
    }
  }
  if (FIRMWARE_HAS_SEMIHOSTING) {
    semihosting_exit(is_intact && (firmware_result < 2U));
  }
  return 0;
}
