/* bakenn's generated C behind the interface of the firmware. */
#include "bknn_peer.h"
#include "model.h"

bool model_is_intact(void) { return true; }
void model_start(model_state_t *state) { (void)state; }
void model_run(model_state_t *state, const int8_t *input_frame, int8_t *output) {
  bknn_peer_infer(state->arena, input_frame, output);
}
