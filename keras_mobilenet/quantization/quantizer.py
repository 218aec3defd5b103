"""The real range of one tensor, which sets its int8 scale and zero point: averaged or learned."""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import KerasTensor, ops

from keras_mobilenet.quantization.fake_quant import (
    SMALLEST_RANGE,
    fake_quant_activation,
    int8_parameters,
    learned_fake_quant,
    nudged_parameters,
)
from keras_mobilenet.quantization.precision import double_precision, to_double
from keras_mobilenet.quantization.replicas import over_replicas

CALIBRATION_BATCHES = 50
"""A learned scale starts from the moving average over so many batches."""


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class QuantizationRange(keras.layers.Layer):
    """The trained real range of one tensor, and the rounding to int8 that follows from it.

    Args:
        momentum: The weight of the past in the moving average of batch minima and maxima; None
            keeps the extremes of all batches, which suits inputs with hard bounds such as pixels.
        learns_step: Whether the scale is learned by gradient descent (LSQ) once the moving average
            has seen `CALIBRATION_BATCHES`; the zero point stays. The optimizer sees the logarithm
            of the scale's factor, so that one learning rate suits tensors of any unit.
        **kwargs: The arguments of every Keras layer, such as `name`.

    Call arguments:
        x: Float tensor of any shape.
        training: Whether the range follows this batch.

    Returns:
        Float tensor of the shape of `x`: the real values of the int8 tensor.

    Example:
        >>> tensor_range = QuantizationRange()
        >>> _ = tensor_range(ops.array([0.0, 5.1]), training=True)
        >>> scale, zero_point = tensor_range.scale_and_zero_point()
        >>> round(scale, 7), zero_point
        (0.02, -128)

    Source: arXiv 1712.05877, section 3.1 (moving average); arXiv 1902.08153 (LSQ);
        arXiv 1903.08066, section 3.2 (learning in the logarithm).
    """

    def __init__(self, momentum: float | None = 0.99, learns_step: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.learns_step = learns_step
        self.is_frozen = False
        self._leader: Callable[[], QuantizationRange] | None = None

    def build(self, input_shape: tuple) -> None:
        """Creates the limits and the batch count."""
        self.range_min = self._add_range("range_min")
        self.range_max = self._add_range("range_max")
        self.num_batches = self._add_range("num_batches")
        if self.learns_step:
            self.log_factor = self._add_range("log_factor", trainable=True)

    def _add_range(self, name: str, trainable: bool = False):
        return self.add_weight(
            shape=(), initializer="zeros", trainable=trainable, aggregation="mean", name=name
        )

    def follow(self, leader: QuantizationRange) -> None:
        """Takes over another tensor's scale and zero point, as the inputs of a concatenation must.

        Args:
            leader: The range that this one follows from now on.
        """
        # A closure: a range that is tracked twice would be saved twice.
        self._leader = lambda: leader
        self.trainable = False

    # No property: Keras's saving walks properties, and would walk this one for ever.
    def leader(self) -> QuantizationRange:
        """The range that sets the scale and zero point.

        Returns:
            This range, or the one that it follows.
        """
        return self if self._leader is None else self._leader().leader()

    def freeze(self) -> None:
        """Keeps the range as it is from the next traced step on."""
        self.is_frozen = True
        if self.learns_step and self.log_factor.constraint is None:
            frozen = float(_read(self.log_factor))
            # Momentum would move it on even with a zero gradient.
            self.log_factor.constraint = lambda _: ops.convert_to_tensor(frozen)

    def limits(self) -> tuple[KerasTensor, KerasTensor]:
        """The real range as tensors that follow training.

        Returns:
            `(range_min, range_max)`: scalar float tensors.
        """
        leader = self.leader()
        limits = (_read(leader.range_min), _read(leader.range_max))
        if not leader.learns_step:
            return limits
        with double_precision():
            # Each compiler has its own float32 exponential.
            factor = ops.exp(to_double(leader.log_factor))
            low, high = (ops.cast(to_double(limit) * factor, "float32") for limit in limits)
        return low, high

    def trained_limits(self) -> tuple[KerasTensor, KerasTensor]:
        """The real range as a training step needs it: in single precision, without a gradient.

        Returns:
            `(range_min, range_max)`: scalar float tensors.
        """
        leader = self.leader()
        factor = ops.exp(_read(leader.log_factor)) if leader.learns_step else 1.0
        limits = (leader.range_min, leader.range_max)
        low, high = (ops.stop_gradient(_read(limit) * factor) for limit in limits)
        return low, high

    def call(self, x: KerasTensor, training: bool | None = None) -> KerasTensor:
        """Fake-quantizes the tensor."""
        leader = self.leader()
        if not training:
            with double_precision():
                return fake_quant_activation(x, *(to_double(limit) for limit in self.limits()))
        if leader is self and not self.is_frozen:
            self._observe(x)
        if leader.learns_step:
            is_learning = 0.0
            if not leader.is_frozen:
                is_learning = ops.cast(leader.num_batches >= CALIBRATION_BATCHES, x.dtype)
            quantized = learned_fake_quant(
                x,
                _read(leader.log_factor),
                _read(leader.range_min),
                _read(leader.range_max),
                is_learning,
            )
        else:
            quantized = fake_quant_activation(x, *self.trained_limits())
        if leader is self:
            return quantized
        # The leader sees its first batch after this tensor has passed.
        return ops.where(leader.num_batches > 0, quantized, x)

    def _observe(self, x) -> None:
        batch_min, batch_max = over_replicas(ops.min(x), ops.max(x))
        batch_min = ops.minimum(batch_min, 0.0)
        batch_max = ops.maximum(ops.maximum(batch_max, batch_min + SMALLEST_RANGE), 0.0)
        if self.momentum is None:
            new_min = ops.minimum(self.range_min, batch_min)
            new_max = ops.maximum(self.range_max, batch_max)
        else:
            # A plain mean until the moving average has enough history: no start-up bias.
            past = ops.minimum(self.momentum, self.num_batches / (self.num_batches + 1.0))
            new_min = past * self.range_min + (1.0 - past) * batch_min
            new_max = past * self.range_max + (1.0 - past) * batch_max
        if self.learns_step:
            is_calibrating = self.num_batches < CALIBRATION_BATCHES
            new_min = ops.where(is_calibrating, new_min, _read(self.range_min))
            new_max = ops.where(is_calibrating, new_max, _read(self.range_max))
        self.range_min.assign(new_min)
        self.range_max.assign(new_max)
        self.num_batches.assign_add(1.0)

    def scale(self) -> KerasTensor:
        """The int8 scale, as a tensor that follows the range.

        Returns:
            Scalar float tensor.
        """
        return self._int8_parameters()[0]

    def zero_point(self) -> KerasTensor:
        """The int8 zero point, as a tensor that follows the range.

        Returns:
            Scalar float tensor, a whole number in [-128, 127].
        """
        return self._int8_parameters()[1]

    def _int8_parameters(self) -> tuple[KerasTensor, KerasTensor]:
        with double_precision():
            # As the file has them, from the same limits.
            scale, zero_point = int8_parameters(*(to_double(limit) for limit in self.limits()))
            return ops.cast(scale, "float32"), ops.cast(zero_point, "float32")

    @property
    def is_trained(self) -> bool:
        """Whether at least one training batch has set the range."""
        return self.leader().built and float(_read(self.leader().num_batches)) > 0

    def set_limits(self, range_min: float, range_max: float) -> None:
        """Sets the range to fixed values, as if a batch had.

        Args:
            range_min: The smallest real value, at most 0.
            range_max: The largest real value, at least 0 and above `range_min`.

        Raises:
            ValueError: If the range is empty or does not hold zero.
        """
        nudged_parameters(range_min, range_max)
        self.range_min.assign(range_min)
        self.range_max.assign(range_max)
        self.num_batches.assign(max(float(_read(self.num_batches)), 1.0))
        if self.learns_step:
            self.log_factor.assign(0.0)

    def scale_and_zero_point(self) -> tuple[float, int]:
        """The int8 quantization parameters of the range.

        Returns:
            `(scale, zero_point)` as in `nudged_parameters`.

        Raises:
            ValueError: If no training batch has set the range.
        """
        if not self.is_trained:
            raise ValueError(f"The range {self.path!r} has seen no training batch.")
        return nudged_parameters(*(float(limit) for limit in self.limits()))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {"momentum": self.momentum, "learns_step": self.learns_step}


def _read(variable: keras.Variable) -> KerasTensor:
    return ops.convert_to_tensor(variable)
