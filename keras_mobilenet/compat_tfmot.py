"""The short name of `keras_mobilenet.compat.tfmot`."""

from keras_mobilenet.compat.tfmot import (
    TfmotError,
    TfmotQuantized,
    tfmot_cluster,
    tfmot_prune,
    tfmot_quantize,
)

__all__ = ["TfmotError", "TfmotQuantized", "tfmot_cluster", "tfmot_prune", "tfmot_quantize"]
