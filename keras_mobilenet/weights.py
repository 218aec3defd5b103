"""The short name of `keras_mobilenet.models.weights`."""

from keras_mobilenet.models.weights import from_h5, from_tflite

__all__ = ["from_h5", "from_tflite"]
