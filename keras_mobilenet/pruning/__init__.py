"""Pruning for Keras 3 models: single weights, or whole channels."""

from keras_mobilenet.pruning.channel import ChannelPruning
from keras_mobilenet.pruning.magnitude import MagnitudePruning
from keras_mobilenet.pruning.schedule import ConstantSparsity, PolynomialDecay

__all__ = ["ChannelPruning", "ConstantSparsity", "MagnitudePruning", "PolynomialDecay"]
