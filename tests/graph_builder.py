"""Builds int8 graphs, operator by operator.

For the example network of the docstrings, the random networks and the drawings: see `networks`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from edge.tflite.graph import Graph, Operator, Quantization, Tensor
from edge.tflite.operators import has_kernel
from edge.tflite.tensors import int4_bytes

DrawnWeights = tuple[np.ndarray, Quantization, np.ndarray, Quantization | None]
"""The kernel's int8 values and quantization, the bias' int32 values and quantization."""


class GraphBuilder:
    """A chain of operators: each reads the last tensor, which its output becomes.

    Args:
        shape: The shape of the input: batch 1, height, width, channels.
        draw_quantization: Makes the quantization of an activation that is given none.
        draw_weights: Makes a layer's weights, from the kernel's shape, the axis of its output
            channels, the quantization of its input, and the share of channels that are all zero.
        quantization: The quantization of the input.
        name: The name of the input.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        draw_quantization: Callable[[], Quantization],
        draw_weights: Callable[[tuple[int, ...], int, Quantization, float], DrawnWeights],
        quantization: Quantization | None = None,
        name: str = "",
    ):
        self.draw_quantization = draw_quantization
        self.draw_weights = draw_weights
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.last = self._activation(shape, quantization, name)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the last tensor."""
        return self.tensors[self.last].shape

    @property
    def quantization(self) -> Quantization:
        """The quantization of the last tensor."""
        return self.tensors[self.last].quantization

    def conv(self, channels, size, stride=(1, 1), *, dead_share=0.0, groups=1, **options):
        """Adds a convolution; `_windowed` says which options there are."""
        shape = (channels, *size, self.shape[3] // groups)
        weights = lambda name: self._weights(shape, 0, name, dead_share)  # noqa: E731
        self._windowed("CONV_2D", size, stride, channels=channels, constants=weights, **options)

    def depthwise(self, multiplier, size, stride=(1, 1), *, dead_share=0.0, **options):
        """Adds a depthwise convolution; `_windowed` says which options there are."""
        channels = self.shape[3] * multiplier
        shape = (1, *size, channels)
        weights = lambda name: self._weights(shape, 3, name, dead_share)  # noqa: E731
        self._windowed(
            "DEPTHWISE_CONV_2D", size, stride, channels=channels, constants=weights, **options
        )

    def pool(self, opcode, size, stride, padding):
        """Adds AVERAGE_POOL_2D or MAX_POOL_2D."""
        self._windowed(
            opcode,
            size,
            stride,
            padding=padding,
            activation="NONE",
            channels=self.shape[3],
            constants=lambda name: (),
            quantization=self.quantization,
        )

    def add(self, other, activation="RELU", *, quantization=None, name=""):
        """Adds the sum of the last tensor and `other`."""
        inputs, options = [self.last, other], {"activation": activation}
        self._append("ADD", inputs, self.shape, options, quantization, name)

    def requantize(self, *, quantization=None):
        """Adds a QUANTIZE from int8 to int8."""
        self._append("QUANTIZE", [self.last], self.shape, {}, quantization)

    def curve(self, opcode, *, quantization=None, **options):
        """Adds an operator of one input that is a table: LOGISTIC, TANH, LEAKY_RELU and others."""
        self._append(opcode, [self.last], self.shape, options, quantization)

    def pad(self, rows, columns):
        """Adds a PAD by (before, after) rows and columns."""
        _, height, width, channels = self.shape
        shape = (1, height + sum(rows), width + sum(columns), channels)
        pads = self._constant(np.array([(0, 0), rows, columns, (0, 0)], np.int32))
        self._append("PAD", [self.last, pads], shape, {}, self.quantization)

    def mean(self, *, quantization=None, name=""):
        """Adds a MEAN over height and width."""
        axes = self._constant(np.array([1, 2], np.int32), None, "axes" if name else "")
        shape, options = (1, self.shape[3]), {"keep_dims": False}
        self._append("MEAN", [self.last, axes], shape, options, quantization, name)

    def dense(self, units, activation="NONE", *, quantization=None, name=""):
        """Adds a FULLY_CONNECTED."""
        weights = self._weights((units, int(np.prod(self.shape))), 0, name, 0.0)
        inputs, options = [self.last, *weights], {"activation": activation}
        self._append("FULLY_CONNECTED", inputs, (1, units), options, quantization, name)

    def reshape(self, shape):
        """Adds a RESHAPE."""
        target = self._constant(np.array(shape, np.int32))
        self._append("RESHAPE", [self.last, target], shape, {}, self.quantization)

    def softmax(self, *, name=""):
        """Adds a SOFTMAX."""
        classes = Quantization((1 / 256,), (-128,), 0)
        self._append("SOFTMAX", [self.last], self.shape, {"beta": 1.0}, classes, name)

    def graph(self, content=b"") -> Graph:
        """The graph from the input to the last tensor; `content` stands for its file."""
        return Graph(tuple(self.tensors), tuple(self.operators), (0,), (self.last,), content)

    def _windowed(
        self,
        opcode,
        size,
        stride,
        *,
        channels,
        constants,
        dilation=(1, 1),
        padding="SAME",
        activation="RELU",
        quantization=None,
        name="",
    ):
        """Adds an operator that slides a window, unless the window is larger than the image."""
        _, height, width, _ = self.shape
        reach = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
        sides = [
            -(-n // s) if padding == "SAME" else (n - r) // s + 1
            for n, s, r in zip((height, width), stride, reach, strict=True)
        ]
        if min(sides) < 1:
            return
        options = {"stride": stride, "padding": padding, "activation": activation}
        options |= {"filter": size} if "POOL" in opcode else {"dilation": dilation}
        inputs = [self.last, *constants(name)]
        self._append(opcode, inputs, (1, *sides, channels), options, quantization, name)

    def _append(self, opcode, inputs, shape, options, quantization=None, name=""):
        output = self._activation(shape, quantization, name)
        index = len(self.operators)
        self.operators.append(Operator(index, opcode, tuple(inputs), (output,), options))
        self.last = output

    def _activation(self, shape, quantization, name):
        return self._tensor(shape, "int8", quantization or self.draw_quantization(), None, name)

    def _weights(self, shape, axis, name, dead_share):
        drawn = self.draw_weights(shape, axis, self.quantization, dead_share)
        kernel, kernel_quantization, bias, bias_quantization = drawn
        return (
            self._constant(kernel, kernel_quantization, f"{name}/kernel" if name else ""),
            self._constant(bias, bias_quantization, f"{name}/bias" if name else ""),
        )

    def _constant(self, values, quantization=None, name=""):
        data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        return self._tensor(values.shape, str(values.dtype), quantization, data, name)

    def _tensor(self, shape, dtype, quantization, data, name):
        index = len(self.tensors)
        name = name or f"tensor{index}"
        self.tensors.append(Tensor(index, name, tuple(shape), dtype, quantization, data))
        return index


def with_int4_weights(graph: Graph, chosen=lambda op: True) -> Graph:
    """The same with weights of four bits in the chosen operators: the upper halves of its bytes.

    Scales are sixteen times as large, biases a sixteenth; a FULLY_CONNECTED has one scale.
    """
    tensors = list(graph.tensors)
    for op in filter(chosen, filter(has_kernel, graph.operators)):
        kernel, bias = (tensors[index] for index in op.inputs[1:3])
        points = kernel.quantization
        scales, of_bias = tuple(16 * scale for scale in points.scales), bias.quantization
        if op.opcode == "FULLY_CONNECTED":
            scales, points = scales[:1], Quantization((), (0,), 0)
            of_input = tensors[op.inputs[0]].quantization.scales[0]
            of_bias = Quantization((of_input * scales[0],), (0,), 0)
        tensors[kernel.index] = dataclasses.replace(
            kernel,
            dtype="int4",
            data=int4_bytes(kernel.values() >> 4),
            quantization=dataclasses.replace(points, scales=scales),
        )
        data = np.frombuffer((bias.values() // 16).astype(np.int32).tobytes(), np.uint8)
        tensors[bias.index] = dataclasses.replace(bias, data=data, quantization=of_bias)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def with_file_ends(content: bytes, source: str, result: str, shift: int = 128) -> bytes:
    """A .tflite whose input is made int8 by a QUANTIZE, its output of int8 as converters do it.

    Args:
        content: A .tflite with one int8 input and one int8 output.
        source: The type of the new input: `"int8"` (as it is), `"float32"` or `"uint8"`.
        result: The type of the new output, one of the same.
        shift: By how much a uint8's zero point is above the int8's.
    """
    from ai_edge_litert import schema_py_generated as schema

    from edge.tflite.writer import AlignedBuffer, pack, unpack

    model = unpack(content)
    (subgraph,) = model.subgraphs

    def operator(opcode, inputs, outputs):
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = getattr(schema.BuiltinOperator, opcode)
        code.version = 2
        model.operatorCodes.append(code)
        made = schema.OperatorT()
        made.opcodeIndex = len(model.operatorCodes) - 1
        made.inputs, made.outputs = inputs, outputs
        made.builtinOptionsType = getattr(schema.BuiltinOptions, f"{opcode.capitalize()}Options")
        made.builtinOptions = getattr(schema, f"{opcode.capitalize()}OptionsT")()
        return made

    def outer(index, dtype):
        inner, end = subgraph.tensors[index], schema.TensorT()
        end.name, end.shape = inner.name + b"_" + dtype.encode(), inner.shape
        end.type = getattr(schema.TensorType, dtype.upper())
        end.buffer = len(model.buffers)
        model.buffers.append(AlignedBuffer())
        if dtype == "uint8":
            end.quantization = schema.QuantizationParametersT()
            end.quantization.scale = inner.quantization.scale
            end.quantization.zeroPoint = [int(inner.quantization.zeroPoint[0]) + shift]
        subgraph.tensors.append(end)
        return len(subgraph.tensors) - 1

    first, last = int(subgraph.inputs[0]), int(subgraph.outputs[0])
    if source != "int8":
        subgraph.inputs = [outer(first, source)]
        subgraph.operators.insert(0, operator("QUANTIZE", subgraph.inputs, [first]))
    if result != "int8":
        subgraph.outputs = [outer(last, result)]
        opcode = "DEQUANTIZE" if result == "float32" else "QUANTIZE"
        subgraph.operators.append(operator(opcode, [last], subgraph.outputs))
    return pack(model)
