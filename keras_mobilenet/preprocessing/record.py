"""The layer that keeps a Keras model's preprocessing with the model."""

from __future__ import annotations

import dataclasses

import keras

from keras_mobilenet.preprocessing.first_layers import raw_pixels
from keras_mobilenet.preprocessing.preprocessing import Preprocessing


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class PreprocessingRecord(keras.layers.Identity):
    """A layer that keeps a model's preprocessing and computes nothing.

    It stands right behind the input, and goes wherever the model goes: into `.keras` files, clones,
    quantization-aware twins and pruned models, and with `edge.convert` into the `.tflite`.

    Args:
        preprocessing: The `Preprocessing`, or its fields as a dictionary.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Raises:
        ValueError: When called on an input of another shape.

    Example:
        >>> inputs = keras.Input((32, 32, 3))
        >>> x = PreprocessingRecord(Preprocessing(32, 32, mean=0, std=255))(inputs)
        >>> model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        >>> preprocessing_of(model).std
        (255.0, 255.0, 255.0)
    """

    def __init__(self, preprocessing: Preprocessing | dict, **kwargs):
        super().__init__(**kwargs)
        if isinstance(preprocessing, dict):
            preprocessing = Preprocessing(**preprocessing)
        if not isinstance(preprocessing, Preprocessing):
            raise ValueError(f"preprocessing must be a Preprocessing, got {preprocessing!r}.")
        self.preprocessing = preprocessing

    def compute_output_spec(self, inputs: keras.KerasTensor) -> keras.KerasTensor:
        """Refuses inputs that the preprocessing does not make."""
        made = self.preprocessing
        shape = (made.height, made.width, made.channels)
        if tuple(inputs.shape[1:]) != shape:
            raise ValueError(
                f"The preprocessing makes images of shape {shape}, the model reads "
                f"{tuple(inputs.shape[1:])}: (height, width, channels) must agree."
            )
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        fields = dataclasses.asdict(self.preprocessing)
        return super().get_config() | {
            "preprocessing": {n: list(v) if n in ("mean", "std") else v for n, v in fields.items()}
        }


def preprocessing_of(model: keras.Model) -> Preprocessing | None:
    """Reads the preprocessing that a model was made for.

    Args:
        model: The Keras model.

    Returns:
        The preprocessing of a `PreprocessingRecord` right behind the model's input, or that of raw
        pixels where a Rescaling or Normalization of the model's own brings them to scale; None if
        there is no such layer.

    Example:
        >>> from keras_mobilenet import MobileNetV1
        >>> preprocessing_of(MobileNetV1((96, 96, 1), alpha=0.25)).mean
        (128.0,)
    """
    layer = _record(model)
    return raw_pixels(model) if layer is None else layer.preprocessing


def input_like(model: keras.Model) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Makes a fresh input like a model's, with the model's preprocessing record behind it.

    Args:
        model: The functional or Sequential model, with one input.

    Returns:
        `(input, tensor)`: what a new model begins with, and what its first layer reads.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> inputs, x = input_like(model)
        >>> inputs is x, inputs.shape
        (True, (None, 4))
    """
    (source,) = model.inputs
    inputs = keras.Input(batch_shape=source.shape, dtype=source.dtype, name=source.name)
    layer = _record(model)
    if layer is not None:
        return inputs, PreprocessingRecord.from_config(layer.get_config())(inputs)
    pixels = raw_pixels(model)
    return inputs, inputs if pixels is None else PreprocessingRecord(pixels)(inputs)


def _record(model: keras.Model) -> PreprocessingRecord | None:
    graph = getattr(model, "_functional", None) or model
    # A subclassed model has no graph to look at.
    if not hasattr(graph, "_nodes_by_depth"):
        return None
    source = graph.inputs[0]
    nodes = (node for nodes in graph._nodes_by_depth.values() for node in nodes)
    for node in nodes:
        if node.is_input or all(tensor is not source for tensor in node.input_tensors):
            continue
        layer = node.operation
        if isinstance(layer, keras.Model):
            layer = _record(layer)
        if isinstance(layer, PreprocessingRecord):
            return layer
    return None
