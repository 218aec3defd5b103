"""From a Keras model to a pure int8 .tflite with a static batch of one."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

import numpy as np

from edge.converter.keras_files import MODEL_FILE, first_line, load_keras
from edge.converter.quantized_keras import quantized_tflite
from edge.converter.representative_dataset import representative_samples
from edge.errors import ConversionError, ModelError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system.subprocesses import run_child
from edge.tflite.preprocessing import with_preprocessing
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8

SAMPLES_FILE = "samples.npy"
TFLITE_FILE = "model.tflite"


def convert(model: Any, representative_dataset: Any = None) -> bytes:
    """Converts a Keras model to a pure int8 .tflite.

    A quantization-aware model brings its ranges, and is written as it is. Any other needs
    representative data for post-training quantization, by TensorFlow's converter in a child
    process. What the model records of its preprocessing goes into the file.

    Args:
        model: A built Keras model with one input and one output, or the path of a `.keras` file.
        representative_dataset: A float array of shape (samples, *input shape), an iterable of such
            arrays, or the function of TensorFlow Lite's tutorials, which takes no argument and
            yields lists of one array with a batch of one; not read for a quantization-aware model.

    Returns:
        The .tflite file's bytes: int8 input and output, batch 1, operators of TFLite Micro only.

    Raises:
        ConversionError: If the model cannot become such a file; the message names the layer or
            operator and what to do.

    Example:
        >>> tflite = convert("model.keras", np.ones((4, 8, 8, 3), "float32"))
        >>> read_graph(tflite).input.shape
        (1, 8, 8, 3)

    Source: the TFLite 8-bit quantization specification.
    """
    from keras_mobilenet.preprocessing.record import preprocessing_of
    from keras_mobilenet.quantization.transform import is_quantized

    if isinstance(model, (str, os.PathLike)):
        model = load_keras(model)
    _require_convertible(model)
    if is_quantized(model):
        content = quantized_tflite(model)
    else:
        samples = representative_samples(representative_dataset, model.input_shape[1:])
        content = _converted(model, samples)
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


def _converted(model: Any, samples: np.ndarray) -> bytes:
    """Runs TensorFlow's converter in a child process, which gets model and samples as files."""
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        try:
            model.save(folder / MODEL_FILE)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ConversionError(
                f"Model {model.name!r} cannot be saved as .keras: {first_line(error)}"
            ) from error
        np.save(folder / SAMPLES_FILE, samples)
        try:
            run_child(
                "edge.converter.converter_child",
                folder,
                ConversionError,
                "The TensorFlow Lite converter",
            )
        except ConversionError as error:
            raise ConversionError(f"{error}{_suspects(model)}") from error
        return (folder / TFLITE_FILE).read_bytes()


def _require_pure_int8(content: bytes, model: Any) -> None:
    where = f"Model {model.name!r} as converted"
    try:
        graph = read_graph(content)
        require_tflm_operators(graph, where)
        require_int8(graph, where)
    except ModelError as error:
        raise ConversionError(f"{error}{_suspects(model)}") from error


def _suspects(model: Any) -> str:
    """The layers that no int8 rule knows: the converter does not always say which it met."""
    from keras_mobilenet.quantization.scheme import UnsupportedLayerError, activation_of, role_of

    names = []
    for layer in model.layers:
        if type(layer).__name__ == "InputLayer":
            continue
        try:
            role_of(layer)
            activation_of(layer)
        except UnsupportedLayerError:
            names.append(f"{layer.name!r} ({type(layer).__name__})")
    return f" Look first at layer {', '.join(names)}." if names else ""
