"""Reads what a .tflite file says of an operator beside its tensors: stride, padding, activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ai_edge_litert import schema_py_generated as schema

_PADDINGS = {schema.Padding.SAME: "SAME", schema.Padding.VALID: "VALID"}
_ACTIVATIONS = {
    schema.ActivationFunctionType.NONE: "NONE",
    schema.ActivationFunctionType.RELU: "RELU",
    schema.ActivationFunctionType.RELU_N1_TO_1: "RELU_N1_TO_1",
    schema.ActivationFunctionType.RELU6: "RELU6",
}


_READERS: dict[str, Callable[[Any], Any]] = {
    "stride": lambda table: (int(table.StrideH()), int(table.StrideW())),
    "dilation": lambda table: (int(table.DilationHFactor()), int(table.DilationWFactor())),
    "padding": lambda table: _PADDINGS[table.Padding()],
    "filter": lambda table: (int(table.FilterHeight()), int(table.FilterWidth())),
    "activation": lambda table: _ACTIVATIONS.get(table.FusedActivationFunction(), "OTHER"),
    "beta": lambda table: float(table.Beta()),
    "keep_dims": lambda table: bool(table.KeepDims()),
}


def options_reader(kind: type, *names: str) -> Callable[[Any], dict[str, Any]]:
    """Makes a function that reads some options of one kind of operator.

    Args:
        kind: The schema's table of these options, such as `schema.Conv2DOptions`.
        names: The options to read: `stride`, `dilation`, `padding`, `filter` (a pool's window),
            `activation`, `beta` or `keep_dims`.

    Returns:
        A function of the operator's `BuiltinOptions` that returns the options by name.

    Example:
        >>> model = schema.Model.GetRootAs(graph.content, 0)
        >>> first = model.Subgraphs(0).Operators(0)
        >>> options_reader(schema.Conv2DOptions, "stride", "padding")(first.BuiltinOptions())
        {'stride': (2, 2), 'padding': 'SAME'}
    """

    def read(union: Any) -> dict[str, Any]:
        table = kind()
        table.Init(union.Bytes, union.Pos)
        return {name: _READERS[name](table) for name in names}

    return read
