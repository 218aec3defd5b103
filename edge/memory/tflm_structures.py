"""Sizes of TFLite Micro's C++ structures, by platform."""

from __future__ import annotations

import dataclasses


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
CMSIS_NN_USER_DATA = {
    "CONV_2D": 60,
    "DEPTHWISE_CONV_2D": 60,
    "AVERAGE_POOL_2D": 36,
    "MAX_POOL_2D": 36,
    "FULLY_CONNECTED": 72,
    "SOFTMAX": 64,
}
