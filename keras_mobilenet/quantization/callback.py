"""Quantization-aware training as a Keras callback."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import keras

from keras_mobilenet.quantization.float_graph import FloatGraph, read_float_graph
from keras_mobilenet.quantization.graph_surgery import replace_with_quantized, retrace
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.scheme import Role, role_of
from keras_mobilenet.quantization.transform import RANGES, is_quantized, model_ranges

AUTO = "auto"


class QuantizationAwareTraining(keras.callbacks.Callback):
    """Trains float, then with int8 fake quantization, in one `model.fit`.

    From `start_epoch` on the model computes with int8 kernels and activations in float arithmetic:
    batch normalizations are folded as inference folds them, kernels are symmetric per output
    channel, activations asymmetric. The model keeps its identity, its optimizer state and its
    compiled loss. Saved afterwards, it reloads with its ranges, and `edge.convert` needs no
    representative data.

    A model that is already quantization-aware stays as it is: to resume, load the saved model and
    call `fit` with the same callback and `initial_epoch`.

    Args:
        start_epoch: The first epoch, counted from 0, that trains with fake quantization.
        start_step: The first optimizer step, counted from 0, in place of `start_epoch`.
        ranges: How the ranges of activations are found. With `"lsq"` their scales are learned,
            starting from the moving average of the first batches; with `"moving_average"` they are
            the moving average of batch extremes throughout, as in TF-MOT.
        freeze_bn_after: The number of epochs (steps, with `start_step`) after the start at which
            batch normalization changes over to its moving statistics, which inference uses. None
            means never. `"auto"` means from the start on for the layers that were trained before
            `fit`, whose statistics a few batches of other data would ruin, and never for others.
        freeze_ranges_after: The number of epochs (or steps) after the start from which on the
            ranges stay as they are. None means never.
        exclude: The names of layers that stay float, to find out which layer loses accuracy.

    Raises:
        ValueError: If an argument is out of range, or the start lies past the epochs of `fit`.
        UnsupportedLayerError: At the start of `fit`, if a layer has no int8 rule.

    Example:
        >>> inputs = keras.Input((8, 8, 1))
        >>> x = keras.layers.Conv2D(4, 3, activation="relu")(inputs)
        >>> x = keras.layers.Flatten()(x)
        >>> model = keras.Model(inputs, keras.layers.Dense(2)(x))
        >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        >>> images, labels = keras.ops.ones((8, 8, 8, 1)), keras.ops.zeros((8,))
        >>> history = model.fit(images, labels, epochs=2, verbose=0,
        ...                     callbacks=[QuantizationAwareTraining(start_epoch=1)])
        >>> [layer.name.split("_")[0] for layer in model.layers[1:3]]
        ['quantized', 'quantized']

    Source: arXiv 1712.05877, section 3; the TFLite 8-bit quantization specification.
    """

    def __init__(
        self,
        start_epoch: int | None = None,
        *,
        start_step: int | None = None,
        ranges: str = "lsq",
        freeze_bn_after: int | str | None = AUTO,
        freeze_ranges_after: int | None = None,
        exclude: Collection[str] = (),
    ):
        super().__init__()
        if start_epoch is not None and start_step is not None:
            raise ValueError("Give start_epoch or start_step, not both.")
        if ranges not in RANGES:
            raise ValueError(f"ranges must be one of {RANGES}, got {ranges!r}.")
        if isinstance(exclude, str):
            raise ValueError(f"exclude must be a list of layer names, got {exclude!r}.")
        self.start_epoch = None if start_step is not None else start_epoch or 0
        self.start_step = start_step
        self.ranges = ranges
        self.freeze_bn_after = freeze_bn_after
        self.freeze_ranges_after = freeze_ranges_after
        self.exclude = tuple(exclude)
        self._pretrained: frozenset[str] = frozenset()
        for name in ("start_epoch", "start_step", "freeze_bn_after", "freeze_ranges_after"):
            given = start_epoch if name == "start_epoch" else getattr(self, name)
            if name == "freeze_bn_after" and given == AUTO:
                continue
            is_whole = isinstance(given, int) and not isinstance(given, bool)
            if given is not None and (not is_whole or given < 0):
                raise ValueError(f"{name} must be a non-negative integer, got {given!r}.")

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks the model and the start before the first epoch."""
        if is_quantized(self.model):
            return
        # Found now, not after the float epochs.
        graph = read_float_graph(self.model, self.exclude)
        self._pretrained = frozenset(
            norm.path for norm in batch_norms(graph) if has_trained_statistics(norm)
        )
        params = self.params or {}
        epochs, steps = params.get("epochs"), params.get("steps")
        if self.start_step is None:
            if epochs is not None and self.start_epoch >= epochs:
                raise ValueError(
                    f"start_epoch={self.start_epoch} is never reached: fit ends after {epochs} "
                    "epochs."
                )
        elif epochs is not None and steps is not None and self.start_step >= epochs * steps:
            raise ValueError(
                f"start_step={self.start_step} is never reached: fit ends after {epochs} epochs of "
                f"{steps} steps."
            )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Quantizes or freezes at the epochs that the arguments name."""
        if self.start_step is None:
            self._advance(epoch - self.start_epoch)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Quantizes or freezes at the steps that the arguments name."""
        if self.start_step is not None:
            self._advance(int(self.model.optimizer.iterations) - self.start_step)

    def _advance(self, since_start: int) -> None:
        """Quantizes or freezes what is due so many epochs or steps after the start."""
        if since_start < 0:
            return
        if not is_quantized(self.model):
            replace_with_quantized(self.model, ranges=self.ranges, exclude=self.exclude)
        has_changed = False
        for layer in self.model.layers:
            if isinstance(layer, QuantizedConvolution) and self._is_due(layer, since_start):
                layer.is_batch_norm_frozen = has_changed = True
        if self.freeze_ranges_after is not None and since_start >= self.freeze_ranges_after:
            for _, tensor_range in model_ranges(self.model):
                if not tensor_range.is_frozen:
                    tensor_range.freeze()
                    has_changed = True
        if has_changed:
            # Frozen or not is decided when the step is traced.
            retrace(self.model)

    def _is_due(self, layer: QuantizedConvolution, since_start: int) -> bool:
        """Whether a layer's batch normalization changes over to its moving statistics."""
        if layer.batch_norm is None or layer.is_batch_norm_frozen or self.freeze_bn_after is None:
            return False
        if self.freeze_bn_after == AUTO:
            return layer.batch_norm.path in self._pretrained
        return since_start >= int(self.freeze_bn_after)


def batch_norms(graph: FloatGraph) -> Iterator[keras.layers.BatchNormalization]:
    """Lists the batch normalizations that convolutions take into themselves.

    Args:
        graph: The float graph.

    Yields:
        The layers, those inside of a `SeparableBlock` too.

    Example:
        >>> inputs = keras.Input((8, 8, 3))
        >>> x = keras.layers.Conv2D(4, 3)(inputs)
        >>> model = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(x))
        >>> [norm.name for norm in batch_norms(read_float_graph(model))]
        ['norm']
    """
    for group in graph.groups:
        for layer in group.layers:
            stages = layer.fusable_stages() if role_of(layer) is Role.BLOCK else [(layer,)]
            for stage in stages:
                yield from (x for x in stage if isinstance(x, keras.layers.BatchNormalization))


def has_trained_statistics(norm: keras.layers.BatchNormalization) -> bool:
    """Tells whether a batch normalization is no more as it was made.

    Args:
        norm: The layer, built.

    Returns:
        Whether its moving statistics, or its scale and offset, are not those at the beginning.

    Example:
        >>> norm = keras.layers.BatchNormalization()
        >>> norm.build((None, 4))
        >>> has_trained_statistics(norm)
        False
    """
    ones = [norm.moving_variance, *([norm.gamma] if norm.scale else [])]
    zeros = [norm.moving_mean, *([norm.beta] if norm.center else [])]
    at_first = [(variable, 1.0) for variable in ones] + [(variable, 0.0) for variable in zeros]
    return any(
        bool((keras.ops.convert_to_numpy(variable) != value).any()) for variable, value in at_first
    )
