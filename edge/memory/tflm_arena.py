"""Predicts, byte for byte, the tensor arena that TFLite Micro takes.

TFLite Micro lays the arena out when it starts: activations and scratch memory at the head, placed
by a greedy planner, and the interpreter's own records at the tail, allocated downward. Both follow
from the graph, the kernels and the sizes of C++ structures, so no board is needed to know the sum.

Source: tflite-micro at commit 90b983c (micro_allocator.cc, greedy_memory_planner.cc), structures
measured with arm-none-eabi-gcc 12.2.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

from edge.errors import EdgeError
from edge.memory.arena_rules import ARENA_RULES
from edge.memory.greedy import ALIGNMENT, align_up, greedy_offsets
from edge.memory.live_ranges import Buffer, activation_buffers
from edge.memory.tflm_structures import CORTEX_M, Structures
from edge.tflite.graph import Graph, Operator
from edge.tflite.operators import has_int4_kernel, kernel_of

MAX_SCRATCH_PER_OPERATOR = 12
PLANNER_BYTES_PER_BUFFER = 40

Kernels = Literal["reference", "cmsis_nn"]


class NoArenaRuleError(EdgeError):
    """An operator whose memory in TFLite Micro this module does not know."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArenaPlan:
    """What TFLite Micro does with its tensor arena.

    Attributes:
        kernels: The kernels that it was predicted for.
        has_dsp: Whether for a core with the DSP extension.
        has_mve: Whether for a core with Helium.
        head_bytes: Activations and scratch memory.
        tail_bytes: The interpreter's records, kept for as long as it lives.
        planning_bytes: What start-up needs beside the tail, before the head is in use.
        buffers: Activations by tensor index, then scratch memory by operator.
        offsets: Where each of `buffers` starts in the arena.
    """

    kernels: Kernels
    has_dsp: bool
    has_mve: bool
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

    @property
    def has_overlap(self) -> bool:
        """Whether two tensors share memory while both are alive.

        The model's own plan asks for it, and runs with TFLite Micro's reference kernels only.
        """
        placed = list(zip(self.buffers, self.offsets, strict=True))
        return any(
            first.overlaps(second) and at < other + second.bytes and other < at + first.bytes
            for n, (first, at) in enumerate(placed)
            for second, other in placed[:n]
        )

    def is_for(self, kernels: Kernels, *, has_dsp: bool, has_mve: bool) -> bool:
        """Whether the prediction is the one for certain kernels on a certain core.

        Args:
            kernels: TFLite Micro's reference kernels, or those of CMSIS-NN.
            has_dsp: Whether the core has the DSP extension.
            has_mve: Whether the core has Helium.

        Returns:
            True if so; the core makes no difference to the reference kernels.
        """
        is_same_core = (self.has_dsp, self.has_mve) == (has_dsp, has_mve)
        return self.kernels == kernels and (kernels == "reference" or is_same_core)


def predict_arena(
    graph: Graph,
    kernels: Kernels = "reference",
    *,
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
        if op.opcode not in ARENA_RULES:
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
    requests = structures.scratch_request * (len(scratch) + MAX_SCRATCH_PER_OPERATOR)
    planning = (
        align_up(requests, ALIGNMENT)
        + align_up(structures.word_bytes, ALIGNMENT)
        + align_up(structures.allocation_info * (len(graph.tensors) + len(scratch)), ALIGNMENT)
        + PLANNER_BYTES_PER_BUFFER * len(buffers)
    )
    return ArenaPlan(
        kernels=kernels,
        has_dsp=has_dsp,
        has_mve=has_mve,
        head_bytes=head,
        tail_bytes=tail,
        planning_bytes=planning,
        buffers=tuple(buffers),
        offsets=tuple(offsets),
    )


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
    rules = ((op, ARENA_RULES.get(op.opcode)) for op in graph.operators)
    sizes = (
        rule.cmsis_nn_scratch(graph, op, has_dsp, has_mve)
        for op, rule in rules
        if rule is not None and rule.cmsis_nn_scratch is not None
    )
    return [align_up(size, ALIGNMENT) for size in sizes if size]


def _tail_bytes(graph: Graph, kernels: Kernels, scratch_count: int, sizes: Structures) -> int:
    """Walks the allocations of the tail, each aligned down from the one before."""
    word = sizes.word_bytes
    position = 0

    def take(size: int, alignment: int) -> None:
        nonlocal position
        # An arena that ends on a multiple of 16 makes aligning down the same as counting up.
        position = align_up(position + size, alignment) if size else position

    for size in sizes.start_up:
        take(size, word)
    take(sizes.eval_tensor * len(graph.tensors), word)
    take(sizes.node * len(graph.operators), word)
    rules = [ARENA_RULES[op.opcode] for op in graph.operators]
    for rule in rules:
        take(rule.records[word].options_bytes, rule.records[word].options_alignment)
    for rule in rules:
        own = rule.cmsis_nn_data_bytes if kernels == "cmsis_nn" else None
        take(rule.records[word].data_bytes if own is None else own, ALIGNMENT)
    for op, rule in zip(graph.operators, rules, strict=True):
        if rule.has_channel_multipliers:
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
    rule = ARENA_RULES[op.opcode]
    sizes = [] if rule.scratch is None else rule.scratch(graph, op)
    if kernels == "reference" and has_int4_kernel(graph, op):
        # The filter, unpacked before each run; CMSIS-NN unpacks as it goes.
        sizes.append(kernel_of(graph, op).element_count)
    if kernels == "cmsis_nn" and rule.cmsis_nn_scratch is not None:
        sizes.append(rule.cmsis_nn_scratch(graph, op, has_dsp, has_mve))
    return [size for size in sizes if size]
