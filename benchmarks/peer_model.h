/* What the firmware asks of a model, for runtimes other than the engine. */
#ifndef MODEL_H_
#define MODEL_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_SHA256 ""
#define MODEL_INPUT_HEIGHT PEER_INPUT_HEIGHT
#define MODEL_INPUT_BYTES PEER_INPUT_BYTES
#define MODEL_ROW_BYTES (PEER_INPUT_BYTES / PEER_INPUT_HEIGHT)
#define MODEL_OUTPUT_BYTES PEER_OUTPUT_BYTES

typedef struct {
  uint8_t arena[PEER_ARENA_BYTES] __attribute__((aligned(16)));
} model_state_t;

bool model_is_intact(void);
void model_start(model_state_t *state);
void model_run(model_state_t *state, const int8_t *input_frame, int8_t *output);

#ifdef __cplusplus
}
#endif

#endif
