"""The float graph as quantization reads it: a flat list of calls, grouped as int8 fuses them."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator

import keras
from keras import layers, tree

from keras_mobilenet.preprocessing.first_layers import affine_of
from keras_mobilenet.preprocessing.record import PreprocessingRecord
from keras_mobilenet.quantization.scheme import Role, activation_of, role_of, unsupported


@dataclasses.dataclass(frozen=True)
class Call:
    """One layer call, `layer(*sources) -> result`; tensors are named by their identity.

    Attributes:
        layer: The Keras layer or operation.
        sources: The identities (`id`) of the tensors that it reads.
        result: The identity of the tensor that it writes.
    """

    layer: keras.Operation
    sources: tuple[int, ...]
    result: int


@dataclasses.dataclass(frozen=True)
class Group:
    """Calls in a row that one int8 operator computes.

    Attributes:
        calls: The calls in order, at least one.
        is_float: Whether the group was excluded from quantization.
    """

    calls: tuple[Call, ...]
    is_float: bool

    @property
    def layers(self) -> tuple[keras.Operation, ...]:
        """The layers in call order."""
        return tuple(call.layer for call in self.calls)


@dataclasses.dataclass(frozen=True)
class FloatGraph:
    """A model's calls in topological order; nested models are taken apart.

    Attributes:
        groups: The groups of calls in topological order.
        source: The identity of the model's input tensor.
        result: The identity of the model's output tensor.
    """

    groups: tuple[Group, ...]
    source: int
    result: int


def read_float_graph(model: keras.Model, exclude: Collection[str] = ()) -> FloatGraph:
    """Reads a functional or Sequential model and checks that int8 has a rule for each layer.

    Args:
        model: A built Keras model with one input and one output.
        exclude: The names of layers that stay float, with all that would fuse with them.

    Returns:
        The `FloatGraph`.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model's graph is hidden, or it has several inputs or outputs, or a name
            in `exclude` is none of its layers.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = layers.ReLU()(layers.Conv2D(4, 3)(inputs))
        >>> [len(group.calls) for group in read_float_graph(keras.Model(inputs, x)).groups]
        [2]
    """
    functional = _functional(model)
    if len(functional.inputs) != 1 or len(functional.outputs) != 1:
        raise ValueError(f"Model {model.name!r} must have one input and one output.")
    calls, source, result = flat_calls(functional)
    for index, call in enumerate(calls):
        _check_call(call, calls[:index])
    unknown = sorted(set(exclude) - {call.layer.name for call in calls})
    if unknown:
        raise ValueError(f"exclude names no layer of model {model.name!r}: {', '.join(unknown)}.")
    return FloatGraph(tuple(_groups(calls, result, frozenset(exclude))), source, result)


def _functional(model: keras.Model) -> keras.Model:
    if isinstance(model, keras.Sequential):
        if not model.built:
            raise ValueError(
                f"Model {model.name!r} is not built: give it a keras.Input as its first layer."
            )
        return model._functional
    if not hasattr(model, "_nodes_by_depth"):
        raise ValueError(
            f"Model {model.name!r} is subclassed, so its graph is hidden; build it with the "
            "functional API."
        )
    return model


def flat_calls(model: keras.Model) -> tuple[list[Call], int, int]:
    """Lists the calls of a model and of the models nested in it.

    Args:
        model: A built functional or Sequential model with one input and one output.

    Returns:
        `(calls, source, result)`: the calls in topological order, and the identities of the model's
        input and output tensor.

    Raises:
        UnsupportedLayerError: If a layer has several outputs.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), layers.Dense(2), layers.ReLU()])
        >>> calls, source, _ = flat_calls(model)
        >>> calls[0].sources == (source,), calls[1].sources == (calls[0].result,)
        (True, True)
    """
    aliases: dict[int, int] = {}
    functional = _functional(model)
    calls = list(_walk(functional, aliases))
    result = id(functional.outputs[0])
    return calls, id(functional.inputs[0]), aliases.get(result, result)


def _walk(model: keras.Model, aliases: dict[int, int]) -> Iterator[Call]:
    """Collects in `aliases` which tensors are others by another name: the inputs and outputs of
    nested models, and what a layer that computes nothing returns."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            layer = node.operation
            results = tree.flatten(node.output_tensors)
            sources = tuple(aliases.get(id(x), id(x)) for x in node.input_tensors)
            if isinstance(layer, PreprocessingRecord):
                # It computes nothing; whoever builds a new model takes it over with the input.
                aliases[id(results[0])] = sources[0]
                continue
            if isinstance(layer, keras.Model):
                inner = _functional(layer)
                if len(inner.inputs) != 1 or len(inner.outputs) != 1:
                    raise unsupported(layer, "a nested model needs one input and one output.")
                if id(inner.inputs[0]) in aliases:
                    raise unsupported(layer, "it is called more than once; give each call a model.")
                aliases[id(inner.inputs[0])] = sources[0]
                yield from _walk(inner, aliases)
                inner_result = id(inner.outputs[0])
                aliases[id(results[0])] = aliases.get(inner_result, inner_result)
                continue
            if len(results) != 1:
                raise unsupported(layer, "it has several outputs.")
            yield Call(layer, sources, id(results[0]))


def _check_call(call: Call, earlier: list[Call]) -> None:
    layer = call.layer
    role = role_of(layer)
    joins = role in (Role.ADD, Role.CONCATENATE)
    if joins and len(call.sources) < 2:
        raise unsupported(layer, "it joins a tensor with a constant; fold that into a bias.")
    if not joins and len(call.sources) != 1:
        raise unsupported(layer, "it has several inputs.")
    if not isinstance(layer, layers.Layer):
        return
    if layer.weights and any(layer is before.layer for before in earlier):
        raise unsupported(layer, "it has weights and is called more than once; give each call one.")
    if layer.compute_dtype != "float32":
        raise unsupported(
            layer,
            f"it computes in {layer.compute_dtype}: int8 ranges need float32. Build the model "
            'under keras.mixed_precision.set_dtype_policy("float32").',
        )
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise unsupported(layer, "int8 kernels read channels_last: build it that way.")
    if role is Role.BATCH_NORM and layer.axis not in (-1, len(layer.output.shape) - 1):
        raise unsupported(
            layer,
            f"it normalizes along axis {layer.axis}, and only channels, which come last, fold into "
            "a kernel: use axis=-1.",
        )
    if role is Role.AFFINE:
        _check_affine(layer)
    if role is not Role.BLOCK:
        activation_of(layer)


def _check_affine(layer: layers.Layer) -> None:
    if not layer.built:
        raise unsupported(layer, "it has no statistics: adapt it, or give it mean and variance.")
    if any(values.ndim and values.size != values.shape[-1] for values in affine_of(layer)):
        raise unsupported(
            layer, "it scales each place on its own; int8 scales channels: use axis=-1."
        )


def _groups(calls: list[Call], result: int, exclude: frozenset[str]) -> list[Group]:
    consumers: dict[int, list[Call]] = {}
    for call in calls:
        for source in call.sources:
            consumers.setdefault(source, []).append(call)

    def sole_consumer(call: Call, role: Role) -> list[Call]:
        found = consumers.get(call.result, [])
        is_alone = len(found) == 1 and call.result != result
        return found if is_alone and role_of(found[0].layer) is role else []

    groups: list[Group] = []
    absorbed: set[int] = set()
    for call in calls:
        if call.result in absorbed:
            continue
        group = [call]
        role = role_of(call.layer)
        if role is Role.SOFTMAX and consumers.get(call.result):
            raise unsupported(call.layer, "softmax must come last: its int8 scale is fixed.")
        if _is_linear(call.layer, role):
            if role in _WITH_KERNEL:
                group += sole_consumer(group[-1], Role.BATCH_NORM)
            if role is not Role.BLOCK:
                group += sole_consumer(group[-1], Role.ACTIVATION)
        absorbed.update(member.result for member in group[1:])
        is_float = any(member.layer.name in exclude for member in group)
        groups.append(Group(tuple(group), is_float))
    return groups


_WITH_KERNEL = (Role.CONVOLUTION, Role.SEPARABLE, Role.DENSE)


def _is_linear(layer, role: Role) -> bool:
    """Whether an activation may fuse into the layer."""
    if role in (Role.ADD, Role.AFFINE, Role.BATCH_NORM):
        return True
    return role in _WITH_KERNEL and activation_of(layer) == "linear"
