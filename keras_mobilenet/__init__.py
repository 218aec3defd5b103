"""MobileNet for Keras 3: blocks, builder and training callbacks for microcontroller targets."""

from keras_mobilenet.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.mobilenet_v1 import MobileNetV1
from keras_mobilenet.quantization import QuantizationAwareTraining, quantize_model

__version__ = "0.1.0"

__all__ = [
    "ConvBNReLU",
    "MobileNetV1",
    "QuantizationAwareTraining",
    "SeparableBlock",
    "quantize_model",
]
