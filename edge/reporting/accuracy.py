"""Measures how often a model is right on test images, in int8 and in float."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.deploy.verify import quantize_inputs
from edge.errors import EdgeError
from edge.reporting.figures import Accuracy
from edge.reporting.training import answers_of
from edge.runtimes.interpreters import run_litert
from edge.system import signals
from edge.tflite.graph import Graph

if TYPE_CHECKING:
    from keras_mobilenet.training.data import ImageData


def measured_accuracy(graph: Graph, float_model: Any, images: ImageData) -> Accuracy:
    """Measures the accuracy of an int8 model, and of its float model, on test images.

    Args:
        graph: The int8 model.
        float_model: The built float Keras model; None leaves it out.
        images: Labelled images, of which the test images are used.

    Returns:
        The `Accuracy`.

    Raises:
        EdgeError: If the images, the float model and the int8 model do not belong together.

    Example:
        >>> from keras_mobilenet.data import ImageData
        >>> pixels, labels = np.zeros((2, 8, 8, 3), np.uint8), np.array([0, 1])
        >>> data = ImageData(
        ...     train_pixels=pixels, train_labels=labels, validation_pixels=pixels,
        ...     validation_labels=labels, test_pixels=pixels, test_labels=labels,
        ...     class_names=("cat", "dog"),
        ... )
        >>> measured_accuracy(graph, None, data).int8
        0.5
    """
    inputs, labels = images.test_inputs(), images.test_labels
    if inputs.shape[1:] != graph.input.shape[1:]:
        raise EdgeError(f"The images are {inputs.shape[1:]}, the model reads {graph.input.shape}.")
    classes = graph.output.element_count
    if len(images.class_names) != classes:
        raise EdgeError(
            f"The images have {len(images.class_names)} classes, the model has {classes} outputs: "
            "give images of the classes that it was trained for."
        )
    from keras_mobilenet.training.evaluation import evaluate

    outputs = run_litert(graph, quantize_inputs(graph, inputs)).reshape(len(labels), -1)
    found = evaluate(outputs, labels, images.class_names)
    return Accuracy(
        image_count=len(labels),
        int8=found.accuracy,
        float=_float_accuracy(float_model, inputs, labels),
        answers=answers_of(
            found.confusion.tolist(), [dataclasses.asdict(figures) for figures in found.classes]
        ),
    )


def _float_accuracy(model: Any, inputs: np.ndarray, labels: np.ndarray) -> float | None:
    if model is None:
        return None
    if tuple(model.input_shape[1:]) != inputs.shape[1:]:
        raise EdgeError(
            f"The float model reads {tuple(model.input_shape[1:])}, the int8 model "
            f"{inputs.shape[1:]}: give the model that was quantized."
        )
    with signals.in_native_code():
        predicted = model.predict(inputs, verbose=0).reshape(len(inputs), -1)
    return float(np.mean(predicted.argmax(axis=1) == labels))
