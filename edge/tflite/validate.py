"""The one gate: what a model must be before anything is planned or emitted.

The reader checks a file's structure with `check_graph`, whatever its types; `require_int8` then
refuses what int8 kernels do not run. Behind both, no part of a graph is looked for in vain.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from edge.errors import ModelError, quoted, readable
from edge.tflite.graph import Graph, Int8Graph, Operator, Tensor
from edge.tflite.int8_rules import require_int8_operator
from edge.tflite.operators import OPERATORS, OperatorRule
from edge.tflite.scales import require_scales

FLOAT_DTYPES = ("float32", "float16", "float64")
INT8_DTYPES = ("int8", "int4", "int16", "uint8", "int32", "int64", "bool")
"""What operators beside the known ones may compute in, such as the sizes of a RESHAPE."""


def require_int8(graph: Graph, where: str = "The model") -> Int8Graph:
    """Refuses a model that does not run on int8 kernels alone.

    Args:
        graph: The model.
        where: The model's name for the message.

    Returns:
        The model, of the type that says so.

    Raises:
        ModelError: If it has other than one input and output, a batch, or a state, computes in
            another type, or has numbers that no int8 kernel takes.

    Example:
        >>> require_int8(Graph((), (), (), (), b""))
        Traceback (most recent call last):
        edge.errors.ModelError: The model must have one input and one output, it has 0 and 0.
    """
    if len(graph.inputs) != 1 or len(graph.outputs) != 1:
        raise ModelError(
            f"{where} must have one input and one output, it has {len(graph.inputs)} and "
            f"{len(graph.outputs)}."
        )
    _require_stateless(graph, where)
    _require_int8_ends(graph, where)
    _require_one_sample(graph, where)
    for op in graph.operators:
        _require_int8_tensors(graph, op, where)
        rule = OPERATORS.get(op.opcode)
        if rule is None:
            continue
        try:
            require_int8_operator(graph, op, rule)
        except (ValueError, ModelError) as error:
            raise ModelError(_operator_sentence(where, op, str(error).rstrip("."))) from error
    _require_dependence(graph, where)
    return Int8Graph(
        **{field.name: getattr(graph, field.name) for field in dataclasses.fields(graph)}
    )


def check_graph(graph: Graph, where: str = "The model") -> None:
    """Refuses a file whose parts contradict each other; the reader calls this once.

    Args:
        graph: The model as it was read.
        where: The model's name for the message.

    Raises:
        ModelError: If a tensor is read before it is made, an operator does not go with the shapes
            of its tensors, or a tensor's scales are none.

    Example:
        >>> check_graph(Graph((), (), (), (), b""))
        Traceback (most recent call last):
        edge.errors.ModelError: The model has no operator that makes its output.
    """
    check_references(graph, where)
    for op in graph.operators:
        try:
            check_operator(graph, op)
        except ValueError as error:
            raise ModelError(_operator_sentence(f"{where} is damaged", op, str(error))) from error
    for tensor in graph.tensors:
        require_scales(tensor, where)


def check_references(graph: Graph, where: str) -> None:
    """Checks that every tensor is made before it is read.

    Args:
        graph: The model; the order of its operators is the order of execution.
        where: The model's name for the message.

    Raises:
        ModelError: If a tensor does not exist, is read too early or is made twice, or if no
            operator makes the output.

    Example:
        >>> check_references(graph, "model.tflite")
    """
    used = [i for op in graph.operators for i in (*op.inputs, *op.outputs)]
    if any(not 0 <= i < len(graph.tensors) for i in (*used, *graph.inputs, *graph.outputs)):
        raise ModelError(f"{where} is damaged: it refers to a tensor that it does not have.")
    # A variable tensor holds what the last inference left.
    made = {t.index for t in graph.tensors if t.is_constant or t.is_variable} | set(graph.inputs)
    for op in graph.operators:
        for index in op.inputs:
            tensor = graph.tensors[index]
            if index not in made and tensor.element_count > 0:
                raise ModelError(
                    f"{where} is damaged: {op.opcode} (operator {op.index}) reads tensor "
                    f"{quoted(tensor.name)} before any operator makes it."
                )
        if not made.isdisjoint(op.outputs) or len(set(op.outputs)) != len(op.outputs):
            raise ModelError(
                f"{where} is damaged: {op.opcode} (operator {op.index}) writes a tensor that is "
                "already there."
            )
        made.update(op.outputs)
    if not graph.operators or any(i not in made for i in graph.outputs):
        raise ModelError(f"{where} has no operator that makes its output.")


def check_operator(graph: Graph, op: Operator) -> None:
    """Checks that an operator has what it needs and fits the shapes of its tensors.

    Args:
        graph: The model, its references already checked.
        op: One of its operators.

    Raises:
        ValueError: If an operator and its tensors contradict each other.

    Example:
        >>> check_operator(graph, graph.operators[0])
    """
    rule = OPERATORS.get(op.opcode)
    if not op.outputs or (rule is not None and not op.inputs):
        raise ValueError("lacks an input or an output")
    if rule is None:
        return
    inputs = [graph.tensors[index] for index in op.inputs]
    _require_arity(op, rule)
    _require_settings(inputs, rule)
    if rule.options is not None and not op.options and (rule.is_windowed or op.opcode == "SOFTMAX"):
        raise ValueError("has no options of its kind")
    if op.options.get("padding") == "OTHER":
        raise ValueError("has an unknown kind of padding")
    stated = graph.tensors[op.outputs[0]].shape
    made = rule.shape(op, inputs, stated)
    if made != stated:
        raise ValueError(f"makes {made} of {inputs[0].shape}, and the file says {stated}")


def _require_arity(op: Operator, rule: OperatorRule) -> None:
    fewest, most = rule.arity
    if not fewest <= len(op.inputs) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        raise ValueError(f"has {len(op.inputs)} inputs, not {wanted}")
    if len(op.outputs) != 1:
        raise ValueError(f"has {len(op.outputs)} outputs, not 1")


def _require_settings(inputs: Sequence[Tensor], rule: OperatorRule) -> None:
    if rule.settings is None:
        return
    tensor = inputs[rule.settings]
    if not tensor.is_constant or tensor.dtype not in ("int32", "int64"):
        raise ValueError(
            f"takes axes or sizes from tensor {quoted(tensor.name)}, which is no constant of "
            "whole numbers"
        )


def _operator_sentence(where: str, op: Operator, what: str) -> str:
    start = f"{where}: {op.opcode} (operator {op.index}) "
    return f"{start}{readable(what, 270 - len(start))}. Convert the model again."


def _require_stateless(graph: Graph, where: str) -> None:
    for op in graph.operators:
        for index in (*op.inputs, *op.outputs):
            if graph.tensors[index].is_variable:
                raise ModelError(
                    f"{where} keeps a state from one inference to the next, in variable tensor "
                    f"{quoted(graph.tensors[index].name)} of {op.opcode} (operator {op.index}); "
                    "edge runs networks without a state. Train one without SVDF, LSTM or GRU."
                )


def _require_int8_ends(graph: Graph, where: str) -> None:
    for tensor in (graph.input, graph.output):
        if tensor.dtype != "int8":
            raise ModelError(
                f"{where} is not an int8 model: tensor {quoted(tensor.name)} is {tensor.dtype}"
                f"{_way_out(graph, tensor.dtype)}"
            )
        if tensor.quantization is None:
            raise ModelError(
                f"{where} is not an int8 model: tensor {quoted(tensor.name)} has no scale. Convert "
                "it with edge.convert(model, representative_dataset=...)."
            )


def _way_out(graph: Graph, dtype: str) -> str:
    """What else is known of a model whose input or output is not int8, and what to do."""
    dtypes = _kernel_dtypes(graph)
    if "int8" in dtypes:
        return (
            ", around an int8 body. Convert it with inference_input_type and "
            "inference_output_type tf.int8 (edge.convert does)."
        )
    if "uint8" in dtypes:
        return (
            ", as TensorFlow 1 quantized. Rebuild a MobileNetV1 with "
            "keras_mobilenet.weights.from_tflite, then edge.convert."
        )
    return ". Convert it with edge.convert(model, representative_dataset=...)."


def _kernel_dtypes(graph: Graph) -> Collection[str]:
    """The types in which the operators with weights compute."""
    return {
        graph.tensors[op.inputs[0]].dtype
        for op in graph.operators
        if op.opcode in OPERATORS and OPERATORS[op.opcode].kernel is not None
    }


def _require_one_sample(graph: Graph, where: str) -> None:
    source, output = graph.input, graph.output
    if source.is_constant or output.is_constant or source.index == output.index:
        what = "input is a constant" if source.is_constant else "output is its input"
        what = "output is a constant" if output.is_constant else what
        raise ModelError(f"{where} computes nothing: its {what}. Convert the whole model.")
    shape = readable(str(source.shape), 60)
    if len(source.shape) < 2:
        raise ModelError(
            f"{where} has an input of shape {shape}, without a batch axis. Convert it with an "
            f"input of shape {readable(str((1, *source.shape)), 60)}."
        )
    if source.shape[0] != 1:
        raise ModelError(
            f"{where} has an input of shape {shape}, a batch of {source.shape[0]}; a "
            "microcontroller takes one sample at a time. Convert it with a batch of 1."
        )
    if 0 in source.shape or 0 in output.shape:
        raise ModelError(f"{where} has an input or an output without elements. Convert it again.")


def _require_int8_tensors(graph: Graph, op: Operator, where: str) -> None:
    for index in (*op.inputs, *op.outputs):
        tensor = graph.tensors[index]
        if tensor.dtype in FLOAT_DTYPES:
            raise ModelError(
                f"{where} is only partly int8: {op.opcode} (operator {op.index}) computes in "
                f"{tensor.dtype}. Convert it with representative data."
            )
        if tensor.dtype not in INT8_DTYPES:
            raise ModelError(
                f"{where} is only partly int8: {op.opcode} (operator {op.index}) computes in "
                f"{tensor.dtype}. Leave this operator out of the model, or run it in code of "
                "your own."
            )


def _require_dependence(graph: Graph, where: str) -> None:
    if all(index not in op.inputs for op in graph.live_operators() for index in graph.inputs):
        raise ModelError(
            f"{where} computes its output from constants alone: nothing on the way to it reads the "
            "input. Convert the whole model."
        )
