"""The helpers in a model's header do what QUANTIZE and DEQUANTIZE of LiteRT do."""

import subprocess

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from graph_builder import with_file_ends
from networks import small_tflite

import edge
from edge.tflite.graph import Quantization, Tensor
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph
from edge.tflite.writer import pack, unpack

PARAMETERS = [(2.0**-7, 0), (0.007839307188987732, -1), (0.404846727848053, 81), (3.7e-5, 127)]
MAIN = """
#include <stdio.h>
#include "HEADER"
int main(void) {
  float real;
  while (fread(&real, sizeof real, 1, stdin) == 1) { putchar(real_quantize(real) + 128); }
  for (int q = -128; q < 128; ++q) {
    real = real_dequantize((int8_t)q);
    fwrite(&real, sizeof real, 1, stdout);
  }
  return 0;
}
"""


def file_with(scale, zero_point):
    """A file with float ends, whose input and output have a scale and a zero point."""
    model = unpack(small_tflite())
    (subgraph,) = model.subgraphs
    subgraph.outputs = [int(subgraph.operators[5].outputs[0])]
    for index in (*subgraph.inputs, *subgraph.outputs):
        quantization = subgraph.tensors[int(index)].quantization
        quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    return with_file_ends(pack(model), "float32", "float32")


def reals(scale, zero_point):
    """Anywhere, on every step, on every half, beyond both ends, and what is no number."""
    steps = np.arange(-600, 601) / 2
    every = np.concatenate([np.random.default_rng(0).uniform(-200, 200, 60_000), steps])
    exact = np.float32((every - zero_point) * scale)
    near = [np.nextafter(exact, np.float32(side)) for side in (-np.inf, np.inf)]
    huge = np.float32([0.0, -0.0, 1e-45, 3e38, -3e38, np.inf, -np.inf])
    return np.concatenate([exact, *near, huge])


def of_litert(content, values):
    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=True,
    )
    interpreter.allocate_tensors()
    graph = read_graph(content)
    size, made = graph.input.element_count, []
    for start in range(0, len(values), size):
        part = np.zeros(size, np.float32)
        part[: len(values[start : start + size])] = values[start : start + size]
        interpreter.set_tensor(graph.inputs[0], part.reshape(graph.input.shape))
        interpreter.invoke()
        made.append(interpreter.get_tensor(graph.operators[0].outputs[0]).ravel())
    return np.concatenate(made)[: len(values)]


@pytest.mark.parametrize("runtime", ["engine", "tflm"])
@pytest.mark.parametrize(("scale", "zero_point"), PARAMETERS)
def test_the_c_rounds_and_clips_as_litert(scale, zero_point, runtime, tmp_path):
    content = file_with(scale, zero_point)
    done = edge.export(content, runtime=runtime, name="real", out_dir=tmp_path)
    (header,) = [file for file in done.files if file.endswith("real.h")]
    (tmp_path / "main.c").write_text(MAIN.replace("HEADER", header))
    command = ["gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "main.c"]
    sanitizers = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    subprocess.run([*command, *sanitizers, "-o", "main"], cwd=tmp_path, check=True)
    values = reals(scale, zero_point)
    said = subprocess.run(
        [tmp_path / "main"], input=values.tobytes(), capture_output=True, check=True
    ).stdout
    quantized = np.frombuffer(said[: len(values)], np.uint8).astype(np.int16) - 128
    # LiteRT's cast of what no int32 holds is undefined: not asked.
    asked = np.abs(values.astype(np.float64) / scale) < 2**30
    np.testing.assert_array_equal(quantized[asked], of_litert(content, values[asked]))
    np.testing.assert_array_equal(np.sign(quantized[~asked]), np.sign(values[~asked]))
    expected = np.float32(scale) * (np.arange(-128, 128) - zero_point).astype(np.float32)
    np.testing.assert_array_equal(np.frombuffer(said[len(values) :], np.float32), expected)


@pytest.mark.parametrize(("scale", "zero_point"), PARAMETERS)
def test_python_rounds_and_clips_as_litert(scale, zero_point):
    values = reals(scale, zero_point)
    values = values[np.abs(values.astype(np.float64) / scale) < 2**30]
    tensor = Tensor(0, "x", (1,), "int8", Quantization((scale,), (zero_point,), 0), None)
    expected = of_litert(file_with(scale, zero_point), values)
    np.testing.assert_array_equal(to_int8(values, tensor), expected)
