"""Sizes of TFLite Micro's C++ structures, by platform."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class Structures:
    """Sizes in bytes of TFLite Micro's C++ structures on one platform.

    The records of each operator are in `edge.memory.arena_rules`.

    Attributes:
        word_bytes: Size of a pointer.
        start_up: The allocator and planner objects, in the order of allocation.
        eval_tensor: `TfLiteEvalTensor`, one per tensor.
        node: `NodeAndRegistration`, one per operator.
        tensor: `TfLiteTensor`, one per input and output of the model.
        affine: `TfLiteAffineQuantization`.
        allocation_info: `AllocationInfo`, needed while planning.
        scratch_request: What a kernel's request for scratch memory takes while planning.
        scratch_handle: `ScratchBufferHandle`.
    """

    word_bytes: int
    start_up: tuple[int, ...]
    eval_tensor: int
    node: int
    tensor: int
    affine: int
    allocation_info: int
    scratch_request: int
    scratch_handle: int


CORTEX_M = Structures(
    word_bytes=4,
    start_up=(36, 44, 36, 8, 8),
    eval_tensor=12,
    node=32,
    tensor=32,
    affine=12,
    allocation_info=24,
    scratch_request=12,
    scratch_handle=4,
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
    scratch_request=16,
    scratch_handle=8,
)
"""The tflite-micro Python package on x86-64, with its recording allocator: what tests run. It
is two months younger than the commit of the rules; fitted to what it reports of ten networks."""
