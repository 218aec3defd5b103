"""Channel groups: which channels belong together, and must be removed together."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from keras import layers

from keras_mobilenet.models.block import Block
from keras_mobilenet.quantization.float_graph import Call, flat_calls
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense
from keras_mobilenet.quantization.layers.merging import QuantizedAdd, QuantizedConcatenate
from keras_mobilenet.quantization.scheme import unsupported

Key = tuple[int, int]
"""One channel: the identity (`id`) of the kernel that makes it, and its index there."""


@dataclasses.dataclass
class Stage:
    """A convolution or matrix product of the network.

    Attributes:
        kernel: The identity (`id`) of its kernel.
        pixels: The number of pixels of its output, height times width.
        taps: The number of taps of its kernel, height times width.
        reads: The numbers of the channels that it reads, an integer array.
        writes: The numbers of the channels that it writes, an integer array.
        is_depthwise: Whether each output channel reads one input channel.
        has_bias: Whether int8 inference adds a bias: its own or that of a batch normalization.
    """

    kernel: int
    pixels: int
    taps: int
    reads: np.ndarray
    writes: np.ndarray
    is_depthwise: bool
    has_bias: bool


@dataclasses.dataclass(frozen=True)
class Step:
    """One layer call, as int8 inference allocates memory for it.

    Attributes:
        sources: The identities (`id`) of the tensors that it reads.
        result: The identity of the tensor that it writes.
        has_own_tensor: Whether int8 inference allocates a tensor for its result; a fused layer and
            one that only renames its input have none.
    """

    sources: tuple[int, ...]
    result: int
    has_own_tensor: bool


_WITHOUT_TENSOR = {
    *("BatchNormalization", "ReLU", "Activation", "Relu", "Relu6"),
    *("Reshape", "Flatten", "Dropout", "SpatialDropout2D", "Identity"),
}
"""The layers that fuse into the one before, or only rename its output."""


class ChannelGroups:
    """The channels of a network in groups; channels that an addition joins share a number.

    Args:
        model: A built functional or Sequential model of supported layers, float or
            quantization-aware.

    Attributes:
        calls: The network's layer calls.
        source: The identity (`id`) of the network's input tensor.
        result: The identity of the network's output tensor.
        labels: The numbers of each tensor's channels, by the tensor's identity.
        axes: The channels along each weight's axes, `(variable, {axis: numbers})` by the weight's
            identity.
        outputs: The weights, by their identity, whose last-axis channels must be zero where pruned.
        shapes: The shape of each tensor, without the batch, by the tensor's identity.
        stages: The convolutions and matrix products in order.
        steps: The layer calls in order, as int8 inference allocates memory for them.
        groups: The joint numbers of the channels that may be removed; a group holds those of one
            layer, or of layers whose outputs are added.
        count: The number of all channels.

    Raises:
        UnsupportedLayerError: If a layer's channels cannot be followed.

    Example:
        >>> model = keras.Sequential(
        ...     [keras.Input((8, 8, 3)), layers.Conv2D(8, 3), layers.Conv2D(4, 1)])
        >>> channels = ChannelGroups(model)
        >>> [len(numbers) for numbers in channels.groups]
        [8]
    """

    def __init__(self, model: keras.Model):
        self.calls, source, result = flat_calls(model)
        self.source, self.result = source, result
        self._numbers: dict[Key, int] = {}
        self._parents: list[int] = []
        self._makers: list[int] = []
        self.axes: dict[int, tuple] = {}
        self.outputs: dict[int, keras.Variable] = {}
        self.stages: list[Stage] = []
        self.steps: list[Step] = []
        self._fixed: set[int] = set()
        shape = model.inputs[0].shape[1:]
        self.labels = {source: self._make(source, shape[-1])}
        self.shapes: dict[int, tuple] = {source: tuple(shape)}
        self._fixed.update(self.labels[source])
        for call in self.calls:
            self._follow(call)
        self._fixed.update(self.labels[result])
        self.count = len(self._parents)
        self._roots = np.array([self._root(number) for number in range(self.count)])
        self.groups = self._groups()

    def _make(self, maker: int, count: int) -> np.ndarray:
        numbers = []
        for place in range(count):
            if (maker, place) not in self._numbers:
                self._numbers[maker, place] = len(self._parents)
                self._parents.append(len(self._parents))
                self._makers.append(maker)
            numbers.append(self._numbers[maker, place])
        return np.array(numbers)

    def _root(self, number: int) -> int:
        while self._parents[number] != number:
            number = self._parents[number]
        return number

    def roots(self, numbers: np.ndarray) -> np.ndarray:
        """Looks up the joint number of each channel.

        Args:
            numbers: The channels' numbers, an integer array of any shape.

        Returns:
            Integer array of the same shape.
        """
        return self._roots[numbers]

    def _groups(self) -> list[np.ndarray]:
        by_maker: dict[int, set[int]] = {}
        for number, maker in enumerate(self._makers):
            by_maker.setdefault(maker, set()).add(int(self._roots[number]))
        groups: list[set[int]] = []
        for members in by_maker.values():
            for other in [group for group in groups if group & members]:
                members = members | other
                groups.remove(other)
            groups.append(members)
        fixed = set(self._roots[sorted(self._fixed)].tolist())
        return [np.array(sorted(group)) for group in groups if not group & fixed]

    def keys(self) -> dict[Key, int]:
        """Lists the joint number of every channel.

        Returns:
            The joint number by `(kernel, index)`; the keys are the same in a float network and its
            quantization-aware twin.
        """
        return {key: int(self._roots[number]) for key, number in self._numbers.items()}

    def output_axis(self, variable: keras.Variable) -> tuple[int, np.ndarray]:
        """Finds the axis along which the output channels of a weight lie.

        Args:
            variable: One of the weights in `outputs`.

        Returns:
            `(axis, numbers)`: the axis, and the numbers of the channels along it.
        """
        _, axes = self.axes[id(variable)]
        axis = max(axes)
        return axis, axes[axis]

    def _follow(self, call: Call) -> None:
        layer = call.layer
        inputs = [self.labels[source] for source in call.sources]
        shapes = [self.shapes[source] for source in call.sources]
        numbers, shape = inputs[0], shapes[0]
        output = _output_shape(layer, shapes)
        if isinstance(layer, Block):
            stages = layer.fusable_stages()
            sources = call.sources
            if layer.zero_padding is not None:
                shape = layer.padded_shape((None, *shape))[1:]
                self._step(sources, id(layer), numbers, shape)
                sources = (id(layer),)
            for convolution, batch_norm, _ in stages:
                shape = tuple(convolution.compute_output_shape((None, *shape))[1:])
                numbers = self._convolution(convolution, batch_norm, numbers, shape)
                is_last = convolution is stages[-1][0]
                result = call.result if is_last else id(convolution)
                self._step(sources, result, numbers, shape)
                sources = (result,)
            return
        elif isinstance(layer, QuantizedConvolution):
            numbers = self._convolution(layer.convolution, layer.batch_norm, numbers, output)
            self._weight_steps(layer, numbers)
        elif isinstance(layer, layers.SeparableConv2D):
            raise unsupported(layer, "channels are pruned in Conv2D; write it as two layers.")
        elif isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            numbers = self._convolution(layer, None, numbers, output)
        elif isinstance(layer, layers.Dense | QuantizedDense):
            dense = layer.dense if isinstance(layer, QuantizedDense) else layer
            numbers = self._dense(dense, numbers)
            self._weight_steps(layer, numbers)
        elif isinstance(layer, layers.BatchNormalization):
            self._batch_norm(layer, numbers)
        elif isinstance(layer, layers.Concatenate | QuantizedConcatenate):
            if layer.axis not in (-1, len(shape)):
                raise unsupported(layer, "channels can be followed along the last axis only.")
            numbers = np.concatenate(inputs)
        elif isinstance(layer, layers.Add | QuantizedAdd) or type(layer).__name__ == "Add":
            for other in inputs[1:]:
                for a, b in zip(numbers, other, strict=True):
                    self._parents[self._root(a)] = self._root(b)
        elif isinstance(layer, layers.Flatten | layers.Reshape):
            numbers = self._reshape(numbers, shape, output)
        has_own_tensor = type(layer).__name__ not in _WITHOUT_TENSOR
        self._step(call.sources, call.result, numbers, output, has_own_tensor=has_own_tensor)

    def _step(self, sources, result, numbers, shape, *, has_own_tensor=True) -> None:
        self.labels[result] = numbers
        self.shapes[result] = shape
        self.steps.append(Step(sources, result, has_own_tensor))

    def _convolution(self, convolution, batch_norm, numbers, output) -> np.ndarray:
        kernel = convolution.kernel
        is_depthwise = isinstance(convolution, layers.DepthwiseConv2D)
        reads = numbers
        if is_depthwise:
            self.axes[id(kernel)] = (kernel, {2: reads})
            if convolution.depth_multiplier != 1:
                # Its outputs stay or go with its inputs, several at a time.
                numbers = np.repeat(reads, convolution.depth_multiplier)
                self._fixed.update(reads)
        else:
            if convolution.groups != 1:
                raise unsupported(convolution, "channels of a grouped convolution stay together.")
            numbers = self._make(id(kernel), convolution.filters)
            self.axes[id(kernel)] = (kernel, {2: reads, 3: numbers})
            self.outputs[id(kernel)] = kernel
        if convolution.use_bias:
            self._vector(convolution.bias, numbers)
        if batch_norm is not None:
            self._batch_norm(batch_norm, numbers)
        self.stages.append(
            Stage(
                kernel=id(kernel),
                pixels=int(np.prod(output[:-1])),
                taps=int(np.prod(convolution.kernel_size)),
                reads=reads,
                writes=numbers,
                is_depthwise=is_depthwise,
                has_bias=convolution.use_bias or batch_norm is not None,
            )
        )
        return numbers

    def _dense(self, dense, numbers) -> np.ndarray:
        writes = self._make(id(dense.kernel), dense.units)
        self.axes[id(dense.kernel)] = (dense.kernel, {0: numbers, 1: writes})
        self.outputs[id(dense.kernel)] = dense.kernel
        if dense.use_bias:
            self._vector(dense.bias, writes)
        self.stages.append(
            Stage(
                kernel=id(dense.kernel),
                pixels=1,
                taps=1,
                reads=numbers,
                writes=writes,
                is_depthwise=False,
                has_bias=dense.use_bias,
            )
        )
        return writes

    def _weight_steps(self, layer, numbers) -> None:
        """The learned steps of weights of four bits: one for each output channel."""
        if getattr(layer, "has_weight_steps", False):
            factors = layer.log_weight_factors
            if factors.shape == (len(numbers),):
                self.axes[id(factors)] = (factors, {0: numbers})

    def _batch_norm(self, norm, numbers) -> None:
        if norm.scale:
            self._vector(norm.gamma, numbers)
        if norm.center:
            self._vector(norm.beta, numbers)
        if not norm.scale:
            # Without gamma a channel of zeros comes out as minus its old mean.
            self._fixed.update(numbers)
        for variable in (norm.moving_mean, norm.moving_variance):
            self.axes[id(variable)] = (variable, {0: numbers})
        # One that stands by itself gives the folded kernel before it a bias.
        if self.stages and self.stages[-1].writes is numbers:
            self.stages[-1].has_bias = True

    def _vector(self, variable, numbers) -> None:
        self.axes[id(variable)] = (variable, {0: numbers})
        self.outputs[id(variable)] = variable

    def _reshape(self, numbers, shape, output) -> np.ndarray:
        spread = np.broadcast_to(numbers, shape).reshape(-1, output[-1])
        if (spread == spread[0]).all():
            return spread[0].copy()
        self._fixed.update(numbers)
        return self._make(id(numbers), output[-1])


def _output_shape(layer, shapes: list[tuple]) -> tuple:
    if not isinstance(layer, keras.layers.Layer):
        return shapes[0]
    batched = [(None, *shape) for shape in shapes]
    shape = layer.compute_output_shape(batched if len(batched) > 1 else batched[0])
    return tuple(shape[1:])
