"""Knows the operators of TFLite Micro, and the resolver's method that registers each."""

from __future__ import annotations

from edge.errors import ModelError, quoted
from edge.tflite.graph import Graph, Operator
from edge.tflite.operators import has_int4_kernel, kernel_of

SOFTMAX_SCALE = 2.0**-26
"""The scale of SOFTMAX's input, times beta, must be above this. Source: softmax_common.cc."""

_IRREGULAR = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "L2_POOL_2D": "AddL2Pool2D",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
}

OPERATORS = frozenset(
    """
    ABS ADD ADD_N ARG_MAX ARG_MIN AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND BROADCAST_ARGS
    BROADCAST_TO CAST CEIL CONCATENATION CONV_2D COS CUMSUM DEPTHWISE_CONV_2D DEPTH_TO_SPACE
    DEQUANTIZE DIV ELU EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED
    GATHER GATHER_ND GREATER GREATER_EQUAL HARD_SWISH L2_NORMALIZATION L2_POOL_2D LEAKY_RELU
    LESS LESS_EQUAL LOG LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM
    MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2
    ROUND RSQRT SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V
    SQRT SQUARE SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE
    TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK ZEROS_LIKE
    """.split()  # noqa: SIM905 - a list of ninety strings takes two pages
)
"""Source: tflite-micro, micro_mutable_op_resolver.h at commit 90b983c; operators with state beyond
the tensor arena (variables, control flow) and signal processing are left out."""


def resolver_method(opcode: str) -> str:
    """Returns the method of `tflite::MicroMutableOpResolver` that registers an operator.

    Args:
        opcode: TFLite's name of the operator.

    Returns:
        The name of the method.

    Raises:
        ModelError: If TFLite Micro has no such operator.

    Example:
        >>> resolver_method("DEPTHWISE_CONV_2D")
        'AddDepthwiseConv2D'
    """
    if opcode not in OPERATORS:
        raise ModelError(f"TFLite Micro has no operator {opcode}.")
    if opcode in _IRREGULAR:
        return _IRREGULAR[opcode]
    return "Add" + "".join(
        part.capitalize() for part in opcode.replace("2D", "2d").split("_")
    ).replace("2d", "2D")


def require_tflm_operators(graph: Graph, where: str = "The model") -> None:
    """Refuses a model that TFLite Micro cannot run, or on which it aborts.

    Args:
        graph: The model to check.
        where: The name of the model, with which the error message begins.

    Raises:
        ModelError: If TFLite Micro lacks an operator or would abort on one; the message names the
            operator and the tensor that it writes.

    Example:
        >>> require_tflm_operators(Graph((), (), (), (), b""))
    """
    for op in graph.operators:
        if op.opcode not in OPERATORS:
            made = quoted(graph.tensors[op.outputs[0]].name if op.outputs else "nothing")
            raise ModelError(
                f"{where} uses {op.opcode} (operator {op.index}, making tensor {made}), which "
                "TFLite Micro does not have; replace the layer that computes it."
            )
        _require_dense_scale(graph, op, where)
        quantization = graph.tensors[op.inputs[0]].quantization if op.inputs else None
        if op.opcode != "SOFTMAX" or quantization is None:
            continue
        if quantization.scales[0] * op.options.get("beta", 1.0) <= SOFTMAX_SCALE:
            raise ModelError(
                f"{where} feeds SOFTMAX values of scale {quantization.scales[0]:.3g}, on which "
                "TFLite Micro aborts: the network's activations have all but vanished. Train it, "
                "or convert it with representative data that resemble its real inputs."
            )


def _require_dense_scale(graph: Graph, op: Operator, where: str) -> None:
    """Weights of four bits have one scale in FULLY_CONNECTED. Source: fully_connected_common.cc."""
    if op.opcode != "FULLY_CONNECTED" or not has_int4_kernel(graph, op):
        return
    quantization = kernel_of(graph, op).quantization
    if quantization is not None and quantization.per_channel:
        raise ModelError(
            f"{where} gives FULLY_CONNECTED (operator {op.index}) weights of four bits with a "
            "scale for each output, which TFLite Micro refuses; give them one scale or eight bits."
        )
