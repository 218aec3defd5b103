"""The engine beside its peers, on emulated cores: `make bench-engine`.

Every figure is measured in this run: instructions by QEMU's clock (`-icount shift=0`), RAM as state
(or arena), image buffer, output and painted stack, flash as linked. TFLite Micro takes part if
`TFLM_DIR` names its headers and libraries, laid out as the emitted CMakeLists.txt says.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import sys

import numpy as np
from rich.console import Console
from rich.table import Column, Table

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import edge
from edge.catalog.boards import find_board
from edge.deploy.verify_engine import run_emulated
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.emulate import Emulation
from edge.memory.offline_plan import planned_model
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph
from edge.transforms.constant_channels import without_constant_channels

SHARED = pathlib.Path(__file__).parent.parent.parent / "shared" / "data"
M4, M55 = find_board("mps2-an386"), find_board("mps3-an547")
PERSON_IMAGES = 100


def main() -> None:
    """Runs everything and prints two tables."""
    console = Console(width=132)
    table = Table(
        "model",
        "runs on",
        *(
            Column(name, justify="right")
            for name in ("equal", "instructions", "a MAC", "RAM", "code", "weights")
        ),
    )

    def report(
        name: str, where: str, graph: Graph, inputs: np.ndarray, run: tuple[Emulation, int]
    ) -> None:
        emulation, code_bytes = run
        equal = int((emulation.outputs == run_litert(graph, inputs)).all(axis=1).sum())
        weights = ""
        if where.startswith("engine"):
            board = M55 if "M55" in where else M4
            weights = f"{compile_engine(graph, instruction_set(board)).weights_bytes:,}"
        table.add_row(
            name,
            where,
            f"{equal} of {len(inputs)}",
            f"{emulation.instructions:,}",
            f"{emulation.instructions / graph.total_macs():.2f}",
            f"{emulation.ram_bytes:,}",
            f"{code_bytes:,}",
            weights,
        )
        console.print(f"{name}, {where}: done")

    for name, (graph, inputs) in models().items():
        report(name, "engine, M4, by rows", graph, inputs, run_emulated(graph, M4, inputs))
        few = inputs[:3]
        report(
            name, "engine, M4, whole frame", graph, few, run_emulated(graph, M4, few, is_frame=True)
        )
        report(name, "engine, M55", graph, few, run_emulated(graph, M55, few))
        import peers

        for kernels, library in (
            ("reference", "libtflm.a"),
            ("CMSIS-NN", "libtflm_cmsis_nn.a"),
        ):
            if (run := peers.run_tflm(graph, M4, few, library)) is not None:
                report(name, f"TFLite Micro, {kernels}, M4", graph, few, run)
        if name == "MobileNetV1 0.25 96, no softmax":
            if importlib.util.find_spec("bakenn") is None:
                console.print("bakenn is not installed: pip install -e '.[bench]'")
                continue
            for kernels, has_cmsis_nn in (("portable", False), ("CMSIS-NN", True)):
                run = peers.run_bakenn(graph, M4, few, has_cmsis_nn)
                report(name, f"bakenn, {kernels}, M4", graph, few, run)
    console.print(table)
    console.print(plans())
    console.print(
        "equal: all output bytes are LiteRT's reference kernels'. RAM: state or arena, image "
        "buffer, output, peak stack. code: flash beside the weights; of the peers, all of it."
    )


@functools.cache
def models() -> dict[str, tuple[Graph, np.ndarray]]:
    """What is run, by name, with inputs."""
    found = {}
    for name, file in (
        ("person detector (VWW) 0.25 96", "vww_96_int8.tflite"),
        ("keyword spotting (KWS)", "kws_ref_model.tflite"),
    ):
        if (SHARED / "models" / file).is_file():
            graph = read_graph(SHARED / "models" / file)
            found[name] = graph, inputs_for(graph, PERSON_IMAGES if "VWW" in name else 10)
    for name, model in keras_models():
        graph = converted(model)
        found[name] = graph, inputs_for(graph, 3)
    return found


def keras_models() -> list[tuple[str, object]]:
    """Networks with random weights: cost and exactness do not depend on training."""
    import keras
    from keras import layers

    import keras_mobilenet

    def conv(x: object, filters: int, strides: int = 1, size: int = 3) -> object:
        x = layers.Conv2D(filters, size, strides, padding="same")(x)
        return layers.BatchNormalization()(x)

    body = keras_mobilenet.MobileNetV1((96, 96, 3), 0.25, classes=10)
    outputs = [layer.output for layer in body.layers]
    last = next(o for o in reversed(outputs) if o.shape[1:3] == (3, 3))
    head = layers.Conv2D(10, 1)(layers.AveragePooling2D(3)(last))
    image = keras.Input((32, 32, 3))
    x = layers.ReLU()(conv(image, 16))
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = conv(layers.ReLU()(conv(x, filters, strides)), filters)
        shortcut = conv(x, filters, strides, 1) if strides > 1 else x
        x = layers.ReLU()(layers.Add()([shortcut, y]))
    x = layers.Flatten()(layers.AveragePooling2D(8)(x))
    resnet8 = keras.Model(image, layers.Dense(10, activation="softmax")(x))
    v2 = keras.applications.MobileNetV2((96, 96, 3), alpha=0.35, weights=None, classes=10)
    return [
        ("MobileNetV1 0.25 96, no softmax", keras.Model(body.input, head)),
        ("MobileNetV1 0.25 128", keras_mobilenet.MobileNetV1((128, 128, 3), 0.25)),
        ("MobileNetV1 0.25 224", keras_mobilenet.MobileNetV1((224, 224, 3), 0.25)),
        ("ResNet8", resnet8),
        ("MobileNetV2 0.35 96", v2),
    ]


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
    photographs = sorted((SHARED / "images").glob("*.jpg"))[:count]
    height, width, channels = graph.input.shape[1:]
    if len(photographs) < count or channels != 3:
        shape = (count, *graph.input.shape[1:])
        return np.random.default_rng(1).integers(-128, 128, shape).astype(np.int8)
    from PIL import Image

    images = [Image.open(p).convert("RGB").resize((width, height)) for p in photographs]
    return (np.stack([np.asarray(image) for image in images]).astype(np.int16) - 128).astype(
        np.int8
    )


def plans() -> Table:
    """Memory for activations: one row per model."""
    columns = ("TFLM's greedy plan", "best plan of whole tensors", "engine", "MACs", "MACs run")
    table = Table("model", *(Column(name, justify="right") for name in columns))
    for name, (graph, _) in models().items():
        whole = planned_model(graph)
        small = without_constant_channels(graph)
        figures = (
            whole.greedy_bytes,
            whole.planned_bytes,
            compile_engine(graph, instruction_set(M4)).plan.memory_bytes,
            graph.total_macs(),
            small.total_macs(),
        )
        table.add_row(name, *(f"{figure:,}" for figure in figures))
    return table


if __name__ == "__main__":
    main()
