"""Magnitude pruning as a Keras callback: single weights go to zero and stay there."""

from __future__ import annotations

from collections.abc import Callable, Collection

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from keras_mobilenet.pruning.masks import Mask, attach_masks, detach_masks, read_array
from keras_mobilenet.pruning.schedule import PolynomialDecay


class MagnitudePruning(keras.callbacks.Callback):
    """Sets the smallest weights to zero, more and more of them, while `model.fit` trains the rest.

    Prunes the kernels of Conv2D and Dense, and the pointwise kernel of SeparableConv2D;
    depthwise kernels, biases and batch normalizations are small and stay. The zeros are exact,
    through quantization-aware training and into the int8 file. `logs` gains `sparsity`.

    To resume, load the saved model and call `fit` with the same callback: the schedule counts
    the optimizer's steps, and the zeros of the weights are the mask.

    Args:
        final_sparsity: The share of zeros in each pruned kernel at the end, 0 to 1; left out where
            `schedule` is given.
        schedule: The function `schedule(step) -> (whether to prune, sparsity)`: a
            `PolynomialDecay` or `ConstantSparsity`, TF-MOT's objects of these names as they are, or
            any other. None stands for a polynomial from 0 over the first half of `fit`'s steps.
        exclude: The names of layers that are not pruned.

    Raises:
        ValueError: If an argument is out of range, or `exclude` names no layer that is pruned.
        RuntimeError: At the start of `fit`, if Keras does not run on TensorFlow.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d")])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.random.rand(64, 8), np.random.rand(64, 4)
        >>> _ = model.fit(x, y, epochs=8, verbose=0, callbacks=[MagnitudePruning(0.75)])
        >>> int((np.array(model.get_layer("d").kernel) == 0).sum())
        24

    Source: arXiv 1710.01878; TF-MOT's `prune_low_magnitude`.
    """

    def __init__(
        self,
        final_sparsity: float | None = None,
        *,
        schedule: Callable | None = None,
        exclude: Collection[str] = (),
    ):
        super().__init__()
        if (final_sparsity is None) == (schedule is None):
            raise ValueError("Give either final_sparsity or schedule.")
        if final_sparsity is not None and not 0 < final_sparsity < 1:
            raise ValueError(f"final_sparsity must lie in (0, 1), got {final_sparsity!r}.")
        if schedule is not None and not callable(schedule):
            raise ValueError(f"schedule must be callable, got {schedule!r}.")
        self.final_sparsity = final_sparsity
        self.schedule = schedule
        self.exclude = tuple(exclude)
        self._masks: list[Mask] = []
        self._next_step = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Masks the kernels; the zeros of a resumed training are its mask."""
        kernels = prunable_kernels(self.model)
        unknown = sorted(set(self.exclude) - set(kernels))
        if unknown:
            raise ValueError(
                f"exclude names no layer with a kernel to prune: {', '.join(unknown)}."
            )
        self._next_step = int(self.model.optimizer.iterations)
        has_trained = self._next_step > 0
        kept = {}
        for name, kernel in kernels.items():
            if name not in self.exclude:
                values = read_array(kernel)
                # Resumed: the zeros are the mask. A fresh kernel may be all zeros.
                kept[id(kernel)] = (kernel, (values != 0) | (not has_trained))
        self._masks = attach_masks(self.model, kept)
        self._schedule = _fast(self.schedule or self._default_schedule())

    def _default_schedule(self) -> PolynomialDecay:
        params = self.params or {}
        if not params.get("steps"):
            raise ValueError(
                "The number of steps of an epoch is unknown; give a schedule in place of "
                "final_sparsity."
            )
        half = max(params["epochs"] * params["steps"] // 2, 1)
        return PolynomialDecay(0.0, self.final_sparsity, 0, half, frequency=max(half // 20, 1))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Prunes at the steps that the schedule names."""
        step = int(self.model.optimizer.iterations)
        # Several steps may have passed at once (steps_per_execution).
        for passed in range(self._next_step, step + 1):
            is_due, sparsity = self._schedule(passed)
            if is_due:
                for mask in self._masks:
                    mask.update(largest(read_array(mask.variable), float(sparsity)))
        self._next_step = step + 1

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the share of zeros."""
        if logs is not None:
            kept = [mask.kept for mask in self._masks]
            logs["sparsity"] = 1.0 - sum(k.sum() for k in kept) / sum(k.size for k in kept)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Removes the masks; the zeros stay."""
        detach_masks(self.model, self._masks)


def prunable_kernels(model: keras.Model) -> dict[str, keras.Variable]:
    """Lists the kernels that magnitude pruning prunes, by layer name.

    Args:
        model: A built Keras model, float or quantization-aware.

    Returns:
        The kernels by layer name; a layer inside a block is named `block/layer`.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 3, name="c")])
        >>> list(prunable_kernels(model))
        ['c']
    """
    found: dict[str, keras.Variable] = {}
    seen: set[int] = set()

    def visit(layer: keras.layers.Layer, prefix: str) -> None:
        name = prefix + layer.name
        kernel = None
        if isinstance(layer, layers.SeparableConv2D):
            kernel = layer.pointwise_kernel
        elif isinstance(layer, (layers.Conv2D, layers.Dense)):
            kernel = layer.kernel
        if kernel is not None and id(kernel) not in seen:
            seen.add(id(kernel))
            found[name] = kernel
        inner_prefix = prefix if isinstance(layer, keras.Model) else f"{name}/"
        for inner in layer._layers:
            visit(inner, inner_prefix)

    for layer in model.layers:
        visit(layer, "")
    return found


def largest(values: np.ndarray, sparsity: float) -> np.ndarray:
    """Makes the mask that keeps the largest magnitudes.

    Args:
        values: The weights, a float array of any shape.
        sparsity: The share to drop, 0 to 1.

    Returns:
        Boolean array; of equal magnitudes at the boundary all are kept.

    Example:
        >>> largest(np.array([3.0, -1.0, 2.0, 0.5]), 0.5).tolist()
        [True, False, True, False]

    Source: TF-MOT's `Pruning._update_mask`.
    """
    magnitudes = np.abs(values)
    count = max(int(np.round(values.size * (1.0 - sparsity))), 1)
    threshold = np.partition(magnitudes.reshape(-1), values.size - count)[values.size - count]
    return magnitudes >= threshold


def _fast(schedule: Callable) -> Callable:
    """Traces a schedule of TF-MOT, which is made of TensorFlow operators: then it costs little."""
    if not tf.is_tensor(schedule(0)[0]):
        return schedule
    traced = tf.function(schedule)
    return lambda step: traced(tf.constant(step, tf.int64))
