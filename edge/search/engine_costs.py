"""What designs take of a board with the engine: counted, hardly any of them compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from edge.catalog.boards import Board
from edge.deploy.engine_budget import measured_firmware
from edge.engine.compile import schedule_and_pack
from edge.engine.layers import network_of
from edge.engine.layout import segment_layout
from edge.engine.network import Layer, Network
from edge.engine.packing import instruction_set, kernel_for
from edge.engine.program import LEVELS, Program, program_of
from edge.engine.schedule import Scheduler
from edge.engine.simulation import Simulation
from edge.engine.stream_plan import Keep, StreamPlan
from edge.engine.zero_blocks import pruning_block
from edge.firmware.build import Firmware
from edge.firmware.render import STACK_BYTES
from edge.search.code_sizes import CodeSizes
from edge.search.costs import Costs
from edge.search.design import Design
from edge.search.design_graph import graph_of
from edge.search.layer_cycles import LayerShape, cycles_of, input_cycles
from edge.tflite.operators import has_kernel, kernel_of
from edge.tflite.tensors import int4_bytes

WORD = 4
LAYER_BYTES = 36
"""An entry of the table of layers on a 32-bit core: `engine_layer_t`, and where its rows are."""

ROOM_BYTES = 4096
"""More than tables, schedule, counters and buffers take: below it a plan decides."""


class _Packed(NamedTuple):
    """What a cost needs of a packed kernel."""

    name: str
    source: str
    words: int
    scratch_bytes: int


class EngineCosts:
    """What designs take with the engine on a board: what is counted once is remembered.

    The code of each set of kernels is compiled once, a matter of seconds; all else is computed.

    Args:
        board: The board.

    Raises:
        MissingToolError: When called, if CMake or arm-none-eabi-gcc is not installed.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.search.design import mobilenet_v1
        >>> found = EngineCosts(find_board("nucleo-f446re"))(mobilenet_v1(0.25, 32, 1, 10))
        >>> found.ram_bytes
        5452
    """

    def __init__(self, board: Board):
        self._board, self._instructions = board, instruction_set(board)
        self._packed: dict[tuple, _Packed] = {}
        self._simulations: dict[tuple, dict[int, Simulation]] = {}
        self._programs: dict[tuple, Program] = {}
        self._code = CodeSizes()
        self._static_bytes: dict[tuple[int, int], int] = {}

    def fits(self, design: Design, holds: Callable[[int, float | None], bool]) -> bool:
        """Says whether a design fits; most need no plan for that.

        Args:
            design: The design.
            holds: Says whether multiply-accumulates and milliseconds keep within the limits.

        Returns:
            False as well if it exceeds a limit.
        """
        network = network_of(graph_of(design))
        kernels = self._kernels(network, design.sparsity)
        weights = WORD * sum(kernel.words for kernel in kernels)
        flash = max(bank.bytes for bank in self._board.flash)
        if weights > flash or not holds(
            network.graph.total_macs(), self._milliseconds(network, kernels)
        ):
            return False
        code = self._code.estimate(frozenset(kernel.name for kernel in kernels)) + ROOM_BYTES
        is_roomy = weights + code <= flash
        if is_roomy and self._ram_at_most(network, kernels) <= self._board.largest_ram_bank.bytes:
            return True
        return self(design).fits

    def _ram_at_most(self, network: Network, kernels: Sequence[_Packed]) -> int:
        """The RAM without segments, which no plan exceeds."""
        simulations = self._simulations.setdefault(_geometry(network), {})
        if 0 not in simulations:
            simulations[0] = Simulation(network, 0)
        end = len(network.layers)
        layout = segment_layout(network, simulations[0], (0, end), has_heads=False)
        scratch = max(kernel.scratch_bytes for kernel in kernels)
        result = network.rows[network.output].bytes
        return layout.bytes + scratch + result + _row_bytes(network) + STACK_BYTES + ROOM_BYTES

    def ms(self, design: Design) -> float | None:
        """The estimated milliseconds of a design, which take no plan.

        Args:
            design: The design.

        Returns:
            The milliseconds; None if the board's core was never traced.
        """
        network = network_of(graph_of(design))
        return self._milliseconds(network, self._kernels(network, design.sparsity))

    def __call__(self, design: Design) -> Costs:
        """Counts a design.

        Args:
            design: The design.

        Returns:
            The `Costs`.
        """
        network = network_of(graph_of(design))
        kernels = self._kernels(network, design.sparsity)
        simulations = self._simulations.setdefault(_geometry(network), {})
        plan = Scheduler(network, simulations).plan([kernel.scratch_bytes for kernel in kernels])
        program = self._program(plan)
        state = _state_bytes(plan)
        row = _row_bytes(network)
        names = _code_parts(kernels, plan, program)
        output_bytes = network.rows[network.output].bytes
        place = (output_bytes, (state + row) % 8)
        if place not in self._static_bytes:
            self._link(network, design.sparsity)
        weights = WORD * sum(kernel.words for kernel in kernels)
        code = self._code.estimate(names) + _table_bytes(network, plan, program)
        return self._costs(
            network.graph.total_macs(),
            flash_bytes=weights + code,
            ram_bytes=state + row + self._static_bytes[place] + STACK_BYTES,
            ms=self._milliseconds(network, kernels),
        )

    def _costs(self, macs: int, flash_bytes: int, ram_bytes: int, ms: float | None) -> Costs:
        has_flash = flash_bytes <= max(bank.bytes for bank in self._board.flash)
        has_ram = ram_bytes <= self._board.largest_ram_bank.bytes
        return Costs(
            macs=macs,
            flash_bytes=flash_bytes,
            ram_bytes=ram_bytes,
            ms=ms,
            fits=has_flash and has_ram,
        )

    def linked(self, design: Design) -> Costs:
        """Counts a design by linking its image, so that its code is exact too.

        Args:
            design: The design.

        Returns:
            The `Costs`.
        """
        network = network_of(graph_of(design))
        firmware = self._link(network, design.sparsity)
        kernels = self._kernels(network, design.sparsity)
        return self._costs(
            network.graph.total_macs(),
            flash_bytes=firmware.flash_bytes,
            ram_bytes=firmware.static_ram_bytes + STACK_BYTES,
            ms=self._milliseconds(network, kernels),
        )

    def _link(self, network: Network, sparsity: float) -> Firmware:
        """Links an image, and remembers what other designs have in common with it."""
        sparse = with_zero_blocks(network, sparsity, self._board)
        engine = schedule_and_pack(sparse, [self._instructions])[self._instructions]
        firmware = measured_firmware(engine, self._board)
        plan, program = engine.plan, program_of(engine.plan)
        row = _row_bytes(network)
        packed = self._kernels(network, sparsity)
        self._code.add(
            _code_parts(packed, plan, program),
            firmware.code_bytes - _table_bytes(network, plan, program),
        )
        place = (network.rows[network.output].bytes, (engine.state_bytes + row) % 8)
        self._static_bytes[place] = firmware.static_ram_bytes - engine.state_bytes - row
        return firmware

    def _kernels(self, network: Network, sparsity: float) -> list[_Packed]:
        kernels = []
        for layer in network.layers:
            key = (*_layer_key(network, layer), sparsity)
            if key not in self._packed:
                shown = with_zero_blocks(network, sparsity, self._board, layer)
                kernel = kernel_for(shown, layer, self._instructions)
                self._packed[key] = _Packed(
                    kernel.name, kernel.source, len(kernel.weights), kernel.scratch_bytes
                )
            kernels.append(self._packed[key])
        return kernels

    def _program(self, plan: StreamPlan) -> Program:
        key = (plan.steps, tuple(plan.stores))
        if key not in self._programs:
            self._programs[key] = program_of(plan)
        return self._programs[key]

    def _milliseconds(self, network: Network, kernels: Sequence[_Packed]) -> float | None:
        cycles = input_cycles(self._board, network.rows[network.input])
        for layer, kernel in zip(network.layers, kernels, strict=True):
            shape = LayerShape.of(network, layer, kernel.words)
            taken = cycles_of(self._board, kernel.name, shape)
            if taken is None or cycles is None:
                return None
            cycles += taken
        return None if cycles is None else cycles / self._board.clock_hz * 1e3


def _geometry(network: Network) -> tuple:
    """What the order of the rows depends on: all but the channels."""
    return tuple(
        (
            layer.inputs,
            layer.output,
            layer.window,
            layer.stride,
            layer.pad,
            layer.needs_all,
            network.rows[layer.inputs[0]].height,
            network.rows[layer.output].height,
        )
        for layer in network.layers
    )


def _layer_key(network: Network, layer: Layer) -> tuple:
    """What the packing of a layer's weights of ones depends on."""
    source, output = network.rows[layer.inputs[0]], network.rows[layer.output]
    shape = (source.width, source.channels, output.width, output.channels)
    dtype = kernel_of(network.graph, layer.op).dtype if has_kernel(layer.op) else ""
    is_first = layer.inputs[0] == network.input
    opcode = layer.op.opcode
    # The sum that a MEAN divides is of all rows.
    height = source.height if opcode == "MEAN" else 0
    activation = layer.op.options.get("activation")
    return (opcode, shape, layer.window, layer.stride, dtype, is_first, height, activation)


def with_zero_blocks(
    network: Network, sparsity: float, board: Board, only: Layer | None = None
) -> Network:
    """Sets as many blocks of a network's weights to zero as training with that sparsity does.

    Args:
        network: The network.
        sparsity: The share of the blocks that the board's kernels skip.
        board: The board.
        only: The layer whose weights matter; None for all of them.

    Returns:
        The network.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> network = network_of(graph)
        >>> with_zero_blocks(network, 0.0, find_board("nucleo-f446re")) is network
        True
    """
    if not sparsity:
        return network
    from keras_mobilenet.pruning.blocks import largest_blocks

    tensors = list(network.graph.tensors)
    for layer in network.layers if only is None else [only]:
        if layer.op.opcode != "CONV_2D":
            continue
        kernel = kernel_of(network.graph, layer.op)
        ones = np.ones(kernel.shape[1:] + kernel.shape[:1])
        kept = largest_blocks(ones, pruning_block(board), sparsity)
        if kept is not None:
            masked = np.moveaxis(kept, -1, 0).astype(np.int8)
            data = int4_bytes(masked) if kernel.dtype == "int4" else masked.reshape(-1)
            tensors[kernel.index] = dataclasses.replace(kernel, data=data.view(np.uint8))
    graph = dataclasses.replace(network.graph, tensors=tuple(tensors))
    return dataclasses.replace(network, graph=graph)


def _state_bytes(plan: StreamPlan) -> int:
    """As `Engine.state_bytes`."""
    tensors = len(plan.stores)
    return plan.memory_bytes + (4 + 2 * tensors + 2 + LEVELS + tensors + 3) // 4 * 4


def _row_bytes(network: Network) -> int:
    """The row of the image, which lies on words."""
    return -(-network.rows[network.input].row_bytes // WORD) * WORD


def _code_parts(kernels: Sequence[_Packed], plan: StreamPlan, program: Program) -> frozenset[str]:
    """What the code of an image is put together from, beside what all images have."""
    # Kernels of one source share functions.
    names = {name for kernel in kernels for name in (kernel.name, kernel.source)}
    parts = {"loops"} if program.has_loops else set()
    parts |= {"keeps"} if any(isinstance(step, Keep) for step in plan.steps) else set()
    return frozenset(names | parts)


def _table_bytes(network: Network, plan: StreamPlan, program: Program) -> int:
    """The tables of the layers and the tensors, and the schedule."""
    is_short = plan.memory_bytes // WORD < 2**16 - 1
    is_narrow = max(network.rows[tensor].row_bytes for tensor in plan.stores) < 2**16
    tensor = 8 if is_short and is_narrow else 12 if is_short or is_narrow else 16
    steps = len(program.numbers) * (1 if program.is_in_bytes else 2)
    return LAYER_BYTES * len(network.layers) + tensor * len(plan.stores) + (steps + 3) // 4 * 4
