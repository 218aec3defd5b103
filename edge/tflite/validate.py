"""The one gate: what a model must be before anything is planned or emitted."""

from __future__ import annotations

from edge.errors import ModelError
from edge.tflite.graph import Graph
from edge.tflite.operators import OPERATORS


def require_int8(graph: Graph, where: str = "The model") -> None:
    """Refuses a model that does not run on int8 kernels alone.

    Args:
        graph: The model.
        where: The model's name for the message.

    Raises:
        ModelError: If it has other than one input and output, or computes in another type.

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
    for tensor in (graph.input, graph.output):
        if tensor.dtype != "int8" or tensor.quantization is None:
            raise ModelError(
                f"{where} is not an int8 model: tensor {tensor.name!r} is {tensor.dtype}. Convert "
                "it with edge.convert(model, representative_dataset=...)."
            )
    for op in graph.operators:
        for index in (*op.inputs, *op.outputs):
            if graph.tensors[index].dtype in ("float32", "float16", "float64"):
                raise ModelError(
                    f"{where} is only partly int8: {op.opcode} (operator {op.index}) computes in "
                    f"{graph.tensors[index].dtype}. Convert it with representative data."
                )


def check_graph(graph: Graph, where: str = "The model") -> None:
    """Refuses a file whose parts contradict each other; the reader calls this once.

    Args:
        graph: The model as it was read.
        where: The model's name for the message.

    Raises:
        ModelError: If a tensor is read before it is made, or an operator does not go with the
            shapes of its tensors.

    Example:
        >>> check_graph(Graph((), (), (), (), b""))
        Traceback (most recent call last):
        edge.errors.ModelError: The model has no operator that makes its output.
    """
    check_references(graph, where)
    try:
        check_operators(graph)
    except ValueError as error:
        raise ModelError(f"{where} is damaged: {error}.") from error


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
    made = {t.index for t in graph.tensors if t.is_constant} | set(graph.inputs)
    used = [i for op in graph.operators for i in (*op.inputs, *op.outputs)]
    if any(not 0 <= i < len(graph.tensors) for i in (*used, *graph.inputs, *graph.outputs)):
        raise ModelError(f"{where} is damaged: it refers to a tensor that it does not have.")
    for op in graph.operators:
        for index in op.inputs:
            tensor = graph.tensors[index]
            if index not in made and tensor.element_count > 0:
                raise ModelError(
                    f"{where} is damaged: {op.opcode} (operator {op.index}) reads tensor "
                    f"{tensor.name!r} before any operator makes it."
                )
        if not made.isdisjoint(op.outputs):
            raise ModelError(
                f"{where} is damaged: {op.opcode} (operator {op.index}) writes a tensor that is "
                "already there."
            )
        made.update(op.outputs)
    if not graph.operators or any(i not in made for i in graph.outputs):
        raise ModelError(f"{where} has no operator that makes its output.")


def check_operators(graph: Graph) -> None:
    """Checks that operators fit the shapes of their tensors.

    Args:
        graph: The model, its references already checked.

    Raises:
        ValueError: If an operator and its tensors contradict each other.

    Example:
        >>> check_operators(graph)
    """
    for op in graph.operators:
        inputs = [graph.tensors[index] for index in op.inputs]
        if not op.outputs or not inputs:
            raise ValueError(f"{op.opcode} without an input or an output")
        rule, stated = OPERATORS.get(op.opcode), graph.tensors[op.outputs[0]].shape
        if rule is not None and rule.shape(op, inputs, stated) != stated:
            raise ValueError(f"{op.opcode} making {stated} of {inputs[0].shape}")
