// The emitted TFLite Micro sources behind the interface of the firmware.
#include <cstring>

#include "model.h"
#include "tflm.h"

extern "C" {
void DebugLog(const char*, __builtin_va_list) {}
int DebugVsnprintf(char*, std::size_t, const char*, __builtin_va_list) { return 0; }
void* __dso_handle = nullptr;
void _init() {}
int _close(int) { return -1; }

bool model_is_intact(void) { return true; }
void model_start(model_state_t*) { tflm_init(); }
void model_run(model_state_t*, const int8_t* input_frame, int8_t* output) {
  std::memcpy(tflm_input(), input_frame, MODEL_INPUT_BYTES);
  tflm_invoke();
  std::memcpy(output, tflm_output(), MODEL_OUTPUT_BYTES);
}
}
