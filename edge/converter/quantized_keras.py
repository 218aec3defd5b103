"""A quantization-aware Keras model, layer by layer, as the int8 graph that it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from edge.errors import ConversionError
from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.tensors import int4_bytes
from edge.tflite.windows import same_padding

SOFTMAX_OUTPUT = Quantization((1 / 256,), (-128,), 0)
"""Fixed by the TFLite 8-bit quantization specification."""

RESHAPING = ("Flatten", "Reshape")
CURVES = {"hard_swish": "HARD_SWISH", "sigmoid": "LOGISTIC", "tanh": "TANH"}
FUSED = {"linear": "NONE", "relu": "RELU", "relu6": "RELU6"}


def quantized_tflite(model: Any) -> bytes:
    """Writes a trained quantization-aware model as an int8 .tflite.

    Weights are rounded as the layers round them, ranges are the trained ones. No converter of
    TensorFlow's takes part.

    Args:
        model: A quantization-aware functional Keras model whose ranges are trained.

    Returns:
        The file's bytes: int8 input and output, batch 1.

    Raises:
        ConversionError: If a layer has no int8 operator.

    Example:
        >>> import keras, keras_mobilenet
        >>> inputs = keras.Input((4,))
        >>> twin = keras_mobilenet.quantize_model(
        ...     keras.Model(inputs, keras.layers.Dense(2)(inputs)))
        >>> _ = twin(np.ones((2, 4), "float32"), training=True)
        >>> from edge.tflite.reader import read_graph
        >>> read_graph(quantized_tflite(twin)).op_names()
        ['FULLY_CONNECTED']

    Source: the TFLite 8-bit quantization specification.
    """
    from keras_mobilenet.quantization.float_graph import flat_calls

    calls, source, result = flat_calls(model)
    builder = _Builder()
    places: dict[int, int] = {}
    # What is ahead of the int8 input does nothing in inference.
    ahead = {source}
    for call in calls:
        readers = [other.layer for other in calls if call.result in other.sources]
        readers += [None] if call.result == result else []
        inputs = [places[x] for x in call.sources if x in places]
        if inputs and _is_absorbed(call.layer, readers):
            (places[call.result],) = inputs
            if type(call.layer).__name__ == "ZeroPadding2D":
                builder.padded.update(map(id, readers))
        elif inputs:
            places[call.result] = builder.append(call.layer, inputs)
        elif call.sources[0] in ahead and _writer(call.layer) is _nothing:
            ahead.add(call.result)
        elif call.sources[0] in ahead and type(call.layer).__name__ == "QuantizedTensor":
            shape = (1, *model.input_shape[1:])
            places[call.result] = builder.activation("input", shape, _trained(call.layer))
        else:
            raise _no_operator(call.layer)
    graph = Graph(
        tensors=tuple(builder.tensors),
        operators=tuple(builder.operators),
        inputs=(0,),
        outputs=(places[result],),
        content=b"",
    )
    return graph_bytes(graph)


def _is_absorbed(layer: Any, readers: list[Any]) -> bool:
    """Whether those that read what a layer moves can do without it."""
    kinds = {type(reader).__name__ for reader in readers}
    if type(layer).__name__ in RESHAPING:
        # FULLY_CONNECTED reads an image as the row of numbers that it is.
        reads_numbers = {"QuantizedDense"} if len(layer.output.shape) == 2 else set()
        return kinds <= {*RESHAPING, *reads_numbers}
    if type(layer).__name__ == "ZeroPadding2D":
        return kinds == {"QuantizedConvolution"} and all(_pads_itself(r, layer) for r in readers)
    return False


def _pads_itself(layer: Any, padding: Any) -> bool:
    """Whether a convolution with padding SAME needs no ZeroPadding2D before it."""
    convolution = layer.convolution
    steps = (convolution.kernel_size, convolution.strides, convolution.dilation_rate)
    sides = zip(padding.input.shape[1:3], padding.padding, *steps, strict=True)
    return convolution.padding == "valid" and all(
        tuple(pads) == same_padding(size, -(-size // stride), (window - 1) * dilation + 1, stride)
        for size, pads, window, stride, dilation in sides
    )


class _Builder:
    """The tensors and operators so far."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.padded: set[int] = set()
        """The layers that take the padding before them into themselves."""

    def append(self, layer: Any, inputs: list[int]) -> int:
        """Adds what a layer computes; returns its output."""
        write = _writer(layer)
        if write is None:
            raise _no_operator(layer)
        return write(self, layer, inputs)

    def activation(self, name: str, shape: Sequence[int], quantization: Quantization) -> int:
        """Adds the tensor of an activation."""
        return self._tensor(name, shape, "int8", quantization, None)

    def constant(
        self, name: str, values: np.ndarray, quantization: Quantization | None = None
    ) -> int:
        """Adds the tensor of a constant."""
        data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        return self._tensor(name, values.shape, str(values.dtype), quantization, data)

    def kernel(self, name: str, values: np.ndarray, quantization: Quantization, bits: int) -> int:
        """Adds the tensor of a layer's weights, which have eight bits or four."""
        name = f"{name}/kernel"
        if bits == 8:
            return self.constant(name, values, quantization)
        return self._tensor(name, values.shape, "int4", quantization, int4_bytes(values))

    def _tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: str,
        quantization: Quantization | None,
        data: np.ndarray | None,
    ) -> int:
        index = len(self.tensors)
        sides = tuple(int(side) for side in shape)
        self.tensors.append(
            Tensor(
                index=index,
                name=name,
                shape=sides,
                dtype=dtype,
                quantization=quantization,
                data=data,
            )
        )
        return index

    def operator(
        self,
        opcode: str,
        layer: Any,
        inputs: Sequence[int],
        options: dict[str, Any],
        quantization: Quantization | None = None,
        shape: Sequence[int] | None = None,
    ) -> int:
        """Adds an operator; its output keeps the input's scale, and the layer's shape, where none
        is given."""
        if quantization is None:
            quantization = self.tensors[inputs[0]].quantized()
        output = self.activation(layer.name, shape or (1, *layer.output.shape[1:]), quantization)
        index = len(self.operators)
        self.operators.append(
            Operator(
                index=index,
                opcode=opcode,
                inputs=tuple(inputs),
                outputs=(output,),
                options=options,
            )
        )
        return output

    def scale(self, tensor: int) -> float:
        """The scale of a tensor that has one."""
        return self.tensors[tensor].quantized().scales[0]


def _no_operator(layer: Any) -> ConversionError:
    kind = type(layer).__name__
    return ConversionError(f"Layer {layer.name!r} ({kind}) has no int8 operator: leave it out.")


def _trained(layer: Any) -> Quantization:
    """The trained range of a layer's output."""
    scale, zero_point = layer.output_range.leader().scale_and_zero_point()
    return Quantization((scale,), (zero_point,), 0)


def _weights(builder: _Builder, layer: Any, source: int, axis: int) -> list[int]:
    """The kernel in TFLite's order, and a bias in units of the input's scale times the kernel's."""
    weights = layer.int8_weights()
    scales = weights.scales.reshape(-1)
    points = (0,) * len(scales)
    kernel_quantization = Quantization(tuple(map(float, scales)), points, axis)
    kernel = builder.kernel(layer.name, weights.kernel, kernel_quantization, weights.bits)
    scale = builder.scale(source)
    # In double precision, as the layer adds it.
    bias = np.round(weights.bias.astype(np.float64) / (scale * scales.astype(np.float64)))
    limits = np.iinfo(np.int32)
    values = np.clip(bias, limits.min, limits.max).astype(np.int32)
    products = np.float32(scale) * scales
    bias_quantization = Quantization(tuple(map(float, products)), points, 0)
    return [kernel, builder.constant(f"{layer.name}/bias", values, bias_quantization)]


def _convolution(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    opcode = "DEPTHWISE_CONV_2D" if layer.is_depthwise else "CONV_2D"
    convolution = layer.convolution
    options = {
        "stride": tuple(convolution.strides),
        "dilation": tuple(convolution.dilation_rate),
        "padding": "SAME" if id(layer) in builder.padded else convolution.padding.upper(),
        "activation": FUSED[layer.activation],
    }
    weights = _weights(builder, layer, inputs[0], 3 if layer.is_depthwise else 0)
    return builder.operator(opcode, layer, [*inputs, *weights], options, _trained(layer))


def _dense(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    options = {"activation": FUSED[layer.activation]}
    weights = _weights(builder, layer, inputs[0], 0)
    return builder.operator("FULLY_CONNECTED", layer, [*inputs, *weights], options, _trained(layer))


def _add(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    options = {"activation": FUSED[layer.activation]}
    return builder.operator("ADD", layer, inputs, options, _trained(layer))


def _concatenate(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    options = {"axis": layer.axis % len(layer.output.shape), "activation": "NONE"}
    return builder.operator("CONCATENATION", layer, inputs, options, _trained(layer))


def _mean(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    source = builder.tensors[inputs[0]]
    if source.shape[1:3] == (1, 1) and source.quantization == _trained(layer):
        # Of a single pixel, which keeps its scale: a MobileNet for small images ends so.
        return _reshape(builder, layer, inputs)
    axes = builder.constant(f"{layer.name}/axes", np.array([1, 2], np.int32))
    options = {"keep_dims": layer.keepdims}
    return builder.operator("MEAN", layer, [*inputs, axes], options, _trained(layer))


def _maximum(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    """A pool over the whole image, which the engine has a kernel for, and TFLite Micro a faster one
    than of REDUCE_MAX."""
    _, height, width, channels = builder.tensors[inputs[0]].shape
    window = {"filter": (height, width), "stride": (1, 1), "padding": "VALID", "activation": "NONE"}
    shape = (1, 1, 1, channels)
    pooled = builder.operator("MAX_POOL_2D", layer, inputs, window, shape=shape)
    return pooled if layer.keepdims else _reshape(builder, layer, [pooled])


def _pool(opcode: str) -> Write:
    def write(builder: _Builder, layer: Any, inputs: list[int]) -> int:
        options = {
            "filter": tuple(layer.pool_size),
            "stride": tuple(layer.strides),
            "padding": layer.padding.upper(),
            "activation": "NONE",
        }
        return builder.operator(opcode, layer, inputs, options)

    return write


def _activation(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    trained = _trained(layer)
    if layer.activation in CURVES:
        return builder.operator(CURVES[layer.activation], layer, inputs, {}, trained)
    # Where the trained range ends where the activation does, int8 itself cuts off.
    top = trained.scales[0] * (127 - trained.zero_points[0])
    is_cut = layer.activation == "relu" or top <= 6 + trained.scales[0] / 2
    if trained.zero_points != (-128,) or not is_cut:
        # At the input's scale: TFLite Micro's RELU6 does not rescale.
        inputs = [builder.operator(FUSED[layer.activation], layer, inputs, {})]
    return builder.operator("QUANTIZE", layer, inputs, {}, trained)


def _leaky_relu(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    options = {"alpha": layer.negative_slope}
    return builder.operator("LEAKY_RELU", layer, inputs, options, _trained(layer))


def _padding(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    pads = np.array([(0, 0), *layer.padding, (0, 0)], np.int32)
    return builder.operator(
        "PAD", layer, [*inputs, builder.constant(f"{layer.name}/pads", pads)], {}
    )


def _reshape(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    shape = (1, *layer.output.shape[1:])
    if builder.tensors[inputs[0]].shape == shape:
        return inputs[0]
    target = builder.constant(f"{layer.name}/shape", np.array(shape, np.int32))
    return builder.operator("RESHAPE", layer, [*inputs, target], {})


def _softmax(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    if getattr(layer, "axis", -1) not in (-1, len(layer.output.shape) - 1):
        raise _no_operator(layer)
    return builder.operator("SOFTMAX", layer, inputs, {"beta": 1.0}, SOFTMAX_OUTPUT)


def _named(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    """An Activation that no operator takes into itself."""
    write = {"linear": _nothing, "softmax": _softmax}.get(layer.activation.__name__)
    if write is None:
        raise _no_operator(layer)
    return write(builder, layer, inputs)


def _writer(layer: Any) -> Write | None:
    from keras_mobilenet.preprocessing.first_layers import AUGMENTATIONS

    return _nothing if isinstance(layer, AUGMENTATIONS) else WRITERS.get(type(layer).__name__)


def _nothing(builder: _Builder, layer: Any, inputs: list[int]) -> int:
    """What a layer computes in inference that only training sees."""
    return inputs[0]


Write = Callable[[_Builder, Any, list[int]], int]

WRITERS: dict[str, Write] = {
    "QuantizedConvolution": _convolution,
    "QuantizedDense": _dense,
    "QuantizedAdd": _add,
    "QuantizedConcatenate": _concatenate,
    "QuantizedMean": _mean,
    "QuantizedAveragePooling": _pool("AVERAGE_POOL_2D"),
    "QuantizedActivation": _activation,
    "QuantizedCurve": _activation,
    "QuantizedLeakyReLU": _leaky_relu,
    "MaxPooling2D": _pool("MAX_POOL_2D"),
    "GlobalMaxPooling2D": _maximum,
    "ZeroPadding2D": _padding,
    "Flatten": _reshape,
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Activation": _named,
    "Dropout": _nothing,
    "SpatialDropout2D": _nothing,
    "Identity": _nothing,
    "SpatialDropout1D": _nothing,
    "AlphaDropout": _nothing,
    "ActivityRegularization": _nothing,
}
"""By the layer's class: what writes its int8 operator."""
