"""Quantization-aware training for Keras 3 models."""

from keras_mobilenet.quantization.callback import QuantizationAwareTraining
from keras_mobilenet.quantization.equalize import equalize_weights
from keras_mobilenet.quantization.scheme import UnsupportedLayerError
from keras_mobilenet.quantization.transform import quantize_model

__all__ = [
    "QuantizationAwareTraining",
    "UnsupportedLayerError",
    "equalize_weights",
    "quantize_model",
]
