// Runs the emitted inference once on zeros and prints what a test compares.
#include <cstdint>

#include "model.h"
#include "model_settings.h"

extern "C" {
#include "semihosting.h"
#include "start.h"
void DebugLog(const char*, __builtin_va_list) {}
int DebugVsnprintf(char*, std::size_t, const char*, __builtin_va_list) { return 0; }
// What the C library would bring, were it linked with its start-up files.
void* __dso_handle = nullptr;
void _init() {}
int _close(int) { return -1; }
}

namespace {

void PrintNumber(const char* name, std::int32_t value) {
  char digits[16];
  char* end = digits + sizeof(digits) - 1;
  *end = '\0';
  *--end = '\n';
  const bool is_negative = value < 0;
  std::uint32_t rest =
      is_negative ? 0U - static_cast<std::uint32_t>(value) : static_cast<std::uint32_t>(value);
  do {
    *--end = static_cast<char>('0' + (rest % 10U));
    rest /= 10U;
  } while (rest != 0U);
  if (is_negative) {
    *--end = '-';
  }
  semihosting_print(name);
  semihosting_print(" ");
  semihosting_print(end);
}

}  // namespace

int main() {
  const model_status ready = model_init();
  PrintNumber("init", ready);
  if (ready != MODEL_OK) {
    semihosting_exit(0);
  }
  PrintNumber("arena", static_cast<std::int32_t>(model_arena_used_bytes()));
  for (std::size_t n = 0; n < model_tflm::kInputLength; ++n) {
    model_input()[n] = 0;
  }
  PrintNumber("invoke", model_invoke());
  for (std::size_t n = 0; n < model_tflm::kOutputLength; ++n) {
    PrintNumber("output", model_output()[n]);
  }
  PrintNumber("stack", static_cast<std::int32_t>(stack_used_bytes()));
  semihosting_exit(1);
  return 0;
}
