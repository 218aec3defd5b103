// What the emitted sources ask of TFLite Micro's resolver: any operator by its name.
#pragma once

enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 };
#define TF_LITE_ENSURE_STATUS(status) \
  do {                                \
    const TfLiteStatus s = (status);  \
    if (s != kTfLiteOk) return s;     \
  } while (0)

namespace tflite {

template <unsigned int kOperators>
class MicroMutableOpResolver {
 public:
  TfLiteStatus AddAdd() { return Next(); }
  TfLiteStatus AddAveragePool2D() { return Next(); }
  TfLiteStatus AddConv2D() { return Next(); }
  TfLiteStatus AddDepthwiseConv2D() { return Next(); }
  TfLiteStatus AddFullyConnected() { return Next(); }
  TfLiteStatus AddMean() { return Next(); }
  TfLiteStatus AddReshape() { return Next(); }
  TfLiteStatus AddSoftmax() { return Next(); }
  unsigned int count() const { return count_; }

 private:
  TfLiteStatus Next() { return (++count_ <= kOperators) ? kTfLiteOk : kTfLiteError; }
  unsigned int count_ = 0;
};

}  // namespace tflite
