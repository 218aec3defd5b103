"""The bridge to TensorFlow Model Optimization, which knows Keras 2 only.

A model is sent as a list of plain layers with weights; TF-MOT works on it in a process of its own
under tf_keras, and weights and ranges come back.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import layers

from keras_mobilenet.quantization.float_graph import read_float_graph
from keras_mobilenet.quantization.scheme import Role, role_of, unsupported
from keras_mobilenet.quantization.transform import model_ranges, quantize_model

CHILD = pathlib.Path(__file__).with_name("tfmot_child.py")

_CONVOLUTION = ("kernel_size", "strides", "padding", "dilation_rate", "use_bias", "activation")
_POOLING = ("pool_size", "strides", "padding")
_ARGUMENTS: dict[type, tuple[str, ...]] = {
    layers.Conv2D: ("filters", *_CONVOLUTION),
    layers.DepthwiseConv2D: ("depth_multiplier", *_CONVOLUTION),
    layers.Dense: ("units", "use_bias", "activation"),
    layers.BatchNormalization: ("axis", "momentum", "epsilon", "center", "scale"),
    layers.ReLU: ("max_value",),
    layers.Activation: ("activation",),
    layers.Softmax: ("axis",),
    layers.Add: (),
    layers.Concatenate: ("axis",),
    layers.GlobalAveragePooling2D: ("keepdims",),
    layers.AveragePooling2D: _POOLING,
    layers.MaxPooling2D: _POOLING,
    layers.ZeroPadding2D: ("padding",),
    layers.Dropout: ("rate",),
    layers.Flatten: (),
    layers.Reshape: ("target_shape",),
}
"""The part of each layer's configuration that both versions of Keras understand."""


class TfmotError(RuntimeError):
    """TF-MOT refused the model, or its process failed; the message has TF-MOT's own."""


@dataclasses.dataclass(frozen=True)
class TfmotQuantized:
    """The result of TF-MOT's quantization-aware training.

    Attributes:
        model: A quantization-aware model of this package, with TF-MOT's weights and ranges.
        tflite: The int8 file that TF-MOT's own model converts to.
    """

    model: keras.Model
    tflite: bytes


@dataclasses.dataclass(frozen=True)
class _PlainLayer:
    """One layer of the list that is sent to TF-MOT."""

    layer: keras.layers.Layer
    name: str
    sources: tuple[int, ...]
    result: int
    quantized_name: str


def tfmot_quantize(
    model: keras.Model,
    data: tuple[np.ndarray, np.ndarray],
    *,
    epochs: int = 1,
    learning_rate: float = 0.0,
    loss: str = "sparse_categorical_crossentropy",
) -> TfmotQuantized:
    """Trains a Keras 3 model with TF-MOT's `quantize_model`.

    Args:
        model: The built functional or Sequential Keras 3 model; it stays as it is.
        data: The `(inputs, labels)` arrays to train on.
        epochs: The number of training epochs.
        learning_rate: The learning rate of Adam; 0 only calibrates the ranges.
        loss: The name of the Keras loss.

    Returns:
        The `TfmotQuantized`.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule, or no counterpart in Keras 2.
        TfmotError: If TF-MOT refuses the model.

    Example:
        >>> inputs = keras.Input((8, 8, 1))
        >>> x = layers.Conv2D(2, 3, activation="relu", name="c")(inputs)
        >>> model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(x)))
        >>> data = np.random.rand(8, 8, 8, 1), np.zeros(8)
        >>> [r.is_trained for _, r in model_ranges(tfmot_quantize(model, data).model)]
        [True, True, True]
    """
    clone, plain, reply = _run_tfmot(
        "quantize",
        model,
        data,
        {"epochs": epochs, "learning_rate": learning_rate, "loss": loss},
    )
    twin = quantize_model(clone, ranges="moving_average")
    limits: dict[str, list[float]] = {}
    for part in plain:
        if part.name in reply.ranges:
            # The last of a fused group is its output.
            limits[part.quantized_name] = reply.ranges[part.name]
    limits["quantized_input"] = reply.ranges["input"]
    for name, tensor_range in model_ranges(twin):
        if name not in limits:
            raise TfmotError(f"TF-MOT gives no range for {name!r}, which int8 needs.")
        tensor_range.set_limits(*limits[name])
    return TfmotQuantized(twin, reply.tflite)


def tfmot_prune(
    model: keras.Model,
    data: tuple[np.ndarray, np.ndarray],
    final_sparsity: float = 0.5,
    *,
    epochs: int = 2,
    learning_rate: float = 1e-3,
    loss: str = "sparse_categorical_crossentropy",
) -> keras.Model:
    """Trains a Keras 3 model with TF-MOT's `prune_low_magnitude`.

    Args:
        model: The built functional or Sequential Keras 3 model; it stays as it is.
        data: The `(inputs, labels)` arrays to train on.
        final_sparsity: The share of zeros, kept from the first step on.
        epochs: The number of training epochs.
        learning_rate: The learning rate of Adam.
        loss: The name of the Keras loss.

    Returns:
        A Keras 3 model of the same layers, with the pruned weights.

    Raises:
        UnsupportedLayerError: If a layer has no counterpart in Keras 2.
        TfmotError: If TF-MOT refuses the model.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(2, activation="softmax")])
        >>> pruned = tfmot_prune(model, (np.random.rand(32, 8), np.zeros(32)), 0.75)
        >>> int((np.array(pruned.layers[-1].kernel) == 0).sum())
        12
    """
    options = {"epochs": epochs, "learning_rate": learning_rate, "loss": loss}
    return _run_tfmot("prune", model, data, options | {"final_sparsity": final_sparsity})[0]


def tfmot_cluster(
    model: keras.Model,
    data: tuple[np.ndarray, np.ndarray],
    number_of_clusters: int = 16,
    *,
    epochs: int = 1,
    learning_rate: float = 1e-4,
    loss: str = "sparse_categorical_crossentropy",
) -> keras.Model:
    """Trains a Keras 3 model with TF-MOT's `cluster_weights`.

    Args:
        model: The built functional or Sequential Keras 3 model; it stays as it is.
        data: The `(inputs, labels)` arrays to train on.
        number_of_clusters: The number of different values that each kernel keeps.
        epochs: The number of training epochs.
        learning_rate: The learning rate of Adam.
        loss: The name of the Keras loss.

    Returns:
        A Keras 3 model of the same layers, with the clustered weights.

    Raises:
        UnsupportedLayerError: If a layer has no counterpart in Keras 2.
        TfmotError: If TF-MOT refuses the model.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(2, activation="softmax")])
        >>> clustered = tfmot_cluster(model, (np.random.rand(32, 8), np.zeros(32)), 4)
        >>> len(np.unique(np.array(clustered.layers[-1].kernel))) <= 4
        True
    """
    options = {"epochs": epochs, "learning_rate": learning_rate, "loss": loss}
    return _run_tfmot("cluster", model, data, options | {"clusters": number_of_clusters})[0]


@dataclasses.dataclass(frozen=True)
class _Reply:
    ranges: dict[str, list[float]]
    tflite: bytes


def _run_tfmot(technique: str, model: keras.Model, data, options: dict):
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    graph = read_float_graph(clone)
    plain = _plain_layers(graph)
    job = {
        "technique": technique,
        "options": options,
        "input_shape": clone.inputs[0].shape[1:],
        "source": graph.source,
        "result": graph.result,
        "layers": [
            {
                "name": part.name,
                "kind": type(part.layer).__name__,
                "config": _config(part.layer),
                "sources": part.sources,
                "result": part.result,
            }
            for part in plain
        ],
    }
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        np.savez(folder / "data.npz", inputs=data[0], labels=data[1])
        np.savez(folder / "weights.npz", **_weights(plain))
        child_end, our_end = os.pipe()
        try:
            done = subprocess.run(
                [sys.executable, str(CHILD), str(folder), str(child_end)],
                capture_output=True,
                text=True,
                env=os.environ | {"TF_USE_LEGACY_KERAS": "1"},
                pass_fds=[child_end],
            )
        finally:
            os.close(child_end)
            os.close(our_end)
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise TfmotError(f"TF-MOT could not {technique} model {model.name!r}: {last}")
        with np.load(folder / "trained.npz") as trained:
            for part in plain:
                count = len(part.layer.weights)
                part.layer.set_weights([trained[f"{part.name}/{i}"] for i in range(count)])
        ranges = json.loads((folder / "ranges.json").read_text("utf-8"))
        tflite = folder / "model.tflite"
        reply = _Reply(ranges, tflite.read_bytes() if tflite.is_file() else b"")
    return clone, plain, reply


def _plain_layers(graph) -> list[_PlainLayer]:
    """The layers in order, the blocks of this package opened."""
    plain = []
    for group in graph.groups:
        first = group.layers[0]
        if role_of(first) is Role.BLOCK:
            (tensor,) = group.calls[0].sources
            if first.zero_padding is not None:
                padding = layers.ZeroPadding2D(first.zero_padding)
                plain.append(
                    _PlainLayer(
                        layer=padding,
                        name=f"{first.name}_padding",
                        sources=(tensor,),
                        result=id(padding),
                        quantized_name=f"quantized_{first.name}_padding",
                    )
                )
                tensor = id(padding)
            for stage in first.fusable_stages():
                quantized = f"quantized_{first.name}_{stage[0].name}"
                for layer in stage:
                    name = f"{first.name}_{layer.name}"
                    plain.append(
                        _PlainLayer(
                            layer=layer,
                            name=name,
                            sources=(tensor,),
                            result=id(layer),
                            quantized_name=quantized,
                        )
                    )
                    tensor = id(layer)
            plain[-1] = dataclasses.replace(plain[-1], result=group.calls[-1].result)
            continue
        for call in group.calls:
            plain.append(
                _PlainLayer(
                    layer=call.layer,
                    name=call.layer.name,
                    sources=call.sources,
                    result=call.result,
                    quantized_name=f"quantized_{first.name}",
                )
            )
    return plain


def _config(layer) -> dict:
    if type(layer) not in _ARGUMENTS:
        known = ", ".join(sorted(kind.__name__ for kind in _ARGUMENTS))
        raise unsupported(
            layer, f"it has no counterpart in the bridge to TF-MOT; it knows {known}."
        )
    config = layer.get_config()
    return {name: config[name] for name in _ARGUMENTS[type(layer)]}


def _weights(plain: list[_PlainLayer]) -> dict[str, np.ndarray]:
    return {
        f"{part.name}/{i}": value
        for part in plain
        for i, value in enumerate(part.layer.get_weights())
    }
