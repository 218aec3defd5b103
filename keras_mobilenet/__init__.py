"""MobileNet for Keras 3: blocks, builder and training callbacks for microcontroller targets."""

from keras_mobilenet import cost, paper, weights
from keras_mobilenet.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.mobilenet_v1 import MobileNetV1
from keras_mobilenet.quantization import QuantizationAwareTraining, quantize_model
from keras_mobilenet.variants import ConvMobileNet, ShallowMobileNet

__version__ = "0.1.0"

__all__ = [
    "ConvBNReLU",
    "ConvMobileNet",
    "MobileNetV1",
    "QuantizationAwareTraining",
    "SeparableBlock",
    "ShallowMobileNet",
    "cost",
    "paper",
    "quantize_model",
    "weights",
]
