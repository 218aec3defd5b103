"""The real range of one tensor, which sets its int8 scale and zero point: averaged or learned."""

from __future__ import annotations

import math
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
from keras_mobilenet.quantization.precision import ON_HOST, as_tensor, double_precision, to_double
from keras_mobilenet.quantization.replicas import has_replicas, over_replicas

CALIBRATION_BATCHES = 50
"""A learned scale starts from the moving average over so many batches."""

OBSERVED_BATCHES = 10
"""Before rounding is switched on, a range follows the last so many batches, about: while a network
still learns, they tell more of it than older ones. Afterwards they weigh as so many."""


@keras.saving.register_keras_serializable(package="keras_mobilenet")
class QuantizationRange(keras.layers.Layer):
    """The trained real range of one tensor, and the rounding to int8 that follows from it.

    Args:
        momentum: The weight of the past in the moving average of batch minima and maxima; None
            keeps the extremes of all batches, which suits inputs with hard bounds such as pixels.
        learns_step: Whether the scale is learned by gradient descent (LSQ) once the moving average
            has seen `CALIBRATION_BATCHES`; the zero point stays. The optimizer sees the logarithm
            of the scale's factor, so that one learning rate suits tensors of any unit.
        is_quantizing: Whether it rounds. Until then it only observes, and a tensor passes as it is.
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

    def __init__(
        self,
        momentum: float | None = 0.99,
        learns_step: bool = False,
        is_quantizing: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.momentum = momentum
        self.learns_step = learns_step
        self.is_quantizing = is_quantizing
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
            frozen = _number(self.log_factor)
            # Momentum would move it on even with a zero gradient.
            self.log_factor.constraint = lambda _: ops.convert_to_tensor(frozen)

    def limits(self) -> tuple[KerasTensor, KerasTensor]:
        """The real range as tensors that follow training.

        Returns:
            `(range_min, range_max)`: scalar float tensors.
        """
        leader = self.leader()
        limits = (as_tensor(leader.range_min), as_tensor(leader.range_max))
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
        factor = ops.exp(as_tensor(leader.log_factor)) if leader.learns_step else 1.0
        limits = (leader.range_min, leader.range_max)
        low, high = (ops.stop_gradient(as_tensor(limit) * factor) for limit in limits)
        return low, high

    def call(self, x: KerasTensor, training: bool | None = None) -> KerasTensor:
        """Fake-quantizes the tensor."""
        leader = self.leader()
        if training and leader is self and not self.is_frozen:
            self._observe(x)
        if not self.is_quantizing:
            learns = training and leader is self and self.learns_step
            return with_zero_gradient(x, as_tensor(self.log_factor)) if learns else x
        if not training:
            with double_precision():
                return fake_quant_activation(x, *(to_double(limit) for limit in self.limits()))
        if leader.learns_step:
            is_learning = 0.0
            if not leader.is_frozen:
                is_learning = ops.cast(leader.num_batches >= CALIBRATION_BATCHES, x.dtype)
            quantized = learned_fake_quant(
                x,
                as_tensor(leader.log_factor),
                as_tensor(leader.range_min),
                as_tensor(leader.range_max),
                is_learning,
            )
        else:
            quantized = fake_quant_activation(x, *self.trained_limits())
        if leader is self:
            return quantized
        # The leader sees its first batch after this tensor has passed.
        return ops.where(leader.num_batches > 0, quantized, x)

    def _observe(self, x) -> None:
        if not (self.learns_step and self.is_quantizing) or has_replicas():
            self._follow_batch(*over_replicas(ops.min(x), ops.max(x)))
            return
        # Where the scale is learned, two passes over the tensor are saved in every step.
        is_calibrating = as_tensor(self.num_batches) < CALIBRATION_BATCHES
        limits = ops.cond(
            is_calibrating,
            lambda: (ops.min(x), ops.max(x)),
            lambda: (as_tensor(self.range_min), as_tensor(self.range_max)),
        )
        self._follow_batch(*limits)

    def _follow_batch(self, batch_min, batch_max) -> None:
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
            new_min = ops.where(is_calibrating, new_min, as_tensor(self.range_min))
            new_max = ops.where(is_calibrating, new_max, as_tensor(self.range_max))
        self.range_min.assign(new_min)
        self.range_max.assign(new_max)
        num_batches = self.num_batches + 1.0
        if not self.is_quantizing:
            num_batches = ops.minimum(num_batches, OBSERVED_BATCHES)
        self.num_batches.assign(num_batches)

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
        return self.leader().built and _number(self.leader().num_batches) > 0

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
        self.num_batches.assign(max(_number(self.num_batches), 1.0))
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
        leader = self.leader()
        # On the host: the same range gives the same numbers on every machine.
        factor = math.exp(_number(leader.log_factor)) if leader.learns_step else 1.0
        limits = (leader.range_min, leader.range_max)
        return nudged_parameters(*(_number(limit) * factor for limit in limits))

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """The shape of the output, batch first."""
        return input_shape

    def get_config(self) -> dict:
        """The arguments that make the same layer again."""
        return super().get_config() | {
            "momentum": self.momentum,
            "learns_step": self.learns_step,
            "is_quantizing": self.is_quantizing,
        }


@ops.custom_gradient
def with_zero_gradient(x, variable):
    """Gives a tensor as it is, and a variable that it does not depend on a gradient of zero.

    An optimizer that knows a variable warns, or ends in an error, where it has no gradient.

    Args:
        x: The tensor.
        variable: The value of the variable, a scalar tensor.

    Returns:
        The tensor, and its gradients by Keras's convention.

    Example:
        >>> float(with_zero_gradient(ops.convert_to_tensor(3.0), ops.convert_to_tensor(2.0)))
        3.0
    """

    def gradient(*args, upstream=None):
        return (args[0] if upstream is None else upstream), ops.zeros_like(variable)

    return x, gradient


def _number(variable: keras.Variable) -> float:
    return float(ON_HOST.double(variable))
