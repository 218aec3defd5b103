/* The model's state, what is read of an image at once, and the time that the model takes for it.
 * Static, for the one source that includes it: the compiler sees an inference as a whole. */
#ifndef IMAGE_PART_H_
#define IMAGE_PART_H_

#include <stdint.h>

#include "clock.h"
#include "model.h"
#ifdef FIRMWARE_CAMERA
#include "model_camera.h"
#endif

static model_state_t state;
static uint32_t ticks;

/* An image comes in parts: rows of the camera's frame, the whole image, or rows of it. What is
 * read at once, and all that lies between the source and the model, lie on words, where a core
 * reads faster. */
#define ON_WORDS _Alignas(uint32_t)
#if defined(FIRMWARE_CAMERA)
#define IMAGE_PARTS MODEL_CAMERA_HEIGHT
static ON_WORDS uint8_t image[MODEL_CAMERA_ROW_BYTES];
static model_camera_state_t camera;
static ON_WORDS int8_t row_in[MODEL_ROW_BYTES];
#define IMAGE_BYTES (sizeof(image) + sizeof(camera) + sizeof(row_in))
#elif defined(FIRMWARE_FRAME)
#define IMAGE_PARTS 1U
static ON_WORDS int8_t image[MODEL_INPUT_BYTES];
#define IMAGE_BYTES sizeof(image)
#else
#define IMAGE_PARTS MODEL_INPUT_HEIGHT
static ON_WORDS int8_t image[MODEL_ROW_BYTES];
#define IMAGE_BYTES sizeof(image)
#endif

/* Takes a part to the model; after the last one the output, else NULL. */
static inline const int8_t *push_part(const void *part, int8_t *output) {
  const uint32_t start = clock_ticks();
#if defined(FIRMWARE_CAMERA)
  const int8_t *result = NULL;
  (void)output;
  model_camera_push_row(&camera, part);
  while (model_camera_next_row(&camera, row_in)) {
    result = model_push_row(&state, row_in);
  }
#elif defined(FIRMWARE_FRAME)
  const int8_t *result = output;
  model_run(&state, part, output);
#else
  (void)output;
  const int8_t *result = model_push_row(&state, part);
#endif
  ticks += clock_since(start);
  return result;
}

/* Byte by byte: the library's memcpy reads words anywhere, which a core can be told to refuse. */
static inline void take_output(volatile int8_t *to, const int8_t *from) {
#ifndef FIRMWARE_FRAME
  for (uint32_t n = 0U; n < MODEL_OUTPUT_BYTES; ++n) {
    to[n] = from[n];
  }
#else
  (void)to;
  (void)from;
#endif
}

#endif
