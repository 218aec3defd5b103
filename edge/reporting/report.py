"""A report on a model and a board: memory over time, cost per layer, budget, error, accuracy."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import model_name, read_model
from edge.deploy.budget import budget
from edge.deploy.engine_budget import engine_bank_uses, measured_firmware
from edge.deploy.verify import quantize_inputs
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError, MissingToolError
from edge.firmware.profile import Profile, profile
from edge.memory.offline_plan import planned_model
from edge.memory.timeline import memory_timeline
from edge.reporting.figures import Absent, Accuracy, LayerCost, Report, Runtime
from edge.reporting.memory import engine_memory, tflm_memory
from edge.runtimes.interpreters import run_litert
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system import signals
from edge.system.files import write_files
from edge.tflite.graph import Graph

if TYPE_CHECKING:
    from edge.debugger.result import Comparison
    from keras_mobilenet.training.data import ImageData

Part = TypeVar("Part")


def report(
    model_or_tflite: Any,
    board: str = "nucleo-f446re",
    out: str | os.PathLike = "report.html",
    float_model: Any = None,
    data: ImageData | None = None,
    picture: str | os.PathLike | None = None,
    name: str | None = None,
) -> Report:
    """Writes one HTML file that shows what a model costs on a board, and what it loses in int8.

    Every figure is computed or measured; what cannot be had is named with the reason. The file
    loads nothing: it opens without a network.

    Args:
        model_or_tflite: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's
            bytes, or a `Graph`.
        board: The board's name.
        out: The HTML file to write.
        float_model: The float Keras model that was quantized, or a path to its `.keras` file.
        data: Labelled images from `load_images`; the held-out part is used.
        picture: If given, the same figures as a picture; its suffix names the format.
        name: What the page calls the model; None for the file's name, or the Keras model's.

    Returns:
        The `Report`.

    Raises:
        EdgeError: If the model cannot be read, the board is unknown, data or float model do not
            belong to the model, or a file cannot be written.

    Example:
        >>> report("model.tflite", "nucleo-f446re", "model.html").name
        'model.tflite'
        >>> pathlib.Path("model.html").is_file()
        True
    """
    from edge.reporting.page import render_page
    from edge.reporting.picture import render_picture

    result = collect(model_or_tflite, board, float_model, data, name)
    files = [(pathlib.Path(out), render_page(result).encode("utf-8"))]
    if picture is not None:
        path = pathlib.Path(picture)
        files.append((path, render_picture(result, path.suffix)))
    for path, content in files:
        write_files(path.parent, {path.name: content})
    return result


def collect(
    model_or_tflite: Any,
    board: str = "nucleo-f446re",
    float_model: Any = None,
    data: ImageData | None = None,
    name: str | None = None,
) -> Report:
    """Computes and measures all that a report shows, and writes nothing.

    Args:
        model_or_tflite: As in `report`.
        board: As in `report`.
        float_model: As in `report`.
        data: As in `report`.
        name: As in `report`.

    Returns:
        The `Report`.

    Raises:
        EdgeError: As in `report`.

    Example:
        >>> collect("model.tflite").runtimes[-1].memory.peak_bytes
        400
    """
    target = find_board(board)
    graph = read_model(model_or_tflite)
    name = model_name(model_or_tflite) if name is None else name
    # What the user got wrong is said before the minutes of work.
    accuracy: Accuracy | Absent = Absent(
        "Not measured: it needs labelled images, --data on the command line or data= in Python."
    )
    comparison: Comparison | Absent = Absent(
        "Not measured: it needs the float model and images, --float and --data on the command line "
        "or float_model= and data= in Python."
    )
    if data is not None:
        float_model = _loaded(float_model)
        accuracy = _accuracy(graph, float_model, data)
        if float_model is not None:
            # Imports TensorFlow, which takes seconds.
            from edge.debugger.compare import compare

            comparison = compare(float_model, graph, data.test_inputs())
    engine = _attempt(lambda: compile_engine(graph, instruction_set(target)))
    profiled = engine if isinstance(engine, Absent) else _attempt(lambda: profile(engine, target))
    return Report(
        name,
        graph,
        target,
        (*_tflm_runtimes(graph, target), _engine_runtime(engine, target)),
        _layers(graph, engine, profiled),
        profiled,
        accuracy,
        comparison,
    )


def _attempt(part: Callable[[], Part]) -> Part | Absent:
    try:
        return part()
    except EdgeError as error:
        return Absent(str(error))


def _tflm_runtimes(graph: Graph, board: Board) -> list[Runtime]:
    try:
        require_tflm_operators(graph)
    except EdgeError as error:
        return [Runtime("tflm", "TFLite Micro", Absent(str(error)), Absent(str(error)))]
    if graph.offline_offsets is not None:
        return [_tflm_runtime("tflm", "TFLite Micro, the file's plan", graph, board)]
    runtimes = [_tflm_runtime("tflm", "TFLite Micro, its own plan", graph, board)]
    planned = _attempt(lambda: planned_model(graph).graph)
    if isinstance(planned, Graph) and planned is not graph:
        name = "TFLite Micro, as export plans it"
        runtimes.append(_tflm_runtime("planned", name, planned, board))
    return runtimes


def _tflm_runtime(id: str, name: str, graph: Graph, board: Board) -> Runtime:
    memory = _attempt(lambda: tflm_memory(graph, memory_timeline(graph)))
    use = _attempt(lambda: budget(graph, board))
    if isinstance(use, Absent):
        return Runtime(id, name, memory, use)
    note = ""
    if use.unmeasured_operators:
        note = f"Not counted: the code of {', '.join(use.unmeasured_operators)}."
    return Runtime(id, name, memory, tuple(b for b in use.bank_uses() if b.items), note)


def _engine_runtime(engine: Engine | Absent, board: Board) -> Runtime:
    name = "The engine"
    if isinstance(engine, Absent):
        return Runtime("engine", name, engine, engine)
    firmware, note = None, ""
    try:
        firmware = measured_firmware(engine, board)
    except MissingToolError as error:
        note = f"Not counted: the code of the kernels. {error}"
    banks = tuple(engine_bank_uses(engine, board, firmware))
    return Runtime("engine", name, engine_memory(engine), banks, note)


def _layers(
    graph: Graph, engine: Engine | Absent, profiled: Profile | Absent
) -> tuple[LayerCost, ...]:
    costs = {}
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        constants = sum(graph.tensors[i].bytes for i in op.inputs if graph.tensors[i].is_constant)
        costs[op.index] = LayerCost(
            op.index, op.opcode, output.name, output.shape, graph.macs(op), constants
        )
    if isinstance(engine, Engine):
        counted = profiled.by_operator() if isinstance(profiled, Profile) else {}
        for layer, kernel in zip(engine.network.layers, engine.kernels, strict=True):
            index = layer.op.index
            costs[index] = dataclasses.replace(
                costs[index],
                engine_macs=engine.network.graph.macs(layer.op),
                engine_weights_bytes=4 * len(kernel.weights),
                instructions=counted.get(index),
            )
    return tuple(costs.values())


def _accuracy(graph: Graph, float_model: Any, images: ImageData) -> Accuracy:
    inputs, labels = images.test_inputs(), images.test_labels
    if inputs.shape[1:] != graph.input.shape[1:]:
        raise EdgeError(f"The images are {inputs.shape[1:]}, the model reads {graph.input.shape}.")
    classes = graph.output.element_count
    if len(images.class_names) != classes:
        raise EdgeError(
            f"The images have {len(images.class_names)} classes, the model has {classes} outputs: "
            "give images of the classes that it was trained for."
        )
    outputs = run_litert(graph, quantize_inputs(graph, inputs))
    right = float(np.mean(outputs.argmax(axis=1) == labels))
    return Accuracy(len(labels), right, _float_accuracy(float_model, inputs, labels))


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


def _loaded(model: Any) -> Any:
    if not isinstance(model, (str, os.PathLike)):
        return model
    from edge.converter.keras_files import load_keras

    return load_keras(os.fspath(model))
