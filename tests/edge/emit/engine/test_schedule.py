"""The emitted schedule: its loops survive from row to row, and an inference that is given up."""

import subprocess

import numpy as np
import pytest
from graph_builder import GraphBuilder
from networks import RandomValues, audio_graph

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.emit.engine.render import render_engine
from edge.engine.compile import compile_engine
from edge.engine.program import program_of
from edge.firmware.host import run_on_host
from edge.tflite.reference import run_reference

LENGTH = 300

GIVES_UP = """
#include <stdio.h>
#include <string.h>
#include "model.h"
static int8_t image[MODEL_INPUT_BYTES];
static model_state_t state;
int main(void) {
  if (fread(image, 1, sizeof(image), stdin) != sizeof(image)) {
    return 1;
  }
  for (uint32_t rows = 0U; rows < MODEL_INPUT_HEIGHT; rows += 7U) {
    int8_t output[MODEL_OUTPUT_BYTES];
    memset(&state, (int)rows, sizeof(state));
    model_start(&state);
    for (uint32_t row = 0U; row < rows; ++row) {
      (void)model_push_row(&state, &image[row * MODEL_ROW_BYTES]);
    }
    model_run(&state, image, output);
    (void)fwrite(output, 1, sizeof(output), stdout);
  }
  return 0;
}
"""


def audio(count):
    graph = audio_graph(LENGTH)
    inputs = np.random.default_rng(2).integers(-128, 128, (count, LENGTH, 1, 4)).astype(np.int8)
    return graph, inputs, run_reference(graph, inputs)


def test_an_inference_given_up_within_a_loop_leaves_nothing_behind(host_compiler, tmp_path):
    graph, inputs, expected = audio(1)
    engine = compile_engine(graph)
    assert program_of(engine.plan).has_loops
    for file, text in (render_engine(engine) | {"main.c": GIVES_UP}).items():
        (tmp_path / file).write_text(text)
    program = tmp_path / "program"
    switches = ["-std=c11", "-O1", "-fsanitize=address,undefined", "-o", program]
    subprocess.run([host_compiler, *switches, *sorted(tmp_path.glob("*.c"))], check=True)
    done = subprocess.run([program], input=inputs.tobytes(), capture_output=True, check=True)
    outputs = np.frombuffer(done.stdout, np.int8).reshape(-1, expected.size)
    assert len(outputs) == -(-LENGTH // 7)
    assert (outputs == expected.reshape(-1)).all()


def test_loops_are_the_same_on_a_core(arm_compiler, qemu):
    graph, inputs, expected = audio(2)
    emulation, _ = emulate_engine(compile_engine(graph), find_board("qemu-m0plus"), inputs)
    np.testing.assert_array_equal(emulation.outputs, expected.reshape(2, -1))


def of_rows(width, channels):
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 4, width, channels),
        draw_quantization=values.quantization,
        draw_weights=values.weights,
    )
    made.depthwise(1, (3, 1))
    made.conv(2, (1, 1))
    made.conv(2, (2, 2))
    return made.graph()


def dense_layers(count):
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 1, 1, 2), draw_quantization=values.quantization, draw_weights=values.weights
    )
    for _ in range(count):
        made.dense(2)
    return made.graph()


@pytest.mark.parametrize(
    ("graph", "types"),
    [
        (of_rows(8, 8), {"uint16_t ring;", "uint16_t row_bytes;", "uint8_t input;"}),
        (of_rows(400, 256), {"uint32_t ring;", "uint32_t row_bytes;", "uint8_t input;"}),
        pytest.param(
            dense_layers(256),
            {"uint16_t ring;", "uint16_t row_bytes;", "uint16_t input;"},
            # A minute and a half, most of it for the plan.
            marks=pytest.mark.exhaustive,
        ),
    ],
    ids=["small", "large", "257 tensors"],
)
def test_tables_are_as_narrow_as_their_numbers(host_compiler, random_inputs, graph, types):
    engine, inputs = compile_engine(graph), random_inputs(graph, 2)
    source = render_engine(engine)["model.c"]
    assert types <= {line.strip() for line in source.splitlines()}
    np.testing.assert_array_equal(run_on_host(engine, inputs), run_reference(graph, inputs))


def test_the_state_is_as_large_as_is_said(arm_compiler, tmp_path):
    for graph in (audio_graph(300), dense_layers(3), of_rows(8, 8)):
        engine = compile_engine(graph)
        check = f'_Static_assert(sizeof(model_state_t) == {engine.state_bytes}, "");'
        texts = render_engine(engine)
        (tmp_path / "model.h").write_text(texts["model.h"])
        (tmp_path / "check.c").write_text(f'#include "model.h"\n{check}\n')
        switches = ["-std=c11", "-mcpu=cortex-m4", "-mthumb", "-fsyntax-only"]
        subprocess.run(["arm-none-eabi-gcc", *switches, tmp_path / "check.c"], check=True)
