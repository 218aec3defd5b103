#include "protocol.h"

#include <stdbool.h>
#include <stddef.h>

#include "board.h"
#include "chip.h"
#include "clock.h"
#include "inference.h"
#include "model.h"
#include "serial_model.h"
#include "text.h"

/* The benchmark's figures and words. */
#define COMMAND_BYTES 80U
#define PROFILE "ULPMark for tinyML Firmware V0.0.1"
#define DEFAULT_WARM_UPS 10U
#define PRINTED_BYTES_A_LINE 8U

#define WEIGHTS_DAMAGED 3U
#define IMAGE_BYTES (inference_parts * inference_part_bytes)

/* A sender that stopped in the middle of `put` is given up. */
#define PATIENCE_MICROSECONDS 10000000U

/* RAM beyond data and stack. */
extern uint8_t free_start[], free_end[];

static const char *const self_tests[] = {"none", "passed", "failed", "weights damaged"};

static char command[COMMAND_BYTES + 1U];
static uint32_t command_bytes;
static uint32_t self_test_result;

static uint32_t expected;  /* bytes of the image, as `db load` named them */
static uint32_t received;  /* bytes that are here, or with the model already */
static uint32_t to_put;    /* bytes that `put` still waits for */
static uint32_t put_since; /* when the last of them came */

static int8_t output[MODEL_OUTPUT_BYTES];
static bool has_output;

static void line(const char *text) {
  text_put(text);
  text_put("\r\n");
}

static void figure(const char *before, uint32_t value, const char *after) {
  text_put(before);
  text_number(value);
  line(after);
}

static void timestamp(uint32_t microseconds) { figure("m-lap-us-", microseconds, ""); }

/* Where the whole image is kept: only so can it run again. NULL if there is no room for it. */
static uint8_t *whole_image(void) {
  if (inference_parts == 1U) {
    return inference_part;
  }
  const uintptr_t start = ((uintptr_t)free_start + 3U) & ~(uintptr_t)3U;
  const uintptr_t end = (uintptr_t)free_end;
  return ((end >= start) && ((end - start) >= IMAGE_BYTES)) ? (uint8_t *)start : NULL;
}

static void take_byte(uint8_t byte) {
  uint8_t *const whole = whole_image();
  const uint8_t value = byte ^ SERIAL_INPUT_FLIP;
  if (received >= IMAGE_BYTES) {
    return;
  }
  if (whole != NULL) {
    whole[received] = value;
    ++received;
    return;
  }
  inference_part[received % inference_part_bytes] = value;
  ++received;
  if ((received % inference_part_bytes) == 0U) {
    has_output = inference_push(inference_part, output);
  }
}

/* Commands, whose words `next_word` gives one after the other. */

static char *rest_of_command;

static bool is_between(char letter) {
  return (letter == ' ') || (letter == '\r') || (letter == '\n') || (letter == '\t');
}

static const char *next_word(void) {
  while (is_between(*rest_of_command)) {
    ++rest_of_command;
  }
  const char *const word = rest_of_command;
  while ((*rest_of_command != '\0') && !is_between(*rest_of_command)) {
    ++rest_of_command;
  }
  if (*rest_of_command != '\0') {
    *rest_of_command = '\0';
    ++rest_of_command;
  }
  return (*word == '\0') ? NULL : word;
}

/* The library's are made for speed, and take a KiB. */
static bool is_word(const char *word, const char *other) {
  const char *at = other;
  const char *letter = word;
  while ((*at != '\0') && (*letter == *at)) {
    ++letter;
    ++at;
  }
  return *letter == *at;
}

static bool is_even(const char *digits) {
  bool is_one = true;
  for (const char *at = digits; *at != '\0'; ++at) {
    is_one = !is_one;
  }
  return is_one;
}

/* As atoi: digits, zero where there are none; no sign, and the largest where there are too many. */
static uint32_t number_of(const char *word) {
  uint32_t value = 0U;
  for (const char *at = word; (*at >= '0') && (*at <= '9'); ++at) {
    const uint32_t digit = (uint32_t)(*at - '0');
    value = (value > ((UINT32_MAX - digit) / 10U)) ? UINT32_MAX : ((value * 10U) + digit);
  }
  return value;
}

static int32_t digit_of(char letter) {
  if ((letter >= '0') && (letter <= '9')) {
    return letter - '0';
  }
  if ((letter >= 'a') && (letter <= 'f')) {
    return (letter - 'a') + 10;
  }
  return ((letter >= 'A') && (letter <= 'F')) ? ((letter - 'A') + 10) : -1;
}

static bool is_runnable(void) {
  if (self_test_result == WEIGHTS_DAMAGED) {
    line("e-[The weights are damaged: program the board again]");
  }
  return self_test_result != WEIGHTS_DAMAGED;
}

static void db_load(void) {
  const char *const word = next_word();
  if (word == NULL) {
    line("e-[db load: how many bytes?]");
    return;
  }
  const uint32_t count = number_of(word);
  if (count == 0U) {
    line("e-[db load: at least one byte]");
  } else if (count > IMAGE_BYTES) {
    figure("e-[db load: at most ", IMAGE_BYTES, " bytes]");
  } else if (is_runnable()) {
    expected = count;
    received = 0U;
    has_output = false;
    inference_start();
    figure("m-[Expecting ", count, " bytes]");
  }
}

static void db_print(void) {
  const uint8_t *const whole = whole_image();
  if (whole == NULL) {
    line("e-[Rows are not kept: there is no room for the image]");
    return;
  }
  for (uint32_t n = 0U; n < received; ++n) {
    text_put(((n % PRINTED_BYTES_A_LINE) == 0U) ? "m-buffer-" : "-");
    text_hex(whole[n] ^ SERIAL_INPUT_FLIP);
    if ((((n + 1U) % PRINTED_BYTES_A_LINE) == 0U) || ((n + 1U) == received)) {
      line("");
    }
  }
}

static void db_bytes(const char *digits) {
  if (!is_even(digits)) {
    line("e-[db: two digits a byte]");
    return;
  }
  for (const char *at = digits; *at != '\0'; at += 2) {
    const int32_t high = digit_of(at[0]);
    const int32_t low = digit_of(at[1]);
    if ((high < 0) || (low < 0)) {
      const char pair[] = {at[0], at[1], '\0'};
      text_put("e-[db: no hex digits: '");
      text_put(pair);
      line("']");
      return;
    }
    if (received >= expected) {
      line("e-[No byte is expected: 'db load' comes first]");
      return;
    }
    take_byte((uint8_t)((high * 16) + low));
    if (received == expected) {
      line("m-load-done");
      return; /* what is left of the digits is not wanted */
    }
  }
}

static void db(void) {
  const char *const word = next_word();
  if (word == NULL) {
    line("e-[db: load, print or hex digits?]");
  } else if (is_word(word, "load")) {
    db_load();
  } else if (is_word(word, "print")) {
    db_print();
  } else {
    db_bytes(word);
  }
}

static void put(void) {
  const char *const word = next_word();
  const uint32_t count = (word == NULL) ? 0U : number_of(word);
  if ((count == 0U) || (count > (expected - received))) {
    figure("e-[Command 'put' takes 1 to ", expected - received, " bytes: 'db load' comes first]");
    return;
  }
  to_put = count;
  put_since = clock_microseconds();
}

static void results(void) {
  if (!has_output) {
    line("e-[No result: load an input and infer first]");
    return;
  }
  text_put("m-results-[");
  for (uint32_t n = 0U; n < MODEL_OUTPUT_BYTES; ++n) {
    text_put((n == 0U) ? "" : ",");
    text_thousandths(output[n] - MODEL_OUTPUT_ZERO_POINT, SERIAL_OUTPUT_MANTISSA,
                     SERIAL_OUTPUT_EXPONENT);
  }
  line("]");
}

static void run_whole(const uint8_t *whole) {
  inference_start();
  has_output = false;
  for (uint32_t part = 0U; part < inference_parts; ++part) {
    has_output = inference_push(&whole[part * inference_part_bytes], output);
  }
}

static void infer_times(uint32_t count, uint32_t warm_ups) {
  const uint8_t *const whole = whole_image();
  if (received < IMAGE_BYTES) {
    text_put("e-[Input db has ");
    text_number(received);
    figure(" bytes, expected ", IMAGE_BYTES, "]");
    return;
  }
  if ((whole == NULL) && ((count != 1U) || (warm_ups != 0U))) {
    figure("e-[No room to keep an image of ", IMAGE_BYTES,
           " bytes: it ran as it came, only 'infer 1 0' tells of it]");
    return;
  }
  if (whole == NULL) {
    line("m-[The image ran as it came: its time is the model's alone]");
  }
  figure("m-warmup-start-", warm_ups, "");
  for (uint32_t n = 0U; n < warm_ups; ++n) {
    run_whole(whole);
    (void)clock_microseconds();
  }
  line("m-warmup-done");
  figure("m-infer-start-", count, "");
  const uint32_t start = clock_microseconds();
  timestamp(start);
  if (whole == NULL) {
    timestamp(start + clock_microseconds_of(inference_cycles()));
  } else {
    for (uint32_t n = 0U; n < count; ++n) {
      run_whole(whole);
      (void)clock_microseconds();
    }
    timestamp(clock_microseconds());
  }
  line("m-infer-done");
  results();
}

static void infer(void) {
  const char *word = next_word();
  uint32_t count = 1U;
  uint32_t warm_ups = DEFAULT_WARM_UPS;
  if (word != NULL) {
    count = number_of(word);
    if (count == 0U) {
      line("e-[infer: at least one run]");
      return;
    }
    word = next_word();
    if (word != NULL) {
      if (digit_of(*word) < 0) {
        line("e-[infer: runs to warm up are a number]");
        return;
      }
      warm_ups = number_of(word);
    }
  }
  if (is_runnable()) {
    infer_times(count, warm_ups);
  }
}

static void outputs(void) {
  if (!has_output) {
    line("e-[No output: load an input and infer first]");
    return;
  }
  text_put("m-outputs-[");
  for (uint32_t n = 0U; n < MODEL_OUTPUT_BYTES; ++n) {
    text_hex((uint8_t)output[n]);
  }
  line("]");
  figure("m-cycles-[", inference_cycles(), "]");
}

static void about(void) {
  line("m-sha256-[" MODEL_SHA256 "]");
  line("m-board-[" BOARD_ID "]");
  figure("m-clock-hz-[", chip_clock_hz(), "]");
  figure("m-image-bytes-[", IMAGE_BYTES, "]");
  figure("m-part-bytes-[", inference_part_bytes, "]");
  figure("m-input-flip-[", SERIAL_INPUT_FLIP, "]");
  figure("m-keeps-image-[", (whole_image() != NULL) ? 1U : 0U, "]");
  text_put("m-self-test-[");
  text_put(self_tests[self_test_result]);
  line("]");
}

static void help(void) {
  line("m-[name, profile, timestamp, about: who is here]");
  line("m-[db load N: N bytes of input follow]");
  line("m-[db HEX: two digits a byte; put N: N bytes as they are]");
  line("m-[db print: the input's bytes]");
  line("m-[infer N W: W runs to warm up, then N that are timed]");
  line("m-[results: the scores; outputs: the same as int8 in hex, and the cycles]");
}

static void run_command(void) {
  rest_of_command = command;
  const char *const word = next_word();
  if (word == NULL) {
    return;
  }
  if (is_word(word, "name")) {
    line("m-name-dut-[" BOARD_ID "]");
  } else if (is_word(word, "timestamp")) {
    timestamp(clock_microseconds());
  } else if (is_word(word, "profile")) {
    line("m-profile-[" PROFILE "]");
    line("m-model-[" SERIAL_MODEL_NAME "]");
  } else if (is_word(word, "help")) {
    help();
  } else if (is_word(word, "db")) {
    db();
  } else if (is_word(word, "infer")) {
    infer();
  } else if (is_word(word, "results")) {
    results();
  } else if (is_word(word, "put")) {
    put();
  } else if (is_word(word, "outputs")) {
    outputs();
  } else if (is_word(word, "about")) {
    about();
  } else {
    text_put("e-[Unknown command: ");
    text_put(word);
    line("]");
  }
}

void protocol_start(uint32_t self_test) {
  self_test_result = self_test;
  line("m-timestamp-mode-performance");
  timestamp(clock_microseconds());
  about();
  if (self_test != WEIGHTS_DAMAGED) {
    figure("m-self-test-cycles-[", inference_cycles(), "]");
  }
  line("m-init-done");
  line("m-ready");
}

/* A byte of the image itself; true if it was one. */
static bool take_raw(uint8_t byte) {
  if (to_put == 0U) {
    return false;
  }
  const uint32_t now = clock_microseconds();
  if ((now - put_since) > PATIENCE_MICROSECONDS) {
    to_put = 0U;
    return false;
  }
  put_since = now;
  take_byte(byte);
  --to_put;
  if (to_put == 0U) {
    if (received == expected) {
      line("m-load-done");
    }
    line("m-ready");
  }
  return true;
}

void protocol_take(uint8_t byte) {
  if (take_raw(byte)) {
    return;
  }
  if (byte != (uint8_t)'%') {
    command[command_bytes] = (char)byte;
    command_bytes += (command_bytes < COMMAND_BYTES) ? 1U : 0U;
    return;
  }
  const bool is_too_long = command_bytes == COMMAND_BYTES;
  command[command_bytes] = '\0';
  command_bytes = 0U;
  if (is_too_long) {
    line("e-[Command longer than 79 characters]");
  } else {
    run_command();
  }
  if (to_put == 0U) {
    line("m-ready");
  }
}
