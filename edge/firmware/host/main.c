/* Runs the model on this machine: images on standard input, outputs on standard output. */
#include <stdio.h>

#include "model.h"

static model_state_t state;
static int8_t row[MODEL_ROW_BYTES];
static int8_t frame[MODEL_INPUT_BYTES];
static int8_t output[MODEL_OUTPUT_BYTES];

int main(void) {
  if (!model_is_intact()) {
    return 3;
  }
  model_start(&state);
  while (fread(frame, 1, sizeof(frame), stdin) == sizeof(frame)) {
    const int8_t *result = NULL;
    for (size_t at = 0; at < sizeof(frame); at += sizeof(row)) {
      for (size_t n = 0; n < sizeof(row); ++n) {
        row[n] = frame[at + n];
      }
      result = model_push_row(&state, row);
    }
    for (size_t n = 0; n < sizeof(output); ++n) {
      output[n] = result[n];
    }
    /* A second time, from the whole frame: the same state again, the same bytes. */
    static int8_t again[MODEL_OUTPUT_BYTES];
    model_run(&state, frame, again);
    for (size_t n = 0; n < sizeof(output); ++n) {
      if (output[n] != again[n]) {
        return 4;
      }
    }
    (void)fwrite(output, 1, sizeof(output), stdout);
  }
  return 0;
}
