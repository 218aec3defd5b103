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
    "padding": lambda table: _PADDINGS.get(table.Padding(), "OTHER"),
    "filter": lambda table: (int(table.FilterHeight()), int(table.FilterWidth())),
    "activation": lambda table: _ACTIVATIONS.get(table.FusedActivationFunction(), "OTHER"),
    "multiplier": lambda table: int(table.DepthMultiplier()),
    "weights_format": lambda table: int(table.WeightsFormat()),
    "beta": lambda table: float(table.Beta()),
    "keep_dims": lambda table: bool(table.KeepDims()),
    "alpha": lambda table: float(table.Alpha()),
}


def options_reader(kind: type, *names: str) -> Callable[[Any], dict[str, Any]]:
    """Makes a function that reads some options of one kind of operator.

    Args:
        kind: The schema's table of these options, such as `schema.Conv2DOptions`.
        names: The options to read: `stride`, `dilation`, `padding`, `filter` (a pool's window),
            `activation`, `multiplier` (a depthwise convolution's outputs per input),
            `weights_format` (0 is plain), `beta`, `keep_dims` or `alpha`.

    Returns:
        A function of the schema's `Operator` that returns the options by name; nothing where the
        operator has no options, or those of another kind of operator.

    Example:
        >>> model = schema.Model.GetRootAs(graph.content, 0)
        >>> first = model.Subgraphs(0).Operators(0)
        >>> options_reader(schema.Conv2DOptions, "stride", "padding")(first)
        {'stride': (2, 2), 'padding': 'SAME'}
    """

    number = getattr(schema.BuiltinOptions, kind.__name__)

    def read(operator: Any) -> dict[str, Any]:
        union = operator.BuiltinOptions()
        if union is None or operator.BuiltinOptionsType() != number:
            return {}
        table = kind()
        table.Init(union.Bytes, union.Pos)
        return {name: _READERS[name](table) for name in names}

    return read
