/* One inference, an image's part after the other. */
#ifndef INFERENCE_H_
#define INFERENCE_H_

#include <stdbool.h>
#include <stdint.h>

/* Where the next part of the image goes, and how many bytes that is. */
extern uint8_t *const inference_part;
extern const uint32_t inference_part_bytes;

/* Cycles inside the model since inference_start. */
uint32_t inference_cycles(void);

/* Makes ready for the first part of an image. */
void inference_start(void);

/* Takes the part to the model; true after the last one, with the output of the model in `output`.
 */
bool inference_push(int8_t *output);

#endif
