/* One inference, an image's part after the other: rows, a camera's rows, or the whole image. */
#ifndef INFERENCE_H_
#define INFERENCE_H_

#include <stdbool.h>
#include <stdint.h>

/* How many parts an image has, of how many bytes each. */
extern const uint32_t inference_parts;
extern const uint32_t inference_part_bytes;

/* Room for one part. */
extern uint8_t *const inference_part;

/* Makes ready for the first part of an image. */
void inference_start(void);

/* Takes a part to the model; true after the last one, with the output of the model in `output`. */
bool inference_push(const uint8_t *part, int8_t *output);

/* Cycles inside the model since inference_start. */
uint32_t inference_cycles(void);

#endif
