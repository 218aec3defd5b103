// What the emitted sources ask of TFLite Micro's interpreter, on a computer: the input lies at the
// arena's begin, and every output byte is the sum of all input bytes and of the model's first 512,
// plus its place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensorflow/lite/schema/schema_generated.h"

struct TfLiteTensor {
  union {
    std::int8_t* int8;
  } data;
};

namespace tflite {

class MicroInterpreter {
 public:
  template <typename Resolver>
  MicroInterpreter(const Model* model, const Resolver& resolver, std::uint8_t* arena,
                   std::size_t bytes)
      : model_(reinterpret_cast<const std::uint8_t*>(model)),
        arena_(arena),
        bytes_(bytes),
        has_operators_(resolver.count() > 0U) {
    input_.data.int8 = reinterpret_cast<std::int8_t*>(arena);
    output_.data.int8 = reinterpret_cast<std::int8_t*>(arena + bytes - 16);
  }
  TfLiteStatus AllocateTensors() { return has_operators_ ? kTfLiteOk : kTfLiteError; }
  TfLiteTensor* input(std::size_t) { return &input_; }
  TfLiteTensor* output(std::size_t) { return &output_; }
  TfLiteStatus Invoke() {
    std::uint8_t sum = 0;
    for (std::size_t n = 0; n < 512; ++n) sum = static_cast<std::uint8_t>(sum + model_[n]);
    for (std::size_t n = 0; n < bytes_ - 16; ++n) sum = static_cast<std::uint8_t>(sum + arena_[n]);
    for (int n = 0; n < 16; ++n) output_.data.int8[n] = static_cast<std::int8_t>(sum + n);
    return kTfLiteOk;
  }
  std::size_t arena_used_bytes() const { return bytes_ - 16; }

 private:
  const std::uint8_t* model_;
  std::uint8_t* arena_;
  std::size_t bytes_;
  bool has_operators_;
  TfLiteTensor input_, output_;
};

}  // namespace tflite
