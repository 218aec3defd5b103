"""The short name of `keras_mobilenet.analysis.cost`."""

from keras_mobilenet.analysis.cost import (
    LayerCost,
    ModelCost,
    cost,
    separable_mult_adds,
    separable_ratio,
    standard_mult_adds,
)

__all__ = [
    "LayerCost",
    "ModelCost",
    "cost",
    "separable_mult_adds",
    "separable_ratio",
    "standard_mult_adds",
]
