"""From a float Keras model and typical inputs to an int8 .tflite."""

from __future__ import annotations

import pathlib
import tempfile
from typing import Any

import numpy as np

from edge.converter.calibration import calibrate
from edge.converter.keras_files import MODEL_FILE, first_line
from edge.converter.quantized_keras import quantized_tflite
from edge.errors import ConversionError
from edge.system.subprocesses import run_child

SAMPLES_FILE = "samples.npy"
TFLITE_FILE = "model.tflite"


def post_training_tflite(model: Any, samples: np.ndarray, calibration: str) -> bytes:
    """Quantizes a float model by what it computes from typical inputs.

    The model is not changed, and need not be one that Keras can save.

    Args:
        model: A built float Keras model with one input and one output.
        samples: Typical inputs, a float32 array of shape (samples, *input shape).
        calibration: How ranges are chosen, as in `edge.convert`.

    Returns:
        The file's bytes.

    Raises:
        ConversionError: If a layer has no int8 operator, here or in TensorFlow's converter.

    Example:
        >>> import keras
        >>> from edge.tflite.reader import read_graph
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> content = post_training_tflite(model, np.ones((1, 4), "float32"), "min_max")
        >>> read_graph(content).op_names()
        ['FULLY_CONNECTED']
    """
    from keras_mobilenet.quantization.transform import quantize_model

    try:
        twin = quantize_model(model, ranges="moving_average")
    except ValueError as error:
        return _elsewhere(model, samples, calibration, first_line(error))
    calibrate(twin, samples, calibration)
    try:
        return quantized_tflite(twin)
    except ConversionError as error:
        return _elsewhere(model, samples, calibration, first_line(error))


def _elsewhere(model: Any, samples: np.ndarray, calibration: str, reason: str) -> bytes:
    """TensorFlow's converter may know what the scheme refuses for a reason."""
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ConversionError(
            f"{reason} TensorFlow's converter may know it: set KERAS_BACKEND=tensorflow, not "
            f"{backend!r}."
        )
    if calibration != "min_max":
        raise ConversionError(
            f"{reason} TensorFlow's converter may know it, but calibrates by min_max only, not "
            f"{calibration!r}."
        )
    return _by_tensorflow(model, samples)


def _by_tensorflow(model: Any, samples: np.ndarray) -> bytes:
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
            raise ConversionError(f"{error}{suspects(model)}") from error
        return (folder / TFLITE_FILE).read_bytes()


def suspects(model: Any) -> str:
    """Names the layers that no int8 rule knows: the converter does not always say which it met.

    Args:
        model: The Keras model.

    Returns:
        A sentence that starts with a space, or nothing.

    Example:
        >>> import keras
        >>> suspects(keras.Sequential([keras.Input((4, 2)), keras.layers.LSTM(2, name="memory")]))
        " Look first at layer 'memory' (LSTM)."
    """
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
