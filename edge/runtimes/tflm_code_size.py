"""Knows the flash and RAM that TFLite Micro itself takes, as measured.

Method: tflite-micro at commit 90b983c and CMSIS-NN at 99f736a6, arm-none-eabi-gcc 12.2,
`-mcpu=cortex-m4 -mfloat-abi=hard -O2 -DNDEBUG -DTF_LITE_STRIP_ERROR_STRINGS`, newlib-nano,
`--gc-sections`; one firmware per operator and per set of operators, `.text` + `.data` of the linked
file without the model. Stack: painted before the run on QEMU's mps2-an386, MLPerf Tiny's models.
Another core, compiler or option gives other figures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

BASE_BYTES = 14_034
"""The flash of the interpreter, the C library and start-up code, without any operator."""

OPERATOR_BYTES = {
    "ADD": (12_568, 14_508),
    "AVERAGE_POOL_2D": (5_628, 6_268),
    "CONCATENATION": (3_756, 3_756),
    "CONV_2D": (11_140, 31_496),
    "DEPTHWISE_CONV_2D": (10_036, 21_336),
    "DEQUANTIZE": (2_860, 2_860),
    "FULLY_CONNECTED": (8_636, 20_156),
    "HARD_SWISH": (4_628, 4_628),
    "LOGISTIC": (8_084, 8_084),
    "MAX_POOL_2D": (5_756, 6_460),
    "MEAN": (8_168, 8_168),
    "MUL": (10_840, 12_568),
    "PAD": (4_620, 4_620),
    "PADV2": (4_620, 4_620),
    "QUANTIZE": (5_420, 5_420),
    "RELU": (4_500, 4_500),
    "RELU6": (2_452, 2_452),
    "RESHAPE": (1_120, 1_120),
    "SOFTMAX": (10_092, 11_052),
    "STRIDED_SLICE": (11_436, 11_436),
    "SUB": (12_600, 12_600),
    "TRANSPOSE": (2_124, 2_476),
}
"""The flash of one operator alone, in bytes: with reference kernels, with CMSIS-NN's kernels."""

_MOBILENET_MEAN = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "RESHAPE", "SOFTMAX"})
_MOBILENET_POOL = frozenset(
    {"AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "RESHAPE", "SOFTMAX"}
)
SET_BYTES = {_MOBILENET_MEAN: (41_062, 74_094), _MOBILENET_POOL: (44_062, 86_918)}
"""The flash of whole sets of operators with the base, in bytes. Operators share code, so that a set
takes less than the sum of its parts."""

STACK_BYTES = (704, 1_276)
"""The deepest stack from start-up through one inference, in bytes, for the same two."""

STATIC_BASE_BYTES = 360
STATIC_BYTES_PER_OPERATOR = 36


@dataclasses.dataclass(frozen=True)
class LibraryUse:
    """The memory that TFLite Micro takes beside the model and the tensor arena.

    Attributes:
        reference_flash_bytes: An upper bound of the code with the reference kernels.
        cmsis_nn_flash_bytes: An upper bound of the code with CMSIS-NN's kernels.
        static_ram_bytes: The data of the interpreter, the operator resolver and the C library.
        stack_bytes: The deepest stack that was measured.
        unmeasured: The operators whose code was not measured and is missing above.
    """

    reference_flash_bytes: int
    cmsis_nn_flash_bytes: int
    static_ram_bytes: int
    stack_bytes: int
    unmeasured: tuple[str, ...]


def library_use(opcodes: Collection[str]) -> LibraryUse:
    """Sums up the memory that TFLite Micro takes for the operators of a model.

    Args:
        opcodes: TFLite's names of the operators, each once.

    Returns:
        The `LibraryUse`. Its flash is an upper bound: that of the smallest measured set that holds
        all operators, or the sum of the single operators.

    Example:
        >>> library_use(["CONV_2D", "RESHAPE"]).reference_flash_bytes
        26294
    """
    known = frozenset(opcodes) & OPERATOR_BYTES.keys()
    reference, cmsis_nn = (
        min(
            BASE_BYTES + sum(OPERATOR_BYTES[name][kernels] for name in known),
            *(sizes[kernels] for measured, sizes in SET_BYTES.items() if known <= measured),
            1 << 62,
        )
        for kernels in (0, 1)
    )
    return LibraryUse(
        reference_flash_bytes=reference,
        cmsis_nn_flash_bytes=cmsis_nn,
        static_ram_bytes=STATIC_BASE_BYTES + STATIC_BYTES_PER_OPERATOR * len(opcodes),
        stack_bytes=max(STACK_BYTES),
        unmeasured=tuple(sorted(set(opcodes) - known)),
    )
