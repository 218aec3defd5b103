"""What a network would take of a board at other numbers of channels: counted, without training it.

A network's shape decides on its flash and RAM, so that weights of ones stand for those to come. A
counter is given to `keras_mobilenet.ChannelPruning`, which knows no board.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.deploy.engine_budget import measured_firmware
from edge.engine.compile import Engine, schedule_and_pack
from edge.engine.layers import network_of
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.cycles import Cost, Cycles, estimate_cycles
from edge.memory.arena import tensor_arena
from edge.runtimes.tflm_code_size import library_use
from edge.tflite.graph import Graph, Tensor
from edge.tflite.operators import channel_axis, has_kernel, kernel_of
from edge.tflite.reader import read_graph
from edge.tflite.requantization import scale_of
from edge.transforms.dead_operators import without_dead_operators
from edge.transforms.groups import without_groups
from edge.transforms.scale import ScaledModel, with_channels

TRACED_WIDTHS = (1.0, 0.75, 0.5, 0.25)
COMMON_MULTIPLIER = 0.01
"""What scales stand for: of this order in trained networks, so that the usual kernels take them."""

Counted = Callable[[str, Sequence[int] | None], float]
"""From the name of a cost, and the output channels of each layer with a kernel, to the cost."""


def engine_counter(board: str | Board) -> Callable[[Any], Counted]:
    """Counts what a network takes with the engine on a board, for `ChannelPruning(counter=...)`.

    Args:
        board: The board or its name.

    Returns:
        A function that is given a Keras model and returns `cost(name, channels)`: `"flash_bytes"`
        and `"ram_bytes"` are those of the whole image without its stack; `"ms"` is the estimated
        time of an inference, the middle of its bounds, memory without waiting. `channels` are the
        output channels of each convolution and matrix product in their order, None for those that
        the model has.

    Raises:
        EdgeError: If the catalog has no such board.

    Example:
        >>> cost = engine_counter("nucleo-f446re")(model)
        >>> cost("ram_bytes", None) > cost("ram_bytes", [2, 2, 2, 2])
        True
    """
    found = find_board(board)
    return lambda model: _EngineCost(shape_of(model), found)


def tflm_counter(board: str | Board) -> Callable[[Any], Counted]:
    """Counts what a network takes with TFLite Micro on a board, for `ChannelPruning(counter=...)`.

    Args:
        board: The board or its name.

    Returns:
        A function as `engine_counter` returns it: `"flash_bytes"` are the model and an upper bound
        of the code, `"ram_bytes"` the tensor arena and the interpreter's data, without the stack.

    Raises:
        EdgeError: If the catalog has no such board.

    Example:
        >>> cost = tflm_counter("nucleo-f446re")(model)
        >>> cost("flash_bytes", None) > cost("flash_bytes", [2, 2, 2, 2])
        True
    """
    found = find_board(board)
    return lambda model: _TflmCost(shape_of(model), found)


@dataclasses.dataclass(frozen=True)
class Shape:
    """The int8 graph of a Keras model's shape.

    Attributes:
        graph: The graph, with random weights.
        order: The place of each operator with a kernel among the model's layers with kernels.
    """

    graph: Graph
    order: tuple[int, ...]

    def with_channels(self, channels: Sequence[int] | None) -> ScaledModel:
        """The graph at other widths.

        Args:
            channels: The output channels of the model's layers with kernels, in their order; None
                for those that it has.

        Returns:
            The `ScaledModel`.
        """
        if channels is None:
            counts = [made for _, made in _kernels(self.graph)]
        else:
            counts = [channels[place] for place in self.order]
        return with_channels(self.graph, counts)


def shape_of(model: Any) -> Shape:
    """Makes the int8 graph of a Keras model's shape.

    Args:
        model: A built Keras model, float or quantization-aware.

    Returns:
        The `Shape`.

    Raises:
        EdgeError: If the model cannot be converted.

    Example:
        >>> shape_of(model).graph.input.shape
        (1, 8, 8, 3)
    """
    import keras

    import keras_mobilenet
    from edge.converter.convert import convert
    from keras_mobilenet.pruning.channel_groups import ChannelGroups
    from keras_mobilenet.quantization.transform import is_quantized

    # Of its own weights: the batch that sets the ranges moves the statistics too.
    twin = copy = keras.models.clone_model(model)
    if not is_quantized(copy):
        twin = keras_mobilenet.quantize_model(copy)
    noise = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:]))
    twin(noise.astype("float32"), training=True)
    # Branches may stand in another order; the kernels are the same.
    places = {stage.kernel: place for place, stage in enumerate(ChannelGroups(copy).stages)}
    order = tuple(places[stage.kernel] for stage in ChannelGroups(twin).stages)
    return Shape(read_graph(convert(twin)), order)


class _EngineCost:
    """The engine's costs on a board; what was counted once is remembered."""

    def __init__(self, shape: Shape, board: Board):
        self._shape, self._board = shape, board
        self._engines: dict[tuple[int, ...] | None, Engine] = {}
        engine = self._engine(None)
        firmware = measured_firmware(engine, board)
        # Code, and the row of the image and the like, are the same at every width.
        self._code_bytes = firmware.code_bytes
        self._static_bytes = firmware.static_ram_bytes - engine.state_bytes

    def __call__(self, name: str, channels: Sequence[int] | None = None) -> float:
        engine = self._engine(None if channels is None else tuple(channels))
        if name == "flash_bytes":
            return engine.weights_bytes + self._code_bytes
        if name == "ram_bytes":
            return engine.state_bytes + self._static_bytes
        return self._milliseconds(engine)

    def _engine(self, channels: tuple[int, ...] | None) -> Engine:
        if channels not in self._engines:
            graph = without_groups(
                without_dead_operators(self._shape.with_channels(channels).graph)
            )
            kind = instruction_set(self._board)
            self._engines[channels] = schedule_and_pack(network_of(_with_ones(graph)), [kind])[kind]
        return self._engines[channels]

    @functools.cached_property
    def _traces(self) -> list[tuple[Engine, Cycles]]:
        """At some widths, what the layers take."""
        last = self._shape.order.index(len(self._shape.order) - 1)
        traces = []
        for share in TRACED_WIDTHS:
            widths = [0] * len(self._shape.order)
            for number, (place, (_, count)) in enumerate(
                zip(self._shape.order, _kernels(self._shape.graph), strict=True)
            ):
                widths[place] = count if number == last else max(round(share * count / 4) * 4, 4)
            engine = self._engine(tuple(widths))
            traces.append((engine, estimate_cycles(engine, self._board)))
        return traces

    def _milliseconds(self, engine: Engine) -> float:
        """Of each layer so many cycles a row, an output and a word of weights, as traced."""
        cycles = float(np.mean([_middle(traced.input) for _, traced in self._traces]))
        works = np.array([_work(traced) for traced, _ in self._traces], float)
        for index, work in enumerate(_work(engine)):
            took = np.array([_middle(traced.layers[index]) for _, traced in self._traces])
            # Relative to what each took: the narrow ones count as much.
            known = works[:, index] / took[:, None]
            rates = np.linalg.lstsq(known, np.ones(len(took)), rcond=None)[0]
            cycles += float(np.array(work) @ rates)
        return cycles / self._board.clock_hz * 1e3


def _middle(cost: Cost) -> float:
    return (cost.low + cost.high) / 2


def _kernels(graph: Graph) -> list[tuple[int, int]]:
    """The operators with a kernel: their index and output channels."""
    return [
        (op.index, graph.tensors[op.outputs[0]].shape[-1])
        for op in graph.operators
        if has_kernel(op)
    ]


def _work(engine: Engine) -> list[tuple[int, int, int]]:
    """Of each layer: its rows, its outputs, and the words that it reads for all of its pixels."""
    rows = engine.network.rows
    made = [rows[layer.output] for layer in engine.network.layers]
    return [
        (out.height, out.bytes, out.height * out.width * len(kernel.weights))
        for out, kernel in zip(made, engine.kernels, strict=True)
    ]


class _TflmCost:
    """TFLite Micro's costs on a board."""

    def __init__(self, shape: Shape, board: Board):
        self._shape, self._board = shape, board
        self._library = library_use(shape.graph.op_names())

    def __call__(self, name: str, channels: Sequence[int] | None = None) -> float:
        model = self._shape.with_channels(channels)
        if name == "flash_bytes":
            return model.model_bytes + self._library.cmsis_nn_flash_bytes
        if name == "ram_bytes":
            arena = tensor_arena(model.graph, self._board, may_measure=False)
            return arena.bytes + self._library.static_ram_bytes
        raise EdgeError(f"TFLite Micro's {name} is not estimated: use edge.engine_counter.")


def _with_ones(graph: Graph) -> Graph:
    """Weights of ones, biases of zero, and scales as trained networks have them."""
    tensors = list(graph.tensors)
    for op in graph.operators:
        if not has_kernel(op):
            continue
        kernel = kernel_of(graph, op)
        source, output = (graph.tensors[index] for index in (op.inputs[0], op.outputs[0]))
        count = kernel.shape[channel_axis(op)]
        scale = COMMON_MULTIPLIER * scale_of(output) / scale_of(source)
        tensors[kernel.index] = _quantized(kernel, np.ones(kernel.bytes, np.uint8), scale, count)
        for index in op.inputs[2:]:
            bias = graph.tensors[index]
            zeros = np.zeros(bias.bytes, np.uint8)
            tensors[index] = _quantized(bias, zeros, scale * scale_of(source), count)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def _quantized(tensor: Tensor, data: np.ndarray, scale: float, count: int) -> Tensor:
    quantization = dataclasses.replace(
        tensor.quantized(), scales=(scale,) * count, zero_points=(0,) * count
    )
    return dataclasses.replace(tensor, data=data, quantization=quantization)
