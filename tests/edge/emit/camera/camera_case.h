/* Runs one emitted camera on frames; camera.c comes before, CASE names the function. */
#include <string.h>

#include "camera_io.h"

static camera_state_t state;
static uint8_t frame[CAMERA_HEIGHT * CAMERA_ROW_BYTES];
static int8_t input[CAMERA_MODEL_HEIGHT * CAMERA_MODEL_ROW_BYTES];

void CASE(uint32_t count);
void CASE(uint32_t count) {
  /* A frame given up half way leaves nothing behind. */
  camera_push_row(&state, frame);
  camera_start(&state);
  for (uint32_t n = 0U; n < count; ++n) {
    uint32_t completed = 0U;
    uint32_t made = 0U;
    read_bytes(frame, sizeof(frame));
    (void)memset(input, 0x55, sizeof(input));
    for (uint32_t row = 0U; row < CAMERA_HEIGHT; ++row) {
      const uint8_t *const camera_row = &frame[row * CAMERA_ROW_BYTES];
      if ((n % 2U) == 0U) {
        camera_push_row(&state, camera_row);
        while (camera_next_row(&state, &input[made * CAMERA_MODEL_ROW_BYTES])) {
          ++made;
          completed += (made == CAMERA_MODEL_HEIGHT) ? 1U : 0U;
        }
      } else {
        completed += camera_fill(&state, camera_row, input) ? 1U : 0U;
      }
    }
    const uint8_t said[2] = {(uint8_t)completed, (uint8_t)(sizeof(state) == STATE_BYTES)};
    write_bytes(said, sizeof(said));
    write_bytes(input, sizeof(input));
  }
}
