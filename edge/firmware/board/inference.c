#include "inference.h"

#include <stddef.h>

#include "image_part.h"

const uint32_t inference_parts = IMAGE_PARTS;
const uint32_t inference_part_bytes = sizeof(image);
uint8_t *const inference_part = (uint8_t *)image;

void inference_start(void) {
#ifdef FIRMWARE_CAMERA
  model_camera_start(&camera);
#endif
  model_start(&state);
  ticks = 0U;
}

bool inference_push(const uint8_t *part, int8_t *output) {
  const int8_t *result = push_part((const void *)part, output);
  if (result == NULL) {
    return false;
  }
  take_output(output, result);
  return true;
}

uint32_t inference_cycles(void) { return ticks; }
