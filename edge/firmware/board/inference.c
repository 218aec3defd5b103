#include "inference.h"

#include <stddef.h>

#include "image_part.h"

uint8_t *const inference_part = (uint8_t *)image;
const uint32_t inference_part_bytes = sizeof(image);

void inference_start(void) {
#ifdef FIRMWARE_CAMERA
  model_camera_start(&camera);
#endif
  model_start(&state);
  ticks = 0U;
}

uint32_t inference_cycles(void) { return ticks; }

bool inference_push(int8_t *output) {
  const int8_t *result = push_part(output);
  if (result == NULL) {
    return false;
  }
  take_output(output, result);
  return true;
}
