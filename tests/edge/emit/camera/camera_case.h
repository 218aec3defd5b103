/* Runs one emitted camera on frames; model_camera.c comes before, CASE names the function. */
#include <string.h>

#include "camera_io.h"

static model_camera_state_t state;
static uint8_t frame[MODEL_CAMERA_HEIGHT * MODEL_CAMERA_ROW_BYTES];
static int8_t input[MODEL_CAMERA_MODEL_HEIGHT * MODEL_CAMERA_MODEL_ROW_BYTES];

void CASE(uint32_t count);
void CASE(uint32_t count) {
  /* A frame given up half way leaves nothing behind. */
  model_camera_push_row(&state, frame);
  model_camera_start(&state);
  for (uint32_t n = 0U; n < count; ++n) {
    uint32_t completed = 0U;
    uint32_t made = 0U;
    read_bytes(frame, sizeof(frame));
    (void)memset(input, 0x55, sizeof(input));
    for (uint32_t row = 0U; row < MODEL_CAMERA_HEIGHT; ++row) {
      const uint8_t *const camera_row = &frame[row * MODEL_CAMERA_ROW_BYTES];
      if ((n % 2U) == 0U) {
        model_camera_push_row(&state, camera_row);
        while (model_camera_next_row(&state, &input[made * MODEL_CAMERA_MODEL_ROW_BYTES])) {
          ++made;
          completed += (made == MODEL_CAMERA_MODEL_HEIGHT) ? 1U : 0U;
        }
      } else {
        completed += model_camera_fill(&state, camera_row, input) ? 1U : 0U;
      }
    }
    const uint8_t said[2] = {(uint8_t)completed, (uint8_t)(sizeof(state) == STATE_BYTES)};
    write_bytes(said, sizeof(said));
    write_bytes(input, sizeof(input));
  }
}
