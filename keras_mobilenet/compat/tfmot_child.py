"""TF-MOT's side of the bridge, under tf_keras: `python tfmot_child.py FOLDER PIPE`.

It is run as a file: the package around it would load Keras 3. It ends with the process that started
it, however that one ends: the kernel then closes the other end of the pipe.
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
import threading

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras
from tf_keras import layers


def _build(job: dict, weights) -> tf_keras.Model:
    """The model in tf_keras's layers, with its weights."""
    inputs = tf_keras.Input(job["input_shape"])
    tensors = {job["source"]: inputs}
    for part in job["layers"]:
        layer = getattr(layers, part["kind"])(**part["config"], name=part["name"])
        sources = [tensors[source] for source in part["sources"]]
        tensors[part["result"]] = layer(sources if len(sources) > 1 else sources[0])
    model = tf_keras.Model(inputs, tensors[job["result"]])
    for part in job["layers"]:
        layer = model.get_layer(part["name"])
        layer.set_weights([weights[f"{part['name']}/{i}"] for i in range(len(layer.weights))])
    return model


def _train(model: tf_keras.Model, data, options: dict, callbacks=()) -> None:
    """Compiles and trains the model."""
    model.compile(tf_keras.optimizers.Adam(options["learning_rate"]), options["loss"])
    model.fit(
        data["inputs"],
        data["labels"],
        epochs=options["epochs"],
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
    )


def _ranges_of(model: tf_keras.Model) -> dict[str, list[float]]:
    """Layer name -> real range of its output, where TF-MOT has one."""
    found = {}
    for layer in model.layers:
        limits = {}
        for variable in layer.weights:
            name = variable.name.split("/")[-1].split(":")[0]
            for end in ("min", "max"):
                if name.endswith(f"_{end}") and not name.startswith(("kernel", "depthwise")):
                    limits[end] = float(variable.numpy())
        if len(limits) == 2:
            name = layer.name.removeprefix("quant_")
            is_input = isinstance(layer, tfmot.quantization.keras.quantizers.Quantizer) or (
                type(layer).__name__ == "QuantizeLayer"
            )
            found["input" if is_input else name] = [limits["min"], limits["max"]]
    return found


def main(folder: pathlib.Path) -> None:
    """Reads the job, the data and the weights, and writes the trained weights and ranges.

    Args:
        folder: The folder with `job.json`, `weights.npz` and `data.npz`, into which `trained.npz`,
            `ranges.json` and, for a quantized model, `model.tflite` are written.
    """
    job = json.loads((folder / "job.json").read_text("utf-8"))
    options = job["options"]
    with np.load(folder / "weights.npz") as weights:
        model = _build(job, weights)
    ranges = {}
    with np.load(folder / "data.npz") as data:
        if job["technique"] == "quantize":
            quantized = tfmot.quantization.keras.quantize_model(model)
            _train(quantized, data, options)
            ranges = _ranges_of(quantized)
            converter = tf.lite.TFLiteConverter.from_keras_model(quantized)
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
            (folder / "model.tflite").write_bytes(converter.convert())
            trained = quantized
        elif job["technique"] == "prune":
            sparsity = tfmot.sparsity.keras
            schedule = sparsity.ConstantSparsity(options["final_sparsity"], 0, frequency=1)
            pruned = sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
            _train(pruned, data, options, [sparsity.UpdatePruningStep()])
            trained = sparsity.strip_pruning(pruned)
        else:
            clustering = tfmot.clustering.keras
            clustered = clustering.cluster_weights(
                model,
                number_of_clusters=options["clusters"],
                cluster_centroids_init=clustering.CentroidInitialization.LINEAR,
            )
            _train(clustered, data, options)
            trained = clustering.strip_clustering(clustered)
    np.savez(folder / "trained.npz", **_weights_of(trained, job))
    (folder / "ranges.json").write_text(json.dumps(ranges), "utf-8")


WEIGHTS = ("kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
"""The names of weights, in the order in which every layer lists those that it has."""


def _weights_of(model: tf_keras.Model, job: dict) -> dict[str, np.ndarray]:
    """The weights that the model had when it came, by layer; those of wrappers are left out."""
    by_layer = {}
    for layer in model.layers:
        inner = layer
        while hasattr(inner, "layer"):
            inner = inner.layer
        own = {variable.name.split("/")[-1].split(":")[0]: variable for variable in layer.weights}
        by_layer[inner.name] = [own[name].numpy() for name in WEIGHTS if name in own]
    return {
        f"{part['name']}/{i}": value
        for part in job["layers"]
        for i, value in enumerate(by_layer[part["name"]])
    }


def _end_with_parent(pipe: int) -> None:
    """Waits until nobody holds the other end of a pipe."""
    os.read(pipe, 1)
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, args=(int(sys.argv[2]),), daemon=True).start()
    main(pathlib.Path(sys.argv[1]))
