"""The cases of CMSIS-NN's own unit tests as graphs, with the bytes that their authors expect.

The cases are data of another team (Apache-2.0, ARM-software/CMSIS-NN), which may be absent. Each
becomes a graph whose scales give the case's multipliers exactly; a batch is as many images. The
range of an activation is cut afterwards: a .tflite has no such free bounds.
"""

import dataclasses
import functools
import json
import pathlib

import numpy as np
from graph_builder import GraphBuilder

from edge.engine.compile import schedule_and_pack
from edge.engine.layers import network_of
from edge.tflite.graph import Graph, Quantization
from edge.tflite.operators import padding_of
from edge.tflite.tensors import int4_bytes
from edge.transforms.groups import without_groups

FOLDER = pathlib.Path(__file__).parents[2] / "shared" / "data" / "cmsis_nn"
NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))

REFUSED = {
    "fully_connected_w_zp": "FULLY_CONNECTED (operator 0) with a zero point of its weights",
    "pad_int8_1": "PAD (operator 0) of other than rows and columns",
}
"""Cases that the engine has no kernel for, and what it says."""
EQUAL = [name for name in NAMES if name not in REFUSED]

SPARSE = ["conv_2", "conv_4", "conv_5", "conv_1_x_n_7", "kernel1x1_int4_2"]
"""Cases whose convolution the sparse kernel takes, once channels of zeros stand beside it."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A graph, its images, and what must come out between the bounds."""

    graph: Graph
    inputs: np.ndarray
    expected: np.ndarray
    low: int = -128
    high: int = 127


class Arrays:
    """The arrays and constants of a case, under the several names that its authors gave them."""

    def __init__(self, name):
        self.name = name
        self.file = np.load(FOLDER / f"{name}.npz")
        self.config = json.loads(str(self.file["config"]))

    def __getitem__(self, name):
        return self.config[name]

    def array(self, *names):
        return next((self.file[name] for name in names if name in self.file), None)

    def scales(self, prefix=""):
        """Multiplier and shift of every channel as a scale, exact in double precision."""
        multipliers = self.array(f"{prefix}output_mult", f"{prefix}output_multiplier")
        shifts = self.array(f"{prefix}output_shift")
        if multipliers is None:
            multipliers, shifts = [self["OUTPUT_MULTIPLIER"]], [self["OUTPUT_SHIFT"]]
        pairs = zip(multipliers, shifts, strict=True)
        return tuple(float(m) * 2.0 ** (int(s) - 31) for m, s in pairs)

    def weights(self, shape, prefix=""):
        packed = self.array(f"{prefix}weights", f"{prefix}input_weights")
        count = int(np.prod(shape))
        if len(packed) != count:
            # Two weights of four bits a byte, the low one first.
            nibbles = np.stack([packed << 4, packed], axis=1).astype(np.int8) >> 4
            packed = nibbles.reshape(-1)[:count]
        return packed.reshape(shape)

    def are_int4(self, shape, prefix=""):
        packed = self.array(f"{prefix}weights", f"{prefix}input_weights")
        return len(packed) != int(np.prod(shape))


def quantization(zero_point, scale=1.0):
    return Quantization((scale,), (zero_point,), 0)


class Layers(GraphBuilder):
    """A builder of the cases' layers: the next weights, scales and zero point are set before."""

    def __init__(self, shape, zero_point, scale=1.0):
        super().__init__(
            shape,
            draw_quantization=lambda: quantization(self.zero_point),
            draw_weights=self._drawn,
            quantization=quantization(zero_point, scale),
        )

    def set_weights(self, arrays, zero_point, prefix=""):
        self.arrays, self.zero_point, self.prefix = arrays, zero_point, prefix

    def _weights(self, shape, axis, name, dead_share):
        constants = super()._weights(shape, axis, name, dead_share)
        if self.arrays.are_int4(shape, self.prefix):
            kernel = self.tensors[constants[0]]
            data = int4_bytes(kernel.values())
            self.tensors[kernel.index] = dataclasses.replace(kernel, dtype="int4", data=data)
        return constants

    def _drawn(self, shape, axis, source, dead_share):
        arrays, prefix, count = self.arrays, self.prefix, shape[axis]
        scales = np.resize(arrays.scales(prefix), count)
        points = -arrays.config.get("FILTER_OFFSET", 0)
        bias = arrays.array(f"{prefix}biases", f"{prefix}bias", f"{prefix}input_bias")
        return (
            arrays.weights(shape, prefix),
            Quantization(tuple(map(float, scales)), (points,) * count, axis),
            np.zeros(count, np.int32) if bias is None else bias.astype(np.int32),
            None,
        )


def windowed(arrays, made, what, key=""):
    """Adds a convolution or a pool, with the padding that the case states."""
    get = lambda *names: next(arrays[key + n] for n in names if key + n in arrays.config)  # noqa: E731
    size = (get("FILTER_Y", "FILTER_H"), get("FILTER_X", "FILTER_W"))
    stride = (get("STRIDE_Y", "STRIDE_H"), get("STRIDE_X", "STRIDE_W"))
    pad = (get("PAD_Y", "PADDING_H"), get("PAD_X", "PADDING_W"))
    sides = (get("OUTPUT_H"), get("OUTPUT_W"))
    before = len(made.operators), made.last, len(made.tensors)
    for padding in ("VALID", "SAME"):
        if what == "pool":
            opcode = "MAX_POOL_2D" if arrays.name.startswith("max") else "AVERAGE_POOL_2D"
            made.pool(opcode, size, stride, padding)
        else:
            options = {"padding": padding, "activation": "NONE"}
            options["dilation"] = (get("DILATION_Y"), get("DILATION_X"))
            if what == "depthwise":
                made.depthwise(get("OUT_CH") // get("IN_CH"), size, stride, **options)
            else:
                made.conv(get("OUT_CH"), size, stride, **options)
        if len(made.operators) > before[0]:
            if made.shape[1:3] == sides and padding_of(made, made.operators[-1]) == pad:
                return
            made.operators.pop()
        del made.tensors[before[2] :]
        made.last = before[1]
    raise AssertionError(f"{arrays.name}: neither padding gives {pad} and {sides}")


@functools.cache
def case(name):
    arrays = Arrays(name)
    config = arrays.config
    if "input1" in arrays.file:
        return added(arrays)
    if name == "softmax":
        count = arrays["ROW_SIZE"]
        scale = arrays["INPUT_MULT"] * 2.0 ** (arrays["INPUT_LEFT_SHIFT"] - 31 - 26)
        made = Layers((1, 1, 1, count), 0, scale)
        made.softmax()
        return finished(arrays, made)
    if name == "ds_cnn_l":
        return ds_cnn(arrays)
    if name.startswith("pad_"):
        made = Layers((1, arrays["INPUT_H"], arrays["INPUT_W"], arrays["INPUT_C"]), -128)
        made.pad(*((config[f"PRE_PAD_{n}"], config[f"POST_PAD_{n}"]) for n in "HW"))
        pads = np.array([(config[f"PRE_PAD_{n}"], config[f"POST_PAD_{n}"]) for n in "NHWC"])
        number = made.operators[0].inputs[1]
        data = np.frombuffer(pads.astype(np.int32).tobytes(), np.uint8)
        made.tensors[number] = dataclasses.replace(made.tensors[number], data=data)
        shape = tuple(np.array(made.tensors[0].shape) + pads.sum(axis=1))
        made.tensors[-1] = dataclasses.replace(made.tensors[-1], shape=shape)
        return finished(arrays, made)
    if "input_tensor" in arrays.file:
        made = Layers((1, arrays["INPUT_H"], arrays["INPUT_W"], arrays["INPUT_C"]), 0)
        windowed(arrays, made, "pool")
        return finished(arrays, made)
    if "FILTER_X" not in config:
        made = Layers((1, 1, 1, arrays["ACCUMULATION_DEPTH"]), -arrays["INPUT_OFFSET"])
        made.set_weights(arrays, arrays["OUTPUT_OFFSET"])
        made.dense(arrays["OUT_CH"])
        return finished(arrays, made)
    shape = (1, arrays["INPUT_H"], arrays["INPUT_W"], arrays["IN_CH"])
    made = Layers(shape, -arrays["INPUT_OFFSET"])
    made.set_weights(arrays, arrays["OUTPUT_OFFSET"])
    if "FILTER_CH" in config:
        return grouped(arrays, made)
    windowed(arrays, made, "depthwise" if "CH_MULT" in config else "conv")
    return finished(arrays, made)


def finished(arrays, made):
    graph = made.graph()
    low, high = (
        next(
            (
                arrays[n]
                for n in (f"OUT_ACTIVATION_{end}", f"ACTIVATION_{end}")
                if n in arrays.config
            ),
            none,
        )
        for end, none in (("MIN", -128), ("MAX", 127))
    )
    inputs = arrays.array("input", "input_tensor").reshape(-1, *graph.input.shape[1:])
    expected = arrays.array("output_ref", "output").reshape(len(inputs), -1)
    return Case(graph, inputs, expected, low, high)


def grouped(arrays, made):
    """A convolution in groups, which the builder has not."""
    shape = (arrays["OUT_CH"], arrays["FILTER_Y"], arrays["FILTER_X"], arrays["FILTER_CH"])
    constants = made._weights(shape, 0, "", 0.0)
    options = {"stride": (arrays["STRIDE_Y"], arrays["STRIDE_X"]), "dilation": (1, 1)}
    options |= {"padding": "SAME" if arrays["PAD_X"] else "VALID", "activation": "NONE"}
    output = (1, arrays["OUTPUT_H"], arrays["OUTPUT_W"], arrays["OUT_CH"])
    made._append("CONV_2D", [made.last, *constants], output, options)
    return finished(arrays, made)


def added(arrays):
    """Both inputs are halves of one image: a graph of the engine has one."""
    first, second = arrays.array("input1"), arrays.array("input2")
    points = [-arrays[f"INPUT{n}_OFFSET"] for n in (1, 2)]
    count = len(first)
    # A convolution of ones and zeros takes the channels of a half.
    made = Layers((1, 1, 1, 2 * count), points[0])
    image = made.last
    halves = []
    for half in range(2):
        made.last = image
        kernel = np.eye(2 * count, dtype=np.int8)[half * count : (half + 1) * count]
        weights = (
            made._constant(
                kernel.reshape(count, 1, 1, -1), Quantization((1.0,) * count, (0,) * count, 0)
            ),
            made._constant(np.zeros(count, np.int32)),
        )
        options = {"stride": (1, 1), "dilation": (1, 1), "padding": "SAME", "activation": "NONE"}
        point = quantization(points[half])
        made._append("CONV_2D", [image, *weights], (1, 1, 1, count), options, point)
        halves.append(made.last)
    made.last = halves[0]
    made.add(halves[1], "NONE", quantization=quantization(arrays["OUTPUT_OFFSET"], 2.0))
    inputs = np.concatenate([first, second]).reshape(1, 1, 1, -1)
    return Case(made.graph(), inputs, arrays.array("output_ref").reshape(1, -1))


def ds_cnn(arrays):
    """A whole network: keyword spotting, DS-CNN."""
    keys = {key.split("_OUT_CH")[0] for key in arrays.config if key.endswith("_OUT_CH")}
    ordered = sorted(keys, key=lambda key: int(key.rsplit("_", 1)[1]))
    first = f"{ordered[0]}_"
    shape = (1, *(arrays[first + name] for name in ("INPUT_H", "INPUT_W", "IN_CH")))
    made = Layers(shape, -arrays[f"{first}INPUT_OFFSET"])
    for key in ordered:
        kind, number = key.rsplit("_", 1)
        prefix = f"layer_{number}_{kind.lower()}_"
        if kind == "SOFTMAX":
            scale = arrays[f"{key}_MULT"] * 2.0 ** (arrays[f"{key}_SHIFT"] - 31 - 26)
            last = dataclasses.replace(made.quantization, scales=(scale,))
            made.tensors[made.last] = dataclasses.replace(
                made.tensors[made.last], quantization=last
            )
            op = made.operators[-1]
            # The scale of the logits may not change the multiplier that makes them.
            kernel = made.tensors[op.inputs[1]]
            scales = tuple(s * scale for s in kernel.quantization.scales)
            points = dataclasses.replace(kernel.quantization, scales=scales)
            made.tensors[kernel.index] = dataclasses.replace(kernel, quantization=points)
            made.softmax()
            continue
        made.set_weights(arrays, arrays[f"{key}_OUTPUT_OFFSET"], prefix)
        if kind == "AVERAGE_POOL_2D":
            windowed(arrays, made, "pool", f"{key}_")
        elif kind == "FULLY_CONNECTED":
            arrays.config["OUTPUT_MULTIPLIER"] = arrays[f"{key}_OUTPUT_MULTIPLIER"]
            arrays.config["OUTPUT_SHIFT"] = arrays[f"{key}_OUTPUT_SHIFT"]
            made.dense(arrays[f"{key}_IN_CH"])
        else:
            what = "depthwise" if kind.startswith("DEPTH") else "conv"
            windowed(arrays, made, what, f"{key}_")
    return finished(arrays, made)


def behind_a_quantize(graph):
    """The same behind a QUANTIZE that changes nothing: the kernel's rows are the engine's own."""
    made = Layers(graph.input.shape, graph.input.quantization.zero_points[0])
    made.last = 0
    made.tensors = [*graph.tensors, dataclasses.replace(graph.input, index=len(graph.tensors))]
    made._append(
        "QUANTIZE", [made.tensors[-1].index], graph.input.shape, {}, graph.input.quantization
    )
    moved = {0: made.last}
    for op in graph.operators:
        inputs = tuple(moved.get(t, t) for t in op.inputs)
        index = len(made.operators)
        made.operators.append(dataclasses.replace(op, index=index, inputs=inputs))
    source = (len(graph.tensors),)
    return Graph(tuple(made.tensors), tuple(made.operators), source, graph.outputs, b"")


def beside_dead_channels(graph):
    """The same kernel with as many channels of zeros behind it, if it is a convolution alone."""
    op = graph.operators[0]
    tensors = list(graph.tensors)
    kernel, bias, output = (tensors[index] for index in (*op.inputs[1:], op.outputs[0]))
    channels = kernel.shape[0]
    more = 2 * channels + 6 + channels % 2
    for tensor, axis in ((kernel, 0), (bias, 0)):
        values = tensor.values()
        pads = [(0, more if n == axis else 0) for n in range(values.ndim)]
        padded = np.pad(values, pads)
        is_int4 = tensor.dtype == "int4"
        data = int4_bytes(padded) if is_int4 else np.frombuffer(padded.tobytes(), np.uint8)
        shape = tuple(n + sum(p) for n, p in zip(values.shape, pads, strict=True))
        wider = dataclasses.replace(tensor, data=data, shape=shape)
        if tensor.quantization:
            scales = (*np.resize(tensor.quantization.scales, channels), *(0.01,) * more)
            points = Quantization(tuple(map(float, scales)), (0,) * (channels + more), 0)
            wider = dataclasses.replace(wider, quantization=points)
        tensors[tensor.index] = wider
    shape = (*output.shape[:3], channels + more)
    tensors[output.index] = dataclasses.replace(output, shape=shape)
    return dataclasses.replace(graph, tensors=tuple(tensors))


def engine_of(graph, instructions):
    """With all channels: constant ones are for the kernels too."""
    return schedule_and_pack(network_of(without_groups(graph)), [instructions])[instructions]


def check(found, actual):
    actual = np.clip(actual, found.low, found.high)
    np.testing.assert_array_equal(actual, found.expected)
