// What the emitted sources ask of the schema: the model's version, which is 3 in every file.
#pragma once
#include <cstdint>

#define TFLITE_SCHEMA_VERSION 3

namespace tflite {

struct Model {
  std::uint32_t version() const { return 3; }
};
inline const Model* GetModel(const void* data) { return static_cast<const Model*>(data); }

}  // namespace tflite
