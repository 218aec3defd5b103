"""MobileNet for Keras 3: blocks, builder and training callbacks for microcontroller targets."""

from keras_mobilenet import compat_tfmot, cost, paper, weights
from keras_mobilenet.models.family import MobileNet
from keras_mobilenet.models.imagenet import decode_predictions, preprocess_input
from keras_mobilenet.models.layers import ConvBNReLU, SeparableBlock
from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.models.variants import ConvMobileNet, ShallowMobileNet
from keras_mobilenet.preprocessing.preprocessing import Preprocessing
from keras_mobilenet.preprocessing.record import PreprocessingRecord, preprocessing_of
from keras_mobilenet.pruning import (
    ChannelPruning,
    ConstantSparsity,
    MagnitudePruning,
    PolynomialDecay,
)
from keras_mobilenet.quantization import (
    QuantizationAwareTraining,
    equalize_weights,
    quantize_model,
)

__version__ = "0.1.0"

__all__ = [
    "ChannelPruning",
    "ConstantSparsity",
    "ConvBNReLU",
    "ConvMobileNet",
    "MagnitudePruning",
    "MobileNet",
    "MobileNetV1",
    "PolynomialDecay",
    "Preprocessing",
    "PreprocessingRecord",
    "QuantizationAwareTraining",
    "SeparableBlock",
    "ShallowMobileNet",
    "compat_tfmot",
    "cost",
    "decode_predictions",
    "equalize_weights",
    "paper",
    "preprocess_input",
    "preprocessing_of",
    "quantize_model",
    "weights",
]
