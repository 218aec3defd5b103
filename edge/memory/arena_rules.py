"""One entry per operator: what it takes of TFLite Micro's arena, and what it lets overlap.

Source: tflite-micro at commit 90b983c, the Prepare functions of the kernels; sizes of their C++
records measured with arm-none-eabi-gcc 12.2.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Literal

from edge.memory.greedy import align_up
from edge.tflite.graph import Graph, Operator
from edge.tflite.operators import has_int4_kernel, kernel_of


@dataclasses.dataclass(frozen=True)
class Records:
    """What TFLite Micro keeps of one operator on one platform.

    Attributes:
        options_bytes: Size of its parsed options.
        options_alignment: Their alignment, in bytes.
        data_bytes: Size of the reference kernel's own record.
    """

    options_bytes: int
    options_alignment: int
    data_bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArenaRule:
    """What one operator takes of TFLite Micro's arena.

    Attributes:
        records: The operator's records by the platform's bytes in a pointer: 4 for any Cortex-M, 8
            for the tflite-micro Python package on x86-64.
        cmsis_nn_data_bytes: Size of the record of CMSIS-NN's kernel; None if it has none of its
            own.
        scratch: The scratch memory that either kernel asks for, in bytes, request by request.
        cmsis_nn_scratch: The bytes that CMSIS-NN's kernel asks for beside it, with the core's DSP
            extension or without, with Helium or without; 0 if it does not ask.
        has_channel_multipliers: Whether a multiplier and a shift per channel are kept.
        overlap: Whether the reference kernel lets its output lie over its input: `"element"` if it
            reads an element for the last time no later than it writes the one at its place,
            `"window"` if it never reads again what lies before a pixel's window.
    """

    records: Mapping[int, Records]
    cmsis_nn_data_bytes: int | None = None
    scratch: Callable[[Graph, Operator], list[int]] | None = None
    cmsis_nn_scratch: Callable[[Graph, Operator, bool, bool], int] | None = None
    has_channel_multipliers: bool = False
    overlap: Literal["element", "window"] | None = None


def _mean_scratch(graph: Graph, op: Operator) -> list[int]:
    source, axes = (graph.tensors[index] for index in op.inputs)
    sums = 4 * graph.tensors[op.outputs[0]].element_count
    return [sums, 4 * len(source.shape), 4 * axes.element_count]


def _convolution_scratch(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    _, height, width, in_channels = kernel_of(graph, op).shape
    if (height, width) == (1, 1) and op.options["dilation"] == (1, 1):
        return 0
    taps = height * width * in_channels
    if has_mve:
        return 4 * align_up(taps, 16)
    return 2 * align_up(taps, 4) * 2


def _depthwise_scratch(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    _, height, width, _ = kernel_of(graph, op).shape
    in_shape, out_shape = graph.tensors[op.inputs[0]].shape, graph.tensors[op.outputs[0]].shape
    if in_shape[-1] != out_shape[-1] or in_shape[0] != 1 or op.options["dilation"] != (1, 1):
        return 0
    if has_mve:
        return 4 * 124 * height * width
    is_int4 = has_int4_kernel(graph, op)
    if not is_int4 and (not has_dsp or (height, width) == (3, 3)):
        return 0
    return in_shape[-1] * height * width * 2


def _average_pool_scratch(graph: Graph, op: Operator, has_dsp: bool, has_mve: bool) -> int:
    return 4 * graph.tensors[op.inputs[0]].shape[-1] if has_dsp and not has_mve else 0


def _elementwise(data_bytes: int, options_bytes: int = 0) -> ArenaRule:
    """An operator that reads an element, and writes the one at its place."""
    records = Records(options_bytes, max(options_bytes, 1), data_bytes)
    return ArenaRule(records={4: records, 8: records}, overlap="element")


ARENA_RULES = {
    "CONV_2D": ArenaRule(
        records={4: Records(28, 4, 56), 8: Records(28, 4, 80)},
        cmsis_nn_data_bytes=60,
        cmsis_nn_scratch=_convolution_scratch,
        has_channel_multipliers=True,
        overlap="window",
    ),
    "DEPTHWISE_CONV_2D": ArenaRule(
        records={4: Records(28, 4, 56), 8: Records(28, 4, 80)},
        cmsis_nn_data_bytes=60,
        cmsis_nn_scratch=_depthwise_scratch,
        has_channel_multipliers=True,
        overlap="window",
    ),
    "AVERAGE_POOL_2D": ArenaRule(
        records={4: Records(40, 4, 32), 8: Records(40, 4, 32)},
        cmsis_nn_data_bytes=36,
        cmsis_nn_scratch=_average_pool_scratch,
        overlap="window",
    ),
    "MAX_POOL_2D": ArenaRule(
        records={4: Records(40, 4, 32), 8: Records(40, 4, 32)},
        cmsis_nn_data_bytes=36,
        overlap="window",
    ),
    "FULLY_CONNECTED": ArenaRule(
        records={4: Records(5, 1, 48), 8: Records(36, 4, 72)}, cmsis_nn_data_bytes=72
    ),
    "MEAN": ArenaRule(records={4: Records(1, 1, 44), 8: Records(1, 1, 44)}, scratch=_mean_scratch),
    "RESHAPE": ArenaRule(records={4: Records(36, 4, 0), 8: Records(36, 4, 0)}, overlap="element"),
    "SOFTMAX": ArenaRule(
        # Its earlier passes only read.
        records={4: Records(4, 4, 56), 8: Records(4, 4, 80)},
        cmsis_nn_data_bytes=64,
        overlap="element",
    ),
    "ADD": ArenaRule(records={4: Records(2, 1, 60), 8: Records(8, 4, 60)}, overlap="element"),
    "PAD": ArenaRule(records={4: Records(0, 1, 56), 8: Records(0, 1, 56)}),
    "QUANTIZE": ArenaRule(records={4: Records(0, 1, 32), 8: Records(0, 1, 32)}),
    "RELU": _elementwise(28),
    "RELU6": _elementwise(8),
    "LEAKY_RELU": _elementwise(24, options_bytes=4),
    "HARD_SWISH": _elementwise(20),
    "LOGISTIC": _elementwise(16),
    "TANH": _elementwise(16),
}
"""By TFLite's name. The arena of a model with another operator is an upper bound."""
