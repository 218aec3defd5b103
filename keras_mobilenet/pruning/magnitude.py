"""Magnitude pruning as a Keras callback: weights, or blocks of them, go to zero and stay there."""

from __future__ import annotations

from collections.abc import Callable, Collection

import keras
import numpy as np
from keras import layers

from keras_mobilenet.pruning.blocks import Blocks, largest_blocks
from keras_mobilenet.pruning.masks import (
    Mask,
    attach_masks,
    attach_weights,
    detach_masks,
    hold,
    read_array,
)
from keras_mobilenet.pruning.schedule import PolynomialDecay
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense


class MagnitudePruning(keras.callbacks.Callback):
    """Sets the smallest weights to zero, more and more of them, while `model.fit` trains the rest.

    Single zeros make a file smaller when it is compressed, and save a chip nothing. With `block`
    whole blocks of a kernel go, those of the smallest mean magnitude: a kernel that skips such
    blocks is faster, and its weights are fewer.

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
        block: What goes to zero at once: None for single weights; `(outputs, taps)` for so many
            output channels by so many taps, counted in the order height, width, input channel; or
            the target's own blocks, as `edge.pruning_block(board)` returns them: a function that
            is given a kernel's shape and returns the number of each weight's block, or None for a
            kernel of which the target skips nothing, and which then stays as it is.
        exclude: The names of layers that are not pruned, `block/layer` inside a block.

    Raises:
        ValueError: If an argument is out of range, or `exclude` names no layer that is pruned, or
            no kernel has blocks.

    Example:
        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d")])
        >>> model.compile("sgd", "mse")
        >>> x, y = np.random.rand(64, 8), np.random.rand(64, 4)
        >>> _ = model.fit(x, y, epochs=8, verbose=0, callbacks=[MagnitudePruning(0.75)])
        >>> int((np.array(model.get_layer("d").kernel) == 0).sum())
        24

        Blocks of two outputs by four taps:

        >>> model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d")])
        >>> model.compile("sgd", "mse")
        >>> pruning = MagnitudePruning(0.5, block=(2, 4))
        >>> _ = model.fit(x, y, epochs=8, verbose=0, callbacks=[pruning])
        >>> kernel = np.array(model.get_layer("d").kernel)
        >>> int((kernel.reshape(2, 4, 2, 2) == 0).all(axis=(1, 3)).sum())
        2

    Source: arXiv 1710.01878; TF-MOT's `prune_low_magnitude`.
    """

    def __init__(
        self,
        final_sparsity: float | None = None,
        *,
        schedule: Callable | None = None,
        block: tuple[int, int] | Blocks | None = None,
        exclude: Collection[str] = (),
    ):
        super().__init__()
        if (final_sparsity is None) == (schedule is None):
            raise ValueError("Give either final_sparsity or schedule.")
        if final_sparsity is not None and not 0 < final_sparsity < 1:
            raise ValueError(f"final_sparsity must lie in (0, 1), got {final_sparsity!r}.")
        if schedule is not None and not callable(schedule):
            raise ValueError(f"schedule must be callable, got {schedule!r}.")
        if block is not None and not callable(block) and not _is_block(block):
            raise ValueError(f"block must be (outputs, taps) or a function, got {block!r}.")
        self.final_sparsity = final_sparsity
        self.schedule = schedule
        self.block = block
        self.exclude = tuple(exclude)
        self._masks: list[Mask] = []
        self._next_step = self._first_step = 0

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Masks the kernels; the zeros of a resumed training are its mask."""
        kernels = prunable_kernels(self.model)
        layers_by_kernel = {name: {name, name.rpartition("/")[0]} for name in kernels}
        unknown = sorted(set(self.exclude).difference(*layers_by_kernel.values()))
        if unknown:
            raise ValueError(
                f"exclude names no layer with a kernel to prune: {', '.join(unknown)}."
            )
        self._next_step = int(read_array(self.model.optimizer.iterations))
        has_trained = self._next_step > 0
        kept = {}
        for name, kernel in kernels.items():
            is_skipped = self._largest(np.ones(kernel.shape), 0.0) is not None
            is_excluded = not layers_by_kernel[name].isdisjoint(self.exclude)
            if is_excluded or not is_skipped:
                continue
            values = read_array(kernel)
            # Resumed: the zeros are the mask. A fresh kernel may be all zeros.
            kept[id(kernel)] = (kernel, (values != 0) | (not has_trained))
        if not kept:
            raise ValueError("The target skips blocks of no kernel of this model: leave block out.")
        self._masks = attach_masks(self.model, kept)
        self._schedule = _fast(self.schedule or self._default_schedule())

    def _largest(self, values: np.ndarray, sparsity: float) -> np.ndarray | None:
        """The mask of a kernel; None if the target skips nothing of it."""
        if self.block is None:
            return largest(values, sparsity)
        return largest_blocks(values, self.block, sparsity)

    def _default_schedule(self) -> PolynomialDecay:
        params = self.params or {}
        if not params.get("steps"):
            raise ValueError(
                "The number of steps of an epoch is unknown; give a schedule in place of "
                "final_sparsity."
            )
        half = max(params["epochs"] * params["steps"] // 2, 1)
        return PolynomialDecay(0.0, self.final_sparsity, 0, half, frequency=max(half // 20, 1))

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Notes the optimizer's steps: within an epoch JAX keeps them apart from the model."""
        self._first_step = int(read_array(self.model.optimizer.iterations))

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        """Prunes at the steps that the schedule names."""
        step = self._first_step + batch
        # Several steps may have passed at once (steps_per_execution).
        due = [self._schedule(passed) for passed in range(self._next_step, step + 1)]
        self._next_step = step + 1
        sparsity = next((float(share) for is_due, share in reversed(due) if is_due), None)
        if sparsity is None:
            return
        attach_weights(self.model)
        for mask in self._masks:
            kept = self._largest(read_array(mask.variable), sparsity)
            if kept is not None:
                mask.update(kept)

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Keeps the zeros where the training step itself cannot."""
        # Keras's property `model` would attach the weights, at every step.
        hold(self._model, self._masks)

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
        The kernels by layer name; a layer inside a block is named `block/layer`. A quantized layer
        has the name of the float layer in it.

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
            is_wrapped = isinstance(layer, (QuantizedConvolution, QuantizedDense))
            visit(inner, _float_prefix(layer, inner) if is_wrapped else inner_prefix)

    for layer in model.layers:
        visit(layer, "")
    return found


def _float_prefix(layer: keras.layers.Layer, inner: keras.layers.Layer) -> str:
    """Where the float layer in a quantized one was: at the top, or in a block."""
    name = layer.name.removeprefix("quantized_")
    return "" if name == inner.name else name.removesuffix(f"_{inner.name}") + "/"


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


def _is_block(block) -> bool:
    is_pair = isinstance(block, (tuple, list)) and len(block) == 2
    return is_pair and all(isinstance(side, int) and side > 0 for side in block)


def _fast(schedule: Callable) -> Callable:
    """Traces a schedule of TF-MOT, which is made of TensorFlow operators: then it costs little."""
    if not type(schedule).__module__.startswith("tensorflow_model_optimization"):
        return schedule
    import tensorflow as tf

    traced = tf.function(schedule)
    return lambda step: traced(tf.constant(step, tf.int64))
