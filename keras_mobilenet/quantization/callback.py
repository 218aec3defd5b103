"""Quantization-aware training as a Keras callback."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection
from typing import Any

import keras

from keras_mobilenet.quantization.graph_surgery import replace_with_quantized, switch_quantizing
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.transform import (
    RANGES,
    is_quantized,
    is_quantizing,
    model_ranges,
)
from keras_mobilenet.quantization.weight_bits import (
    WeightBits,
    check_bits,
    check_budget,
    kernel_layers,
    start_weight_bits,
)

AUTO = "auto"

LOSSES = ("loss", "val_loss")
JUMP = 2.0
"""A loss of so many times that of the last float epoch is a training that quantization ruins."""


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
        weight_bits: The bits of a weight: 8, 4, or a dict of them by layer name, where others have
            8. Weights of four bits have steps that are learned. With `"auto"` as many layers get
            four bits at the start as it takes to meet `flash_bytes`, those first whose rounding
            costs least for each byte that it saves.
        flash_bytes: What weights and biases may take, of `"auto"`.
        calibration_data: Inputs on which `"auto"` measures how far the output moves if one layer
            has weights of four bits; without them it goes by the weights' own errors.
        counter: What counts the flash of a model for `"auto"`, a function of the quantized model;
            by default half a byte or one for each weight, and four for a bias.

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
        weight_bits: WeightBits = 8,
        flash_bytes: float | None = None,
        calibration_data: Any = None,
        counter: Callable[[keras.Model], float] | None = None,
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
        check_bits(weight_bits)
        check_budget(weight_bits, flash_bytes)
        self.weight_bits = weight_bits
        self.flash_bytes = flash_bytes
        self.calibration_data = calibration_data
        self.counter = counter
        for name in ("start_epoch", "start_step", "freeze_bn_after", "freeze_ranges_after"):
            given = start_epoch if name == "start_epoch" else getattr(self, name)
            if name == "freeze_bn_after" and given == AUTO:
                continue
            is_whole = isinstance(given, int) and not isinstance(given, bool)
            if given is not None and (not is_whole or given < 0):
                raise ValueError(f"{name} must be a non-negative integer, got {given!r}.")

    def set_params(self, params: dict | None) -> None:
        """Builds the quantized graph, before any callback's `on_train_begin`.

        So all of them see one structure of weights, in whatever order they stand.
        """
        super().set_params(params)
        if self._model is not None and self._unreached() is None:
            self._build()

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks the start before the first epoch."""
        unreached = self._unreached()
        if unreached is not None:
            raise ValueError(unreached)
        # Where a training loop of the user's gives no params.
        self._build()
        self._losses: dict[str, float] = {}

    def _build(self) -> None:
        """Replaces the float layers by quantized ones that do not round yet."""
        if not is_quantized(self.model):
            replace_with_quantized(
                self.model,
                ranges=self.ranges,
                exclude=self.exclude,
                weight_bits=self.weight_bits,
            )
            switch_quantizing(self.model, False)

    def _unreached(self) -> str | None:
        """Why the start is never reached."""
        epochs, steps = ((self.params or {}).get(name) for name in ("epochs", "steps"))
        if is_quantizing(self.model) or epochs is None:
            return None
        if self.start_step is None:
            if self.start_epoch >= epochs:
                return (
                    f"start_epoch={self.start_epoch} is never reached: fit ends after {epochs} "
                    "epochs."
                )
        elif steps is not None and self.start_step >= epochs * steps:
            return (
                f"start_step={self.start_step} is never reached: fit ends after {epochs} epochs of "
                f"{steps} steps."
            )
        return None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Quantizes or freezes at the epochs that the arguments name."""
        if self.start_step is None:
            self._advance(epoch - self.start_epoch)
        else:
            self._steps_before = int(self.model.optimizer.iterations)

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Quantizes or freezes at the steps that the arguments name."""
        if self.start_step is None:
            return
        if keras.backend.backend() == "jax":
            # The optimizer's own count is not in its variables before the epoch has ended.
            step = self._steps_before + batch
        else:
            step = int(self.model.optimizer.iterations)
        self._advance(step - self.start_step)

    def _advance(self, since_start: int) -> None:
        """Quantizes or freezes what is due so many epochs or steps after the start."""
        if since_start < 0:
            return
        # On JAX `self.model` writes the state of the epoch into its variables: not in every step.
        model = self._model
        due = [layer for layer in kernel_layers(model) if self._is_due(layer, since_start)]
        ranges = []
        if self.freeze_ranges_after is not None and since_start >= self.freeze_ranges_after:
            ranges = [r for _, r in model_ranges(model) if not r.is_frozen]
        if is_quantizing(model) and not due and not ranges:
            return
        model = self.model
        if not is_quantizing(model):
            start_weight_bits(model, self.flash_bytes, self.calibration_data, self.counter)
        for layer in due:
            layer.is_batch_norm_frozen = True
        for tensor_range in ranges:
            tensor_range.freeze()
        # Frozen or not, and whether to round, is decided when the step is traced.
        switch_quantizing(model, True)

    def _is_due(self, layer: QuantizedConvolution | QuantizedDense, since_start: int) -> bool:
        """Whether a layer's batch normalization changes over to its moving statistics."""
        if layer.batch_norm is None or layer.is_batch_norm_frozen or self.freeze_bn_after is None:
            return False
        if self.freeze_bn_after == AUTO:
            return layer.has_trained_statistics
        return since_start >= int(self.freeze_bn_after)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Warns where the loss has jumped since quantization began."""
        losses = {name: float(logs[name]) for name in LOSSES if name in (logs or {})}
        if not is_quantizing(self._model):
            self._losses = losses
            return
        for name, loss in losses.items():
            before = self._losses.pop(name, None)
            if not math.isfinite(loss) or (before is not None and loss > JUMP * before > 0):
                was = "" if before is None else f", and was {before:.3g} before"
                warnings.warn(
                    f"QuantizationAwareTraining: {name} is {loss:.3g} in epoch {epoch}{was}. Lower "
                    "the learning rate, keep batch statistics out (freeze_bn_after=0), or start "
                    "later; exclude= tells which layer it is.",
                    stacklevel=2,
                )

    def on_train_end(self, logs: dict | None = None) -> None:
        """Warns where `fit` has ended before the start."""
        if not is_quantizing(self._model):
            start = "start_step" if self.start_epoch is None else "start_epoch"
            warnings.warn(
                f"QuantizationAwareTraining: fit ended before {start}={getattr(self, start)}. The "
                "model computes in float; its ranges are those of the last batches, and conversion "
                "quantizes with them.",
                stacklevel=2,
            )
