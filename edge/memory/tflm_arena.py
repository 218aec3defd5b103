"""Predicts, byte for byte, the tensor arena that TFLite Micro takes.

TFLite Micro lays the arena out when it starts: activations and scratch memory at the head, placed
by a greedy planner, and the interpreter's own records at the tail, allocated downward. Both follow
from the graph, the kernels and the sizes of C++ structures, so no board is needed to know the sum.

Source: tflite-micro at commit 90b983c (micro_allocator.cc, greedy_memory_planner.cc, the Prepare
functions of the kernels), structures measured with arm-none-eabi-gcc 12.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Literal

from edge.errors import EdgeError
from edge.memory.greedy import ALIGNMENT, align_up, greedy_offsets
from edge.memory.live_ranges import Buffer, activation_buffers
from edge.memory.tflm_structures import CMSIS_NN_USER_DATA, CORTEX_M, Structures
from edge.tflite.graph import Graph, Operator

MAX_SCRATCH_PER_OPERATOR = 12
SCRATCH_REQUEST_BYTES = {4: 12, 8: 16}
PLANNER_BYTES_PER_BUFFER = 40

Kernels = Literal["reference", "cmsis_nn"]


class NoArenaRuleError(EdgeError):
    """An operator whose memory in TFLite Micro this module does not know."""


@dataclasses.dataclass(frozen=True)
class ArenaPlan:
    """What TFLite Micro does with its tensor arena.

    Attributes:
        head_bytes: Activations and scratch memory.
        tail_bytes: The interpreter's records, kept for as long as it lives.
        planning_bytes: What start-up needs beside the tail, before the head is in use.
        buffers: Activations by tensor index, then scratch memory by operator.
        offsets: Where each of `buffers` starts in the arena.
    """

    head_bytes: int
    tail_bytes: int
    planning_bytes: int
    buffers: tuple[Buffer, ...]
    offsets: tuple[int, ...]

    @property
    def used_bytes(self) -> int:
        """What `MicroInterpreter::arena_used_bytes` returns."""
        return self.head_bytes + self.tail_bytes

    @property
    def arena_bytes(self) -> int:
        """The smallest arena that works: a multiple of 16, for an array aligned to 16."""
        needed = self.tail_bytes + max(self.head_bytes, self.planning_bytes)
        return align_up(needed, ALIGNMENT)


def predict_arena(
    graph: Graph,
    kernels: Kernels = "reference",
    has_dsp: bool = True,
    has_mve: bool = False,
    structures: Structures = CORTEX_M,
) -> ArenaPlan:
    """Predicts the arena of a model.

    Args:
        graph: The model.
        kernels: TFLite Micro's reference kernels, or those of CMSIS-NN.
        has_dsp: Whether the core has the DSP extension; CMSIS-NN asks for other scratch memory.
        has_mve: Whether the core has Helium, likewise.
        structures: The platform's structure sizes.

    Returns:
        The `ArenaPlan`.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> predict_arena(Graph((), (), (), (), b"")).used_bytes
        132
    """
    for op in graph.operators:
        if op.opcode not in structures.user_data:
            raise NoArenaRuleError(f"No rule for the arena of {op.opcode} (operator {op.index}).")
    buffers = list(activation_buffers(graph))
    scratch = [
        Buffer(size, op.index + 1, op.index + 1)
        for op in graph.operators
        for size in _scratch_bytes(graph, op, kernels, has_dsp, has_mve)
    ]
    buffers += scratch
    sizes = [align_up(buffer.bytes, ALIGNMENT) for buffer in buffers]
    fixed = [_offline_offset(graph, buffer) for buffer in buffers]
    offsets = greedy_offsets(sizes, buffers, fixed)
    head = max((offset + size for offset, size in zip(offsets, sizes, strict=True)), default=0)
    tail = _tail_bytes(graph, kernels, len(scratch), structures)
    word = structures.word_bytes
    requests = SCRATCH_REQUEST_BYTES[word] * (len(scratch) + MAX_SCRATCH_PER_OPERATOR)
    planning = (
        align_up(requests, ALIGNMENT)
        + align_up(word, ALIGNMENT)
        + align_up(structures.allocation_info * (len(graph.tensors) + len(scratch)), ALIGNMENT)
        + PLANNER_BYTES_PER_BUFFER * len(buffers)
    )
    return ArenaPlan(head, tail, planning, tuple(buffers), tuple(offsets))


def _offline_offset(graph: Graph, buffer: Buffer) -> int | None:
    """Where the file says that a tensor lies; TFLite Micro itself reads -1 as nowhere."""
    if graph.offline_offsets is None or buffer.tensor is None:
        return None
    offset = graph.offline_offsets[buffer.tensor]
    return None if offset == -1 else offset


def cmsis_nn_scratch_bytes(graph: Graph, has_dsp: bool, has_mve: bool) -> list[int]:
    """The scratch memory that CMSIS-NN's kernels ask for beyond the reference kernels.

    Args:
        graph: The model.
        has_dsp: Whether the core has the DSP extension.
        has_mve: Whether the core has Helium.

    Returns:
        Bytes, each rounded up to 16, one per request.

    Example:
        >>> cmsis_nn_scratch_bytes(Graph((), (), (), (), b""), True, False)
        []
    """
    sizes = (
        rule(graph, op, has_dsp, has_mve)
        for op in graph.operators
        if (rule := _CMSIS_NN_SCRATCH.get(op.opcode)) is not None
    )
    return [align_up(size, ALIGNMENT) for size in sizes if size]


def _tail_bytes(graph: Graph, kernels: Kernels, scratch_count: int, sizes: Structures) -> int:
    """Walks the allocations of the tail, each aligned down from the one before."""
    word = sizes.word_bytes
    user_data = sizes.user_data | (CMSIS_NN_USER_DATA if kernels == "cmsis_nn" else {})
    position = 0

    def take(size: int, alignment: int) -> None:
        nonlocal position
        # An arena that ends on a multiple of 16 makes aligning down the same as counting up.
        position = align_up(position + size, alignment) if size else position

    for size in sizes.start_up:
        take(size, word)
    take(sizes.eval_tensor * len(graph.tensors), word)
    take(sizes.node * len(graph.operators), word)
    for op in graph.operators:
        take(*sizes.options[op.opcode])
    for op in graph.operators:
        take(user_data[op.opcode], ALIGNMENT)
    for op in graph.operators:
        if op.opcode in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            # The multiplier and the shift of each output channel.
            channels = graph.tensors[op.outputs[0]].shape[-1]
            take(4 * channels, ALIGNMENT)
            take(4 * channels, ALIGNMENT)
    take(sizes.scratch_handle * scratch_count, word)
    for tensors in (graph.inputs, graph.outputs):
        take(word * len(tensors), ALIGNMENT)
        for index in tensors:
            take(sizes.tensor, word)
            quantization = graph.tensors[index].quantization
            if quantization is not None:
                take(sizes.affine, word)
                take(4 + 4 * len(quantization.scales), 4)
    return position


def _scratch_bytes(
    graph: Graph, op: Operator, kernels: Kernels, has_dsp: bool, has_mve: bool
) -> list[int]:
    """Scratch memory of one operator, in the order in which its kernel asks."""
    if op.opcode == "MEAN":
        rank = len(graph.tensors[op.inputs[0]].shape)
        axes = graph.tensors[op.inputs[1]].element_count
        return [4 * graph.tensors[op.outputs[0]].element_count, 4 * rank, 4 * axes]
    rule = _CMSIS_NN_SCRATCH.get(op.opcode) if kernels == "cmsis_nn" else None
    size = rule(graph, op, has_dsp, has_mve) if rule else 0
    return [size] if size else []


def _cmsis_nn_conv(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    _, height, width, in_channels = graph.tensors[op.inputs[1]].shape
    if (height, width) == (1, 1) and op.options["dilation"] == (1, 1):
        return 0
    taps = height * width * in_channels
    if has_mve:
        return 4 * align_up(taps, 16)
    return 2 * align_up(taps, 4) * 2


def _cmsis_nn_depthwise(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    _, height, width, _ = graph.tensors[op.inputs[1]].shape
    in_shape, out_shape = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    if in_shape[-1] != out_shape[-1] or in_shape[0] != 1 or op.options["dilation"] != (1, 1):
        return 0
    if has_mve:
        return 4 * 124 * height * width
    if not has_dsp or (height, width) == (3, 3):
        return 0
    return in_shape[-1] * height * width * 2


def _cmsis_nn_average_pool(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    return 4 * graph.tensors[op.inputs[0]].shape[-1] if has_dsp and not has_mve else 0


_CMSIS_NN_SCRATCH: dict[str, Callable[[Graph, Operator, bool, bool], int]] = {
    "CONV_2D": _cmsis_nn_conv,
    "DEPTHWISE_CONV_2D": _cmsis_nn_depthwise,
    "AVERAGE_POOL_2D": _cmsis_nn_average_pool,
}
