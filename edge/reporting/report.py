"""Reports on a model and a board: memory over time, cost per layer, budget, error, accuracy."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from edge.catalog.boards import Board, find_board
from edge.converter.model_source import model_name, read_model
from edge.deploy.budget import budget
from edge.deploy.engine_budget import engine_bank_uses, measured_firmware
from edge.engine.compile import Engine, compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError, MissingToolError
from edge.firmware.cycles import Cycles, estimate_cycles
from edge.firmware.profile import Profile, profile
from edge.memory.offline_plan import planned_model
from edge.memory.timeline import memory_timeline
from edge.reporting.accuracy import measured_accuracy
from edge.reporting.figures import Absent, Accuracy, LayerFigures, Report, Runtime, Training
from edge.reporting.memory import engine_memory, tflm_memory
from edge.reporting.training import read_training
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system.files import output_file, write_files
from edge.tflite.graph import Graph

if TYPE_CHECKING:
    from edge.debugger.result import Comparison
    from keras_mobilenet.training.data import ImageData

Part = TypeVar("Part")

NO_TRAINING = Absent(
    "Not shown: it needs the .evaluation.json that train writes beside the model, --training on "
    "the command line or training= in Python."
)


def report(
    model: Any,
    board: str | Board = "nucleo-f446re",
    out_file: str | os.PathLike = "report.html",
    *,
    float_model: Any = None,
    data: ImageData | None = None,
    training: str | os.PathLike | None = None,
    picture: str | os.PathLike | None = None,
    name: str | None = None,
) -> Report:
    """Writes one HTML file that shows what a model costs on a board, and what it loses in int8.

    Every figure is computed or measured; where one cannot be had, the page says why. The file loads
    nothing from elsewhere, so it opens without a network.

    Args:
        model: A Keras model, the path of a `.keras` or int8 `.tflite` file, the bytes of a
            `.tflite`, or a `Graph`.
        board: The name of the board, or a `Board`.
        out_file: The path of the HTML file to write.
        float_model: The float Keras model that was quantized, or the path of its `.keras` file.
        data: Labelled images from `keras_mobilenet.data.load_images`, of which the test images
            are used.
        training: The path of the `.evaluation.json` that `keras-mobilenet train` wrote beside the
            model: its curves and its confusion matrix.
        picture: The path of a picture to write with the same figures; its suffix names the format.
        name: The name of the model on the page; None takes the file's name, or the Keras model's.

    Returns:
        The `Report`, with the figures that the file shows.

    Raises:
        EdgeError: If the model cannot be read, the board is unknown, the data or the float model do
            not belong to the model, or a file cannot be written.

    Example:
        >>> report("model.tflite", "nucleo-f446re", "model.html").name
        'model.tflite'
        >>> os.path.isfile("model.html")
        True
    """
    from edge.reporting.page import render_page
    from edge.reporting.picture import render_picture

    paths = [output_file(path) for path in (out_file, picture) if path is not None]
    if len({path.absolute() for path in paths}) < len(paths):
        raise EdgeError(f"{paths[0]} cannot be both the page and the picture: name two files.")
    result = collect(model, board, float_model=float_model, data=data, training=training, name=name)
    contents = [render_page(result).encode("utf-8")]
    contents += [render_picture(result, path.suffix) for path in paths[1:]]
    for path, content in zip(paths, contents, strict=True):
        write_files(path.parent, {path.name: content})
    return result


def collect(
    model: Any,
    board: str | Board = "nucleo-f446re",
    *,
    float_model: Any = None,
    data: ImageData | None = None,
    training: str | os.PathLike | None = None,
    name: str | None = None,
) -> Report:
    """Computes and measures the figures of a report, and writes nothing.

    Args:
        model: A model of any kind that `report` takes.
        board: The name of the board, or a `Board`.
        float_model: The float Keras model that was quantized, or the path of its `.keras` file.
        data: Labelled images, of which the test images are used.
        training: The path of the `.evaluation.json` that `keras-mobilenet train` wrote.
        name: The name of the model; None takes the file's name, or the Keras model's.

    Returns:
        The `Report`.

    Raises:
        EdgeError: If the model cannot be read, the board is unknown, or the data or the float model
            do not belong to the model.

    Example:
        >>> collect("model.tflite").runtimes[-1].memory.peak_bytes
        416
    """
    target = find_board(board)
    graph = read_model(model)
    name = model_name(model) if name is None else name
    # Errors in the arguments come before minutes of work.
    trained = NO_TRAINING if training is None else _training_of(graph, training)
    accuracy, comparison = _errors_of_int8(graph, float_model, data)
    engine = _attempt(lambda: compile_engine(graph, instruction_set(target)))
    profiled = engine if isinstance(engine, Absent) else _attempt(lambda: profile(engine, target))
    cycles = (
        engine if isinstance(engine, Absent) else _attempt(lambda: estimate_cycles(engine, target))
    )
    return Report(
        name=name,
        graph=graph,
        board=target,
        runtimes=(*_tflm_runtimes(graph, target), _engine_runtime(engine, target)),
        layers=_layers(graph, engine, profiled, cycles),
        profile=profiled,
        cycles=cycles,
        accuracy=accuracy,
        comparison=comparison,
        training=trained,
    )


def _training_of(graph: Graph, path: str | os.PathLike) -> Training:
    training = read_training(path)
    classes, outputs = len(training.answers.classes), graph.output.element_count
    if classes != outputs:
        raise EdgeError(
            f"{os.fspath(path)} is of {classes} classes, the model has {outputs} outputs: give "
            "what train wrote beside this model."
        )
    return training


def _errors_of_int8(
    graph: Graph, float_model: Any, data: ImageData | None
) -> tuple[Accuracy | Absent, Comparison | Absent]:
    """Measures accuracy and quantization error, as far as images and a float model are given."""
    comparison: Comparison | Absent = Absent(
        "Not measured: it needs the float model and images, --float and --data on the command line "
        "or float_model= and data= in Python."
    )
    if data is None:
        reason = "it needs labelled images, --data on the command line or data= in Python."
        return Absent(f"Not measured: {reason}"), comparison
    float_model = _loaded(float_model)
    accuracy = measured_accuracy(graph, float_model, data)
    if float_model is not None:
        # This imports TensorFlow, which takes seconds.
        from edge.debugger.compare import compare

        comparison = compare(float_model, graph, data.test_inputs())
    return accuracy, comparison


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
    banks = tuple(bank for bank in use.bank_uses() if bank.items)
    return Runtime(id=id, name=name, memory=memory, banks=banks, note=note)


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
    return Runtime(
        id="engine",
        name=name,
        memory=engine_memory(engine),
        banks=banks,
        note=note,
        sections=() if firmware is None else firmware.sections,
    )


def _layers(
    graph: Graph, engine: Engine | Absent, profiled: Profile | Absent, cycles: Cycles | Absent
) -> tuple[LayerFigures, ...]:
    costs = {}
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        constants = sum(graph.tensors[i].bytes for i in op.inputs if graph.tensors[i].is_constant)
        costs[op.index] = LayerFigures(
            operator=op.index,
            opcode=op.opcode,
            name=output.name,
            shape=output.shape,
            macs=graph.macs(op),
            weights_bytes=constants,
        )
    if isinstance(engine, Engine):
        counted = profiled.by_operator() if isinstance(profiled, Profile) else {}
        for layer, kernel in zip(engine.network.layers, engine.kernels, strict=True):
            index = layer.op.index
            cost = cycles.layers[layer.index] if isinstance(cycles, Cycles) else None
            costs[index] = dataclasses.replace(
                costs[index],
                engine_macs=engine.network.graph.macs(layer.op),
                engine_weights_bytes=4 * len(kernel.weights),
                instructions=counted.get(index),
                low_cycles=None if cost is None else cost.low,
                high_cycles=None if cost is None else cost.high,
            )
    return tuple(costs.values())


def _loaded(model: Any) -> Any:
    if not isinstance(model, (str, os.PathLike)):
        return model
    from edge.converter.keras_files import load_keras

    return load_keras(os.fspath(model))
