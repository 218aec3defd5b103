"""Channel pruning as a Keras callback: whole channels go, and the network really shrinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_mobilenet.pruning.channel_costs import Costs, cheapest_removals, macs
from keras_mobilenet.pruning.channel_groups import ChannelGroups
from keras_mobilenet.pruning.importance import bn_scale, taylor
from keras_mobilenet.pruning.masks import Mask, attach_masks, detach_masks, hold, read_array
from keras_mobilenet.pruning.shrink import shrink

CRITERIA = ("bn_scale", "taylor")


class ChannelPruning(keras.callbacks.Callback):
    """Removes channels while `model.fit` trains, until the network meets its targets.

    At the beginning of each epoch from `start_epoch` on, the channels that matter least for what
    they cost are set to zero for good; from `end_epoch` on the targets are met, and the rest of
    `fit` trains what is left. After `fit`, `pruned_model` is the network without them: smaller
    layers, the same outputs. Channels whose sums are added go together. A quantization-aware model
    keeps its ranges.

    To resume, load the saved model and call `fit` with the same callback and `initial_epoch`: its
    zeros tell which channels are gone.

    Args:
        target_macs: The upper limit of multiply-accumulates, or a share of today's if below 1.
        target_flash_bytes: The upper limit of the flash, or a share of today's if below 1. Without
            a counter these are the bytes of int8 kernels and int32 biases.
        target_ram_bytes: The upper limit of the RAM, or a share of today's if below 1. Without a
            counter these are the bytes of int8 tensors alive at once, layer by layer.
        target_ms: The upper limit of an inference's milliseconds, as the counter estimates them.
        counter: What counts flash, RAM and time for a runtime and a board, such as
            `edge.engine_counter(board)` and `edge.tflm_counter(board)`: a function that is given
            the model and returns `cost(name, channels)`, with `"flash_bytes"`, `"ram_bytes"` or
            `"ms"` and the output channels of each convolution and matrix product in order.
        criterion: How a channel's importance is measured: `"bn_scale"` by the batch normalization's
            |gamma|; `"taylor"` by how much the loss changes without the channel, to first order, on
            `data`.
        start_epoch: The first epoch that removes channels, counted from 0.
        end_epoch: The epoch from which on the targets are met; None means half way through `fit`.
        multiple_of: Every layer keeps a multiple of so many channels, which the kernels like.
        data: The `(inputs, labels)` arrays for `"taylor"`; 256 samples are enough.

    Attributes:
        pruned_model: The smaller functional model, which `fit` leaves here; not compiled.

    Raises:
        ValueError: If an argument is out of range, or, in `fit`, a target cannot be met.
        UnsupportedLayerError: At the start of `fit`, if a layer's channels cannot be followed.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(16, 3),
        ...     keras.layers.BatchNormalization(), keras.layers.ReLU(), keras.layers.Flatten(),
        ...     keras.layers.Dense(2)])
        >>> model.compile("sgd", "mse")
        >>> pruning = ChannelPruning(target_macs=0.5)
        >>> x, y = np.random.rand(8, 8, 8, 1), np.random.rand(8, 2)
        >>> _ = model.fit(x, y, epochs=4, verbose=0, callbacks=[pruning])
        >>> pruning.pruned_model.layers[1].filters
        8

    Source: arXiv 1708.06519 (scale of the batch normalization); arXiv 1906.10771 (Taylor, on the
        gate of a batch normalization).
    """

    def __init__(
        self,
        *,
        target_macs: float | None = None,
        target_flash_bytes: float | None = None,
        target_ram_bytes: float | None = None,
        target_ms: float | None = None,
        counter: Callable[[keras.Model], Callable[[str, Sequence[int]], float]] | None = None,
        criterion: str = "bn_scale",
        start_epoch: int = 0,
        end_epoch: int | None = None,
        multiple_of: int = 4,
        data: tuple | None = None,
    ):
        super().__init__()
        self.targets = {
            name: value
            for name, value in (
                ("macs", target_macs),
                ("flash_bytes", target_flash_bytes),
                ("ram_bytes", target_ram_bytes),
                ("ms", target_ms),
            )
            if value is not None
        }
        if not self.targets or any(not value > 0 for value in self.targets.values()):
            raise ValueError(
                "Give at least one of target_macs, target_flash_bytes, target_ram_bytes and "
                "target_ms, above 0."
            )
        if counter is None and target_ms is not None:
            raise ValueError("target_ms needs a counter, such as edge.engine_counter(board).")
        if criterion not in CRITERIA:
            raise ValueError(f"criterion must be one of {CRITERIA}, got {criterion!r}.")
        if (criterion == "taylor") != (data is not None):
            raise ValueError("Give data=(inputs, labels) with criterion='taylor', and only then.")
        if start_epoch < 0 or (end_epoch is not None and end_epoch <= start_epoch):
            raise ValueError("start_epoch must be at least 0 and end_epoch must come after it.")
        if multiple_of < 1:
            raise ValueError(f"multiple_of must be at least 1, got {multiple_of!r}.")
        self.counter = counter
        self.criterion = criterion
        self.start_epoch = start_epoch
        self.end_epoch = end_epoch
        self.multiple_of = multiple_of
        self.data = data
        self.pruned_model: keras.Model | None = None
        self._masks: list[Mask] = []

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Checks that the targets can be met, and masks what is already gone."""
        self._channels = channels = ChannelGroups(self.model)
        epochs = (self.params or {}).get("epochs") or 1
        self._end = self.end_epoch or max(self.start_epoch + 1, (self.start_epoch + epochs) // 2)
        if self._end > epochs:
            raise ValueError(f"end_epoch={self._end} is never reached: fit ends after {epochs}.")
        everything = np.ones(channels.count, bool)
        count = None if self.counter is None else self.counter(self.model)
        self._costs = Costs(channels, count)
        self._first_costs = {name: self._costs.of(name, everything) for name in self.targets}
        self._kept = self._still_alive()
        # Fails now rather than after the first epochs, if the targets are out of reach.
        self._removals(self._final_targets(), np.ones(channels.count))
        self._masks = attach_masks(self.model, self._arrays())

    def _still_alive(self) -> np.ndarray:
        """Finds the channels that are left: one is gone if every kernel that makes it is zero."""
        alive = np.zeros(self._channels.count, bool)
        for variable in self._channels.outputs.values():
            axis, numbers = self._channels.output_axis(variable)
            if len(variable.shape) > 1:
                nonzero = (read_array(variable) != 0).any(axis=tuple(range(axis)))
                np.logical_or.at(alive, self._channels.roots(numbers), nonzero)
        fixed = np.ones(self._channels.count, bool)
        for group in self._channels.groups:
            fixed[group] = False
        return alive | fixed

    def _arrays(self) -> dict:
        """Tells what each weight keeps.

        Weights that read a removed channel go too: as long as they are there, they stretch the int8
        scale of their kernel.
        """
        arrays = {}
        for key, (variable, axes) in self._channels.axes.items():
            if not variable.trainable:
                continue
            kept = np.ones(variable.shape, bool)
            for axis, numbers in axes.items():
                shape = [1] * kept.ndim
                shape[axis] = -1
                kept &= self._kept[self._channels.roots(numbers)].reshape(shape)
            arrays[key] = (variable, kept)
        return arrays

    def _final_targets(self) -> dict[str, float]:
        return {
            name: value * self._first_costs[name] if value < 1 and name != "ms" else value
            for name, value in self.targets.items()
        }

    def _removals(self, targets: dict[str, float], importance: np.ndarray) -> np.ndarray:
        return cheapest_removals(
            self._costs,
            self._kept,
            importance=importance,
            targets=targets,
            multiple_of=self.multiple_of,
        )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Removes channels at every epoch from `start_epoch` on."""
        if epoch < self.start_epoch:
            return
        done = min((epoch + 1 - self.start_epoch) / (self._end - self.start_epoch), 1.0)
        targets = {
            name: self._first_costs[name] + (final - self._first_costs[name]) * done
            for name, final in self._final_targets().items()
        }
        kept = self._removals(targets, self._importance())
        if (kept != self._kept).any():
            self._kept = kept
            for mask, (_, array) in zip(self._masks, self._arrays().values(), strict=True):
                mask.update(array)

    def _importance(self) -> np.ndarray:
        if self.criterion == "taylor":
            return taylor(self._channels, self.model, self.data)
        return bn_scale(self._channels)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keeps the zeros where the training step itself cannot."""
        # Keras's property `model` would attach the weights, at every step.
        hold(self._model, self._masks)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the multiply-accumulates of the channels that are left, and what else is limited."""
        if logs is not None:
            logs["macs"] = float(macs(self._channels, self._kept))
            logs.update({name: self._costs.of(name, self._kept) for name in self.targets})

    def on_train_end(self, logs: dict | None = None) -> None:
        """Builds the smaller network."""
        removed = {key for key, number in self._channels.keys().items() if not self._kept[number]}
        detach_masks(self.model, self._masks)
        self.pruned_model = shrink(self.model, removed)
