"""Graph surgery: replaces the layers of a model in training, which stays the same object."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import keras
from keras.src.models.functional import Functional
from keras.src.utils.tracking import DotNotTrackScope

from keras_mobilenet.quantization.transform import quantized_twin, set_quantizing
from keras_mobilenet.quantization.weight_bits import WeightBits

_GRAPH_ATTRIBUTES = (
    "_inputs",
    "_outputs",
    "_inputs_struct",
    "_outputs_struct",
    "_nodes",
    "_nodes_by_depth",
    "_operations",
    "_operations_by_depth",
    "_convert_input_args",
    "_allow_non_tensor_positional_args",
    "output_names",
)


def replace_with_quantized(
    model: keras.Model,
    *,
    ranges: str = "lsq",
    exclude: Collection[str] = (),
    weight_bits: WeightBits = 8,
) -> None:
    """Replaces the layers of a model with quantization-aware ones; the model stays the same object.

    The model object, its optimizer with all its state, its metrics and its compiled loss stay;
    only the graph of layers between input and output is exchanged. A Sequential model becomes a
    functional one.

    Args:
        model: A built functional or Sequential Keras model with one input and one output.
        ranges: `"lsq"` or `"moving_average"`, as in `quantize_model`.
        exclude: The names of layers that stay float, as in `quantize_model`.
        weight_bits: The bits of a weight, as in `quantize_model`; `start_weight_bits` is to come.

    Raises:
        UnsupportedLayerError: If a layer has no int8 rule.
        ValueError: If the model or an argument is one that `quantize_model` refuses, or the model
            is a subclass of Sequential with methods of its own.

    Example:
        >>> from keras import layers
        >>> from keras_mobilenet.quantization.transform import is_quantized
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3)])
        >>> replace_with_quantized(model)
        >>> is_quantized(model)
        True
    """
    _require_no_methods(model)
    strategy = getattr(model, "distribute_strategy", None)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        twin = quantized_twin(model, ranges=ranges, exclude=exclude, weight_bits=weight_bits)
        replace_graph(model, twin)


def _require_no_methods(model: keras.Model) -> None:
    """Refuses a subclass of Sequential with methods of its own: as another class it loses them."""
    if not isinstance(model, keras.Sequential):
        return
    own = type(model).__mro__[: type(model).__mro__.index(keras.Sequential)]
    names = sorted({name for cls in own for name in vars(cls) if hasattr(keras.Sequential, name)})
    names = [name for name in names if not name.startswith("_")]
    if names:
        raise ValueError(
            f"Model {model.name!r} is a subclass of Sequential with methods of its own "
            f"({', '.join(names)}), and quantization turns it into a functional model: subclass "
            "keras.Model and make it from inputs and outputs."
        )


def replace_graph(model: keras.Model, twin: keras.Model) -> None:
    """Gives a model the layers of another; the optimizer keeps its state of variables that stay.

    Args:
        model: A built functional or Sequential model, whose layers are replaced.
        twin: A functional model with the same input and output shapes, whose layers the model takes
            over.

    Example:
        >>> inputs = keras.Input((4,))
        >>> model, twin = (keras.Model(inputs, keras.layers.Dense(2)(inputs)) for _ in range(2))
        >>> replace_graph(model, twin)
        >>> model.layers[-1] is twin.layers[-1]
        True
    """
    tracked = model._tracker.config["layers"][1]
    old_layers = model.layers
    if isinstance(model, keras.Sequential):
        old_layers = [*model._layers, model._functional]
        model.__class__ = Functional
        del model._functional
    with DotNotTrackScope():
        for attribute in _GRAPH_ATTRIBUTES:
            setattr(model, attribute, getattr(twin, attribute))
    for layer in old_layers:
        model._tracker.untrack(layer)
    for layer in twin.layers:
        model._tracker.track(layer)
    with DotNotTrackScope():
        # The last of all: TensorFlow saves no list that has changed since it was assigned.
        model._layers = tracked
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and optimizer.built:
        retarget_optimizer(optimizer, model.trainable_variables)
    if keras.backend.backend() == "torch":
        # The parameters whose gradients each step sets to zero.
        model._track_variables()
    # The traced steps still hold the float graph.
    model.test_function = None
    model.predict_function = None
    retrace(model)


def switch_quantizing(model: keras.Model, is_quantizing: bool) -> None:
    """Switches the rounding of a quantization-aware model on or off, in its traced steps as well.

    Args:
        model: The quantization-aware Keras model.
        is_quantizing: Whether it rounds.

    Example:
        >>> from keras_mobilenet.quantization import transform
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(4, 3)])
        >>> replace_with_quantized(model)
        >>> switch_quantizing(model, False)
        >>> transform.is_quantizing(model)
        False
    """
    set_quantizing(model, is_quantizing)
    model.test_function = None
    model.predict_function = None
    retrace(model)


def retrace(model: keras.Model) -> None:
    """Traces the training step again, with the layers and constraints that the model has now.

    Args:
        model: The Keras model that is being trained.

    Example:
        >>> retrace(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    """
    if model.train_function is not None:
        model.make_train_function(force=True)


def retarget_optimizer(optimizer: keras.Optimizer, variables: list) -> None:
    """Rebuilds an optimizer for other variables; those that it knew keep their momenta.

    Args:
        optimizer: A built Keras optimizer.
        variables: The trainable variables from now on.

    Example:
        >>> a, b = keras.Variable([1.0]), keras.Variable([2.0])
        >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        >>> optimizer.apply([keras.ops.ones(1)], [a])
        >>> retarget_optimizer(optimizer, [b, a])
        >>> [round(float(momentum[0]), 2) for momentum in optimizer.momentums]
        [0.0, -0.1]
    """
    old = list(optimizer._trainable_variables)
    if [id(v) for v in old] == [id(v) for v in variables]:
        return
    places = {id(variable): index for index, variable in enumerate(old)}
    slots, scalars = _state(optimizer, len(old))
    # Iterations, and the learning rate where it is a variable, come before what `build` adds.
    num_base = 1 + isinstance(optimizer._learning_rate, keras.Variable)
    del optimizer._variables[num_base:]
    optimizer._trainable_variables_indices.clear()
    optimizer.built = False
    optimizer.build(list(variables))
    new_slots, new_scalars = _state(optimizer, len(variables))
    for name, values in new_slots.items():
        for variable, slot in zip(variables, values, strict=True):
            place = places.get(id(variable))
            before = slots[name][place] if place is not None and name in slots else None
            if slot is not None and before is not None:
                slot.assign(keras.ops.convert_to_numpy(before))
    for name, scalar in new_scalars.items():
        if name in scalars:
            scalar.assign(keras.ops.convert_to_numpy(scalars[name]))


def _state(optimizer, count: int) -> tuple[dict, dict]:
    """Lists with a variable for each trainable one, and single variables, by attribute."""
    base = (optimizer._iterations, optimizer._learning_rate)
    slots, scalars = {}, {}
    for name, value in vars(optimizer).items():
        if name in ("_variables", "_trainable_variables"):
            continue
        if isinstance(value, dict) and name != "_trainable_variables_indices":
            value = list(value.values())
        if isinstance(value, (list, tuple)) and len(value) == count:
            if all(slot is None or isinstance(slot, keras.Variable) for slot in value):
                slots[name] = list(value)
        elif isinstance(value, keras.Variable) and all(value is not known for known in base):
            scalars[name] = value
    return slots, scalars
