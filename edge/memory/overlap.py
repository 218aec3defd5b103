"""Which tensors may share memory: how far an output may reach into its operator's own input.

TFLite Micro's reference kernels write their output in order, and never read again what lies before
a pixel's receptive field. So the output may start below the input and follow it through memory,
as long as it never catches up. The kernels of CMSIS-NN read several pixels at once; for them
nothing here is proven.
"""

from __future__ import annotations

import numpy as np

from edge.memory.arena_rules import ARENA_RULES
from edge.memory.live_ranges import Buffer
from edge.tflite.graph import Graph, Operator
from edge.tflite.operators import padding_of


def reference_overlaps(graph: Graph, buffers: tuple[Buffer, ...]) -> dict[tuple[int, int], int]:
    """Finds the overlaps of outputs with inputs that the reference kernels bear.

    Args:
        graph: The model.
        buffers: The model's buffers with their live ranges.

    Returns:
        `(output, input) -> bytes`: positions in `buffers`, and how far above the output's start the
        input must start. Only pairs that gain, and only where the operator is the input's last.

    Example:
        >>> reference_overlaps(Graph((), (), (), (), b""), ())
        {}

    Source: reference/integer_ops/conv.h and depthwise_conv.h of TensorFlow Lite, whose loops run
    over rows, columns and then channels of the output.
    """
    position = {b.tensor: n for n, b in enumerate(buffers) if b.tensor is not None}
    gaps = {}
    for op in graph.operators:
        output = op.outputs[0]
        if output not in position:
            continue
        for index in dict.fromkeys(op.inputs):
            if index not in position or buffers[position[index]].last != op.index + 1:
                continue
            gap = _gap(graph, op, index)
            if gap is not None and gap < graph.tensors[output].bytes:
                gaps[position[output], position[index]] = gap
    return gaps


def _gap(graph: Graph, op: Operator, index: int) -> int | None:
    """Bytes that an input must start above the output, None if they may not overlap."""
    source, output = graph.tensors[index], graph.tensors[op.outputs[0]]
    rule = ARENA_RULES.get(op.opcode)
    if rule is None or rule.overlap is None:
        return None
    if rule.overlap == "element":
        return 0 if source.bytes == output.bytes else None
    if index != op.inputs[0] or source.shape[0] != 1:
        return None
    rows, columns = (
        # The first row and column of the input that each row and column of the output reads.
        np.maximum(np.arange(sides, dtype=np.int64) * stride - before, 0)
        for sides, stride, before in zip(
            output.shape[1:3], op.options["stride"], padding_of(graph, op), strict=True
        )
    )
    first = (rows[:, None] * source.shape[2] + columns[None, :]).reshape(-1) * source.shape[3]
    # What this pixel or any later one still reads.
    still_read = np.minimum.accumulate(first[::-1])[::-1]
    written = (np.arange(len(first), dtype=np.int64) + 1) * output.shape[3]
    return max(0, int((written - still_read).max()))
