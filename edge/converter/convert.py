"""From a Keras model to a pure int8 .tflite with a static batch of one."""

from __future__ import annotations

import os
from typing import Any

from edge.converter.calibration import METHODS
from edge.converter.keras_files import load_keras
from edge.converter.post_training import post_training_tflite, suspects
from edge.converter.quantized_keras import quantized_tflite
from edge.converter.representative_dataset import representative_samples
from edge.errors import ConversionError, ModelError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.preprocessing import with_preprocessing
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8


def convert(
    model: Any, representative_dataset: Any = None, *, calibration: str = "min_max"
) -> bytes:
    """Converts a Keras model to a pure int8 .tflite.

    A quantization-aware model brings its ranges, and is written as it is. Any other needs
    representative data for post-training quantization: it is computed in float on them, on Keras's
    backend, to find the ranges. Layers that `keras_mobilenet.quantize_model` has no rule for are
    left to TensorFlow's converter, in a child process, if Keras runs on TensorFlow. What the model
    records of its preprocessing goes into the file.

    Args:
        model: A built Keras model with one input and one output, or the path of a `.keras` file.
        representative_dataset: A float array of shape (samples, *input shape), an iterable of such
            arrays, or the function of TensorFlow Lite's tutorials, which takes no argument and
            yields lists of one array with a batch of one; not read for a quantization-aware model.
        calibration: What part of a tensor's values over the representative data its int8 range
            holds: `"min_max"` all of them, as TensorFlow's converter; `"moving_average"` the mean
            of the extremes of 32 inputs each; `"percentile"` all but the outermost 0.01 % at either
            end; `"mse"` the part that makes the mean squared error of rounding and of cutting off
            smallest. The input's range always holds all.

    Returns:
        The .tflite file's bytes: int8 input and output, batch 1, operators of TFLite Micro only.

    Raises:
        ConversionError: If the model cannot become such a file; the message names the layer or
            operator and what to do.

    Example:
        >>> import numpy as np
        >>> tflite = convert("model.keras", np.ones((4, 8, 8, 3), "float32"))
        >>> read_graph(tflite).input.shape
        (1, 8, 8, 3)

    Source: the TFLite 8-bit quantization specification; arXiv 2106.08295, section 3.1.
    """
    from keras_mobilenet.preprocessing.record import preprocessing_of
    from keras_mobilenet.quantization.transform import is_quantized

    if calibration not in METHODS:
        raise ConversionError(f"calibration must be one of {METHODS}, got {calibration!r}.")
    if isinstance(model, (str, os.PathLike)):
        model = load_keras(model)
    _require_convertible(model)
    if is_quantized(model):
        content = quantized_tflite(model)
    else:
        samples = representative_samples(representative_dataset, model.input_shape[1:])
        content = post_training_tflite(model, samples, calibration)
    preprocessing = preprocessing_of(model)
    if preprocessing is not None:
        content = with_preprocessing(content, preprocessing)
    _require_pure_int8(content, model)
    return content


def _require_convertible(model: Any) -> None:
    import keras

    if not isinstance(model, keras.Model) or not model.built:
        raise ConversionError(
            f"convert takes a built Keras model or a .keras file, got {type(model).__name__}."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ConversionError(
            f"convert takes one input and one output; model {model.name!r} has "
            f"{len(model.inputs)} and {len(model.outputs)}."
        )
    if None in model.input_shape[1:]:
        raise ConversionError(
            f"Model {model.name!r} has input shape {model.input_shape}; all but the batch must be "
            "fixed, because a microcontroller plans its memory before the first image."
        )
    _require_trained_ranges(model)


def _require_trained_ranges(model: Any) -> None:
    """Refuses a quantization-aware model that is not trained, or float in part."""
    from keras_mobilenet.quantization.scheme import UnsupportedLayerError
    from keras_mobilenet.quantization.transform import excluded_layers, untrained_ranges

    untrained = untrained_ranges(model)
    if untrained:
        raise ConversionError(
            f"Model {model.name!r} is quantization-aware but no training step has set the ranges "
            f"of {', '.join(untrained[:3])}; run model.fit first."
        )
    try:
        excluded = excluded_layers(model)
    except UnsupportedLayerError as error:
        raise ConversionError(str(error)) from error
    if excluded:
        raise ConversionError(
            f"Model {model.name!r} was trained with {', '.join(excluded)} left float, and the chip "
            "computes in int8 only; train it without exclude."
        )


def _require_pure_int8(content: bytes, model: Any) -> None:
    where = f"Model {model.name!r} as converted"
    try:
        graph = read_graph(content)
        require_tflm_operators(graph, where)
        require_int8(graph, where)
    except ModelError as error:
        raise ConversionError(f"{error}{suspects(model)}") from error
