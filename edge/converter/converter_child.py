"""The TensorFlow Lite converter, in a process of its own."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.converter.keras_files import MODEL_FILE, load_keras
from edge.converter.post_training import SAMPLES_FILE, TFLITE_FILE
from edge.system.subprocesses import ERROR_FILE


def main(folder: pathlib.Path) -> None:
    """Reads the Keras model and the samples from `folder`, writes the .tflite there.

    Args:
        folder: The folder with the model and the samples, where the .tflite goes.

    Raises:
        Exception: Whatever the converter raises.
    """
    model = load_keras(folder / MODEL_FILE)
    samples = np.load(folder / SAMPLES_FILE)
    (folder / TFLITE_FILE).write_bytes(_convert(model, samples))


def _convert(model: Any, samples: np.ndarray) -> bytes:
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # A static batch of one: a dynamic one becomes operators on which TFLite Micro aborts.
    signature = tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype, name="input")
    function = tf.function(lambda x: model(x, training=False)).get_concrete_function(signature)
    # The converter wants constants where Keras has variables.
    frozen = convert_variables_to_constants_v2(function)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    # TFLite Micro's FULLY_CONNECTED takes one scale on every core.
    converter._experimental_disable_per_channel_quantization_for_dense_layers = True

    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for sample in samples:
            yield [sample[np.newaxis]]

    converter.representative_dataset = representative_dataset
    return converter.convert()


def _explain(error: Exception) -> str:
    text = str(error)
    operators = sorted(
        set(re.findall(r"'tf\.(\w+)' op", text)) | set(re.findall(r"tf\.(\w+)\(", text))
    )
    if operators:
        return (
            f"The TensorFlow Lite converter has no int8 operator for tf.{', tf.'.join(operators)}; "
            "replace the layer that computes it, or leave it out of the exported model."
        )
    first = next((line for line in text.splitlines() if line.strip()), type(error).__name__)
    return f"The TensorFlow Lite converter refused the model: {first.strip()}"


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    # TensorFlow and Keras load these where they are installed, two of the five seconds that it
    # takes to start; no conversion uses them.
    for unused in ("jax", "matplotlib", "sklearn"):
        # None is how Python's import system itself marks a module as missing.
        sys.modules[unused] = None  # type: ignore[assignment]
    job = pathlib.Path(sys.argv[1])
    try:
        main(job)
    except Exception as error:
        (job / ERROR_FILE).write_text(_explain(error), "utf-8")
        raise SystemExit(1) from error
