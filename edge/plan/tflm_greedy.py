"""Predicts, byte for byte, the tensor arena that TFLite Micro takes.

TFLite Micro lays the arena out when it starts: activations and scratch memory at the head, placed
by a greedy planner, and the interpreter's own records at the tail, allocated downward. Both follow
from the graph, the kernels and the sizes of C++ structures, so no board is needed to know the sum.

Source: tflite-micro at commit 90b983c (micro_allocator.cc, greedy_memory_planner.cc, the Prepare
functions of the kernels), structures measured with arm-none-eabi-gcc 12.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

from edge.errors import EdgeError
from edge.graph import Graph, Operator
from edge.plan.lifetimes import Buffer, activation_buffers

ALIGNMENT = 16
MAX_SCRATCH_PER_OPERATOR = 12
SCRATCH_REQUEST_BYTES = {4: 12, 8: 16}
PLANNER_BYTES_PER_BUFFER = 40

Kernels = Literal["reference", "cmsis_nn"]


class NoArenaRuleError(EdgeError):
    """An operator whose memory in TFLite Micro this module does not know."""


@dataclasses.dataclass(frozen=True)
class Structures:
    """Sizes in bytes of TFLite Micro's C++ structures on one platform.

    Attributes:
        word_bytes: Size of a pointer.
        start_up: The allocator and planner objects, in the order of allocation.
        eval_tensor: `TfLiteEvalTensor`, one per tensor.
        node: `NodeAndRegistration`, one per operator.
        tensor: `TfLiteTensor`, one per input and output of the model.
        affine: `TfLiteAffineQuantization`.
        allocation_info: `AllocationInfo`, needed while planning.
        scratch_handle: `ScratchBufferHandle`.
        options: Size and alignment of an operator's parsed options.
        user_data: Size of an operator's own record, for the reference kernels.
    """

    word_bytes: int
    start_up: tuple[int, ...]
    eval_tensor: int
    node: int
    tensor: int
    affine: int
    allocation_info: int
    scratch_handle: int
    options: dict[str, tuple[int, int]]
    user_data: dict[str, int]


CORTEX_M = Structures(
    word_bytes=4,
    start_up=(36, 44, 36, 8, 8),
    eval_tensor=12,
    node=32,
    tensor=32,
    affine=12,
    allocation_info=24,
    scratch_handle=4,
    options={
        "CONV_2D": (28, 4),
        "DEPTHWISE_CONV_2D": (28, 4),
        "AVERAGE_POOL_2D": (40, 4),
        "MAX_POOL_2D": (40, 4),
        "FULLY_CONNECTED": (5, 1),
        "MEAN": (1, 1),
        "RESHAPE": (36, 4),
        "SOFTMAX": (4, 4),
        "ADD": (2, 1),
        "PAD": (0, 1),
        "QUANTIZE": (0, 1),
    },
    user_data={
        "CONV_2D": 56,
        "DEPTHWISE_CONV_2D": 56,
        "AVERAGE_POOL_2D": 32,
        "MAX_POOL_2D": 32,
        "FULLY_CONNECTED": 48,
        "MEAN": 44,
        "RESHAPE": 0,
        "SOFTMAX": 56,
        "ADD": 60,
        "PAD": 56,
        "QUANTIZE": 32,
    },
)
"""Any Cortex-M: 32-bit pointers, one-byte enumerations."""

PYTHON_WHEEL = Structures(
    word_bytes=8,
    start_up=(136, 72, 248, 16, 16),
    eval_tensor=24,
    node=64,
    tensor=64,
    affine=24,
    allocation_info=32,
    scratch_handle=8,
    options={
        "CONV_2D": (28, 4),
        "DEPTHWISE_CONV_2D": (28, 4),
        "AVERAGE_POOL_2D": (40, 4),
        "MAX_POOL_2D": (40, 4),
        "FULLY_CONNECTED": (36, 4),
        "MEAN": (1, 1),
        "RESHAPE": (36, 4),
        "SOFTMAX": (4, 4),
        "ADD": (8, 4),
        "PAD": (0, 1),
        "QUANTIZE": (0, 1),
    },
    user_data={
        "CONV_2D": 80,
        "DEPTHWISE_CONV_2D": 80,
        "AVERAGE_POOL_2D": 32,
        "MAX_POOL_2D": 32,
        "FULLY_CONNECTED": 72,
        "MEAN": 44,
        "RESHAPE": 0,
        "SOFTMAX": 80,
        "ADD": 60,
        "PAD": 56,
        "QUANTIZE": 32,
    },
)
"""The tflite-micro Python package on x86-64, with its recording allocator: what tests run. It
is two months younger than the commit above; fitted to what it reports of ten networks."""

_CMSIS_NN_USER_DATA = {
    "CONV_2D": 60,
    "DEPTHWISE_CONV_2D": 60,
    "AVERAGE_POOL_2D": 36,
    "MAX_POOL_2D": 36,
    "FULLY_CONNECTED": 72,
    "SOFTMAX": 64,
}


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


def greedy_offsets(
    sizes: Sequence[int],
    buffers: Sequence[Buffer],
    fixed: Sequence[int | None] | None = None,
) -> list[int]:
    """Places buffers as TFLite Micro's `GreedyMemoryPlanner` does.

    The largest comes first (of equals, the last one added), and each goes to the lowest gap among
    those already placed that are alive at the same time.

    Args:
        sizes: Bytes to reserve for each buffer.
        buffers: Their lifetimes.
        fixed: Offsets that a file prescribes; those buffers come first, unchecked.

    Returns:
        The offset of each buffer, in bytes.

    Example:
        >>> chain = [Buffer(32, 0, 1), Buffer(64, 1, 2), Buffer(16, 2, 3)]
        >>> greedy_offsets([32, 64, 16], chain)
        [64, 0, 64]

    Source: greedy_memory_planner.cc, `CalculateOffsetsIfNeeded`.
    """
    fixed = fixed or [None] * len(buffers)
    order = [i for i, offset in enumerate(fixed) if offset is not None]
    order += sorted(set(range(len(buffers))) - set(order), key=lambda i: (-sizes[i], -i))
    offsets = [0] * len(buffers)
    placed: list[int] = []
    for index in order:
        offset = 0
        for other in placed:
            if not buffers[index].overlaps(buffers[other]):
                continue
            if offsets[other] - offset >= sizes[index]:
                break
            offset = max(offset, offsets[other] + sizes[other])
        prescribed = fixed[index]
        offset = offset if prescribed is None else prescribed
        offsets[index] = offset
        after = next((n for n, i in enumerate(placed) if offsets[i] > offset), len(placed))
        placed.insert(after, index)
    return offsets


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
    user_data = sizes.user_data | (_CMSIS_NN_USER_DATA if kernels == "cmsis_nn" else {})
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


def align_up(value: int, alignment: int = ALIGNMENT) -> int:
    """The next multiple of an alignment.

    Args:
        value: Bytes.
        alignment: Bytes.

    Returns:
        `value` or a little more.

    Example:
        >>> align_up(17)
        32
    """
    return -(-value // alignment) * alignment
