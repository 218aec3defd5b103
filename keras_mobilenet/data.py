"""The short name of `keras_mobilenet.training.data`."""

from keras_mobilenet.training.data import DataError, ImageData, load_images

__all__ = ["DataError", "ImageData", "load_images"]
