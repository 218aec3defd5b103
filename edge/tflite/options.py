"""Reads what a .tflite file says of an operator beside its tensors: stride, padding, activation."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: "NONE",
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
    schema.ActivationFunctionType.RELU6: "RELU6",
}


def convolution_options(union: Any) -> dict[str, Any]:
    """Reads the options of CONV_2D.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `stride`, `dilation`, `padding` and `activation`.
    """
    table = _table(schema.Conv2DOptions, union)
    return {**_sliding(table), **_dilation(table), **_activation(table)}


def depthwise_options(union: Any) -> dict[str, Any]:
    """Reads the options of DEPTHWISE_CONV_2D.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `stride`, `dilation`, `padding` and `activation`.
    """
    table = _table(schema.DepthwiseConv2DOptions, union)
    return {**_sliding(table), **_dilation(table), **_activation(table)}


def pool_options(union: Any) -> dict[str, Any]:
    """Reads the options of AVERAGE_POOL_2D and MAX_POOL_2D.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `filter` (the window's height and width), `stride`, `padding` and `activation`.
    """
    table = _table(schema.Pool2DOptions, union)
    window = (int(table.FilterHeight()), int(table.FilterWidth()))
    return {"filter": window, **_sliding(table), **_activation(table)}


def dense_options(union: Any) -> dict[str, Any]:
    """Reads the options of FULLY_CONNECTED.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `activation`.
    """
    return _activation(_table(schema.FullyConnectedOptions, union))


def add_options(union: Any) -> dict[str, Any]:
    """Reads the options of ADD.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `activation`.
    """
    return _activation(_table(schema.AddOptions, union))


def mean_options(union: Any) -> dict[str, Any]:
    """Reads the options of MEAN.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `keep_dims`: whether the axes that are averaged stay, with one element each.
    """
    return {"keep_dims": bool(_table(schema.ReducerOptions, union).KeepDims())}


def softmax_options(union: Any) -> dict[str, Any]:
    """Reads the options of SOFTMAX.

    Args:
        union: The operator's `BuiltinOptions`, a table of the schema.

    Returns:
        `beta`: the factor of the inputs.
    """
    return {"beta": float(_table(schema.SoftmaxOptions, union).Beta())}


def _table(kind: Any, union: Any) -> Any:
    table = kind()
    table.Init(union.Bytes, union.Pos)
    return table


def _sliding(table: Any) -> dict[str, Any]:
    stride = (int(table.StrideH()), int(table.StrideW()))
    return {"stride": stride, "padding": _PADDINGS[table.Padding()]}


def _dilation(table: Any) -> dict[str, Any]:
    return {"dilation": (int(table.DilationHFactor()), int(table.DilationWFactor()))}


def _activation(table: Any) -> dict[str, Any]:
    return {"activation": _ACTIVATIONS.get(table.FusedActivationFunction(), "OTHER")}
