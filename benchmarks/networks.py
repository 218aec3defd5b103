"""The networks that `benchmarks/engine.py` runs: files of others, and Keras models made here."""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import edge
from edge.converter.model_source import read_model
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph

SHARED = pathlib.Path(__file__).parent.parent.parent / "shared" / "data"
CORES = {
    "M4": "mps2-an386",
    "M7": "mps2-an500",
    "M33": "mps2-an505",
    "M55": "mps3-an547",
    "M0+": "qemu-m0plus",
    "M3": "mps2-an385",
}
"""A board of QEMU's with each core."""

TWIN = "VWW's twin, all channels"
"""The only one of these networks that bakenn 1.0 takes."""


@dataclasses.dataclass(frozen=True)
class Network:
    """What is run.

    Attributes:
        name: The name in the tables.
        load: Reads or makes it; None where its file is not there.
        task: The task of MLPerf Tiny whose published figures stand beside it; empty if none.
        cores: The cores that run it.
    """

    name: str
    load: Callable[[], Graph | None]
    task: str = ""
    cores: tuple[str, ...] = tuple(CORES)


def networks() -> list[Network]:
    """All networks, those with published figures first."""
    return [
        Network("person detector (VWW)", file("vww_96_int8.tflite"), "VWW"),
        Network(TWIN, made(twin), "VWW"),
        Network("ResNet8", made(resnet8), "ResNet8"),
        Network("keyword spotting (KWS)", file("kws_ref_model.tflite"), "KWS"),
        Network("anomaly detection (ad01)", file("public/mlc_ad01.tflite"), "ad01"),
        Network("ad01, float in and out", file("public/mlc_ad_floatio.tflite"), "", ("M4",)),
        Network("TFLM's person_detect", file("public/tflm_person_detect.tflite")),
        Network("TFLM's micro_speech", file("public/tflm_micro_speech.tflite")),
        Network("MobileNetV2 0.35 96", made(mobilenet_v2)),
        Network("FOMO", file("public/openmv_fomo_face_detection.tflite"), "", ("M4",)),
        Network("MobileNetV1 0.25 128", made(mobilenet_v1, 128), "", ("M4",)),
        Network("MobileNetV1 0.25 224", made(mobilenet_v1, 224), "", ("M4",)),
    ]


def file(name: str) -> Callable[[], Graph | None]:
    """A file beside the project, if it is there."""

    @functools.cache
    def load() -> Graph | None:
        path = SHARED / "models" / name
        return read_model(path) if path.is_file() else None

    return load


def made(model: Callable[..., object], *arguments: int) -> Callable[[], Graph]:
    """A Keras model with random weights: cost and exactness do not depend on training."""
    return functools.cache(lambda: converted(model(*arguments)))


def twin() -> object:
    """VWW's layers without a constant channel, and without the softmax that bakenn refuses."""
    import keras
    from keras import layers

    import keras_mobilenet

    body = keras_mobilenet.MobileNetV1((96, 96, 3), 0.25, classes=10)
    outputs = [layer.output for layer in body.layers]
    last = next(o for o in reversed(outputs) if o.shape[1:3] == (3, 3))
    return keras.Model(body.input, layers.Conv2D(10, 1)(layers.AveragePooling2D(3)(last)))


def resnet8() -> object:
    """The network of MLPerf Tiny's image classification."""
    import keras
    from keras import layers

    def conv(x: object, filters: int, strides: int = 1, size: int = 3) -> object:
        x = layers.Conv2D(filters, size, strides, padding="same")(x)
        return layers.BatchNormalization()(x)

    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(image, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = conv(layers.ReLU()(conv(x, filters, strides)), filters)
        shortcut = conv(x, filters, strides, 1) if strides > 1 else x
        x = layers.ReLU()(layers.Add()([shortcut, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def mobilenet_v1(side: int) -> object:
    """MobileNetV1 with ImageNet's classes."""
    import keras_mobilenet

    return keras_mobilenet.MobileNetV1((side, side, 3), 0.25)


def mobilenet_v2() -> object:
    """MobileNetV2, as Keras has it."""
    import keras

    return keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)


def converted(model: object) -> Graph:
    """Converts a Keras model with weights as large as a trained network's."""
    rng = np.random.default_rng(0)
    values = []
    for weight in model.weights:
        if weight.path.endswith(("moving_variance", "gamma")):
            value = rng.uniform(0.5, 1.5, weight.shape)
        elif len(weight.shape) == 4:
            taps = np.prod(weight.shape[:2]) * (
                1 if "depthwise" in weight.path else weight.shape[2]
            )
            value = rng.normal(0, np.sqrt(2 / taps), weight.shape)
        else:
            value = rng.normal(0, 0.2, weight.shape)
        values.append(value.astype("float32"))
    model.set_weights(values)
    samples = rng.uniform(-1, 1, (8, *model.input_shape[1:])).astype("float32")
    return read_graph(edge.convert(model, samples))


def inputs_for(graph: Graph, count: int) -> np.ndarray:
    """Real photographs where there are some and the model reads images, else random bytes."""
    shape = graph.input.shape[1:]
    photographs = sorted((SHARED / "images").glob("*.jpg"))[:count]
    if len(photographs) < count or len(shape) != 3 or shape[2] != 3:
        return np.random.default_rng(1).integers(-128, 128, (count, *shape)).astype(np.int8)
    from PIL import Image

    images = [Image.open(p).convert("RGB").resize((shape[1], shape[0])) for p in photographs]
    pixels = np.stack([np.asarray(image) for image in images])
    return (pixels.astype(np.int16) - 128).astype(np.int8)
