"""The int8 graph of a design, made without Keras: the operators, shapes and names of a conversion.

Weights are ones and scales are such as training makes them: what a network takes of a board hangs
on its shape.
"""

from __future__ import annotations

import numpy as np

from edge.search.design import Design
from edge.tflite.graph import Int8Graph
from edge.tflite.tensors import Operator, Quantization, Tensor, int4_bytes

INPUT_SCALE = 1 / 127.5
OUTPUT_SCALE = 1 / 256
RELU_SCALE = 0.02
LINEAR_SCALE = 0.03
COMMON_MULTIPLIER = 0.01
"""What scales stand for: of this order in trained networks, so that the usual kernels take them."""

STEP = (1, 1)


def graph_of(design: Design) -> Int8Graph:
    """Makes the graph of a design.

    Args:
        design: The design; its `sparsity` is not in the weights, which are all ones.

    Returns:
        The graph, with empty `content`.

    Example:
        >>> from edge.search.design import mobilenet_v1
        >>> graph_of(mobilenet_v1(0.25, 32, 3, 10)).total_macs()
        834688
    """
    made = _Builder(design.weight_bits, "RELU6" if design.alpha is not None else "RELU")
    x = made.activation("input", (1, design.side, design.side, design.channels), INPUT_SCALE, -1)
    stem, kernel, strides = design.stem
    x = made.convolution(x, "conv1_conv", stem, kernel, strides)
    for number, (filters, kernel, strides, kind) in enumerate(design.blocks(), start=1):
        source = x
        is_added = design.is_residual and strides == 1 and made.channels(x) == filters
        name = f"block_{number}"
        if kind == "separable":
            x = made.depthwise(x, f"{name}_depthwise", kernel, strides)
            x = made.convolution(x, f"{name}_pointwise", filters, 1, 1, is_linear=is_added)
        else:
            x = made.convolution(x, f"{name}_conv", filters, kernel, strides, is_linear=is_added)
        if is_added:
            x = made.sum(source, x, f"add_{number}")
    return made.ended(x, design.classes)


class _Builder:
    """The tensors and operators so far, in the converter's order."""

    def __init__(self, weight_bits: int, activation: str):
        self.active = activation
        self.weights_dtype = "int4" if weight_bits == 4 else "int8"
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []

    def channels(self, tensor: int) -> int:
        return self.tensors[tensor].shape[-1]

    def activation(
        self, name: str, shape: tuple[int, ...], scale: float, zero_point: int = -128
    ) -> int:
        return self._tensor(name, shape, "int8", Quantization((scale,), (zero_point,), 0), None)

    def convolution(
        self,
        x: int,
        name: str,
        filters: int,
        kernel: int,
        strides: int,
        *,
        is_linear: bool = False,
    ) -> int:
        shape = (filters, kernel, kernel, self.channels(x))
        options = {"activation": "NONE" if is_linear else self.active}
        return self._weighted("CONV_2D", x, name, shape, strides, options)

    def depthwise(self, x: int, name: str, kernel: int, strides: int) -> int:
        shape = (1, kernel, kernel, self.channels(x))
        options = {"activation": self.active, "multiplier": 1}
        return self._weighted("DEPTHWISE_CONV_2D", x, name, shape, strides, options)

    def _weighted(
        self, opcode: str, x: int, name: str, shape: tuple[int, ...], strides: int, options: dict
    ) -> int:
        source = self.tensors[x]
        count, axis = (shape[0], 0) if opcode == "CONV_2D" else (shape[3], 3)
        is_linear = options["activation"] == "NONE"
        scale = LINEAR_SCALE if is_linear else RELU_SCALE
        source_scale = source.quantized().scales[0]
        weights = COMMON_MULTIPLIER * scale / source_scale
        zeros = (0,) * count
        ones = np.ones(shape, np.int8)
        data = int4_bytes(ones) if self.weights_dtype == "int4" else ones.reshape(-1).view(np.uint8)
        kernel = self._tensor(
            f"quantized_{name}/kernel",
            shape,
            self.weights_dtype,
            Quantization((weights,) * count, zeros, axis),
            data,
        )
        bias = self._tensor(
            f"quantized_{name}/bias",
            (count,),
            "int32",
            Quantization((weights * source_scale,) * count, zeros, 0),
            np.zeros(4 * count, np.uint8),
        )
        _, height, width, _ = source.shape
        made = (1, -(-height // strides), -(-width // strides), count)
        output = self.activation(f"quantized_{name}", made, scale, 0 if is_linear else -128)
        step = {"stride": (strides, strides), "dilation": STEP, "padding": "SAME"}
        return self._operator(opcode, (x, kernel, bias), output, step | options)

    def sum(self, x: int, y: int, name: str) -> int:
        output = self.activation(f"quantized_{name}", self.tensors[x].shape, RELU_SCALE)
        return self._operator("ADD", (x, y), output, {"activation": "RELU"})

    def ended(self, x: int, classes: int) -> Int8Graph:
        source = self.tensors[x]
        axes = self._constant("quantized_global_average_pooling/axes", np.array([1, 2], np.int32))
        mean = self.activation(
            "quantized_global_average_pooling",
            (1, 1, 1, source.shape[-1]),
            source.quantized().scales[0],
        )
        x = self._operator("MEAN", (x, axes), mean, {"keep_dims": True})
        x = self.convolution(x, "conv_preds", classes, 1, 1, is_linear=True)
        shape = self._constant("reshape/shape", np.array([-1, classes], np.int32))
        flat = self.activation("reshape", (1, classes), LINEAR_SCALE, 0)
        x = self._operator("RESHAPE", (x, shape), flat, {})
        output = self.activation("predictions", (1, classes), OUTPUT_SCALE)
        x = self._operator("SOFTMAX", (x,), output, {"beta": 1.0})
        return Int8Graph(
            tensors=tuple(self.tensors),
            operators=tuple(self.operators),
            inputs=(0,),
            outputs=(x,),
            content=b"",
        )

    def _constant(self, name: str, values: np.ndarray) -> int:
        return self._tensor(name, values.shape, "int32", None, values.view(np.uint8))

    def _tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: str,
        quantization: Quantization | None,
        data: np.ndarray | None,
    ) -> int:
        index = len(self.tensors)
        self.tensors.append(
            Tensor(
                index=index,
                name=name,
                shape=shape,
                dtype=dtype,
                quantization=quantization,
                data=data,
            )
        )
        return index

    def _operator(self, opcode: str, inputs: tuple[int, ...], output: int, options: dict) -> int:
        self.operators.append(
            Operator(
                index=len(self.operators),
                opcode=opcode,
                inputs=inputs,
                outputs=(output,),
                options=options,
            )
        )
        return output
