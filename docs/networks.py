"""The networks of the drawings: shapes without weights, which is all that a memory plan reads."""

from __future__ import annotations

import numpy as np

from edge.tflite.graph import Graph, Operator, Quantization, Tensor

ONE = Quantization((1.0,), (0,), 0)
MOBILENET_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
MOBILENET_END = (*((512, 1),) * 5, (1024, 2), (1024, 1))
"""Filters and stride of each separable block: arXiv 1704.04861, table 1."""


class _Layers:
    def __init__(self, side: int, channels: int):
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.last = self._tensor((1, side, side, channels))

    def _tensor(self, shape: tuple[int, ...], is_constant: bool = False) -> int:
        index = len(self.tensors)
        data = np.zeros(int(np.prod(shape)), np.uint8) if is_constant else None
        self.tensors.append(Tensor(index, f"tensor{index}", shape, "int8", ONE, data))
        return index

    def _add(self, opcode: str, constants: list[int], shape: tuple[int, ...], options: dict):
        output = self._tensor(shape)
        op = Operator(len(self.operators), opcode, (self.last, *constants), (output,), options)
        self.operators.append(op)
        self.last = output

    def window(self, opcode: str, filters: int, size: int, stride: int):
        _, side, _, channels = self.tensors[self.last].shape
        inputs = 1 if opcode == "DEPTHWISE_CONV_2D" else channels
        outer = 1 if opcode == "DEPTHWISE_CONV_2D" else filters
        inner = filters if opcode == "DEPTHWISE_CONV_2D" else inputs
        kernel = self._tensor((outer, size, size, inner), is_constant=True)
        bias = self._tensor((4 * filters,), is_constant=True)
        out = -(-side // stride)
        options = {
            **{"stride": (stride, stride), "dilation": (1, 1)},
            **{"padding": "SAME", "activation": "RELU"},
        }
        self._add(opcode, [kernel, bias], (1, out, out, filters), options)

    def pool(self):
        _, side, _, channels = self.tensors[self.last].shape
        options = {
            **{"stride": (side, side), "filter": (side, side)},
            **{"padding": "VALID", "activation": "NONE"},
        }
        self._add("AVERAGE_POOL_2D", [], (1, 1, 1, channels), options)

    def graph(self) -> Graph:
        return Graph(tuple(self.tensors), tuple(self.operators), (0,), (self.last,), b"")


def first_blocks() -> Graph:
    """What a MobileNet begins with: a convolution, a separable block, and the next depthwise."""
    layers = _Layers(16, 3)
    layers.window("CONV_2D", 16, 3, 2)
    layers.window("DEPTHWISE_CONV_2D", 16, 3, 1)
    layers.window("CONV_2D", 32, 1, 1)
    layers.window("DEPTHWISE_CONV_2D", 32, 3, 2)
    return layers.graph()


def mobilenet_v1(alpha: float = 0.25, side: int = 96, classes: int = 2) -> Graph:
    """MobileNetV1, whose classifier is a 1x1 convolution."""
    layers = _Layers(side, 3)
    layers.window("CONV_2D", int(32 * alpha), 3, 2)
    for filters, stride in (*MOBILENET_BLOCKS, *MOBILENET_END):
        channels = layers.tensors[layers.last].shape[3]
        layers.window("DEPTHWISE_CONV_2D", channels, 3, stride)
        layers.window("CONV_2D", int(filters * alpha), 1, 1)
    layers.pool()
    layers.window("CONV_2D", classes, 1, 1)
    return layers.graph()
