"""The output may be any tensor of the graph: a tap in the middle, before a tail that is dead."""

import dataclasses

import numpy as np
import pytest
from graph_builder import GraphBuilder
from networks import RandomValues, random_graph, small_tflite

from edge.catalog.boards import find_board
from edge.deploy.verify_engine import emulate_engine
from edge.engine.compile import compile_engine, compile_engines
from edge.engine.layers import UnsupportedOperatorError, network_of
from edge.engine.packing import INSTRUCTION_SETS, instruction_set
from edge.firmware.host import run_on_host
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import run_litert, run_litert_tensors, run_tflm
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph
from edge.tflite.reference import every_tensor, run_reference
from edge.tflite.writer import pack, unpack
from edge.transforms.dead_operators import without_dead_operators

CORES = ["mps2-an386", "mps3-an547"]


def builder(shape, seed):
    values = RandomValues(np.random.default_rng(seed))
    return GraphBuilder(
        shape, draw_quantization=values.quantization, draw_weights=values.weights, name="image"
    )


def mobilenet_like():
    made = builder((1, 12, 12, 3), 0)
    made.conv(8, (3, 3), (2, 2), activation="RELU6")
    for channels, stride in ((8, (1, 1)), (12, (2, 2)), (12, (1, 1)), (16, (2, 2))):
        made.depthwise(1, (3, 3), stride, activation="RELU6")
        made.conv(channels, (1, 1), activation="RELU6")
    made.mean()
    made.dense(5)
    made.softmax()
    return made.graph()


def resnet_like():
    made = builder((1, 10, 8, 3), 1)
    made.conv(8, (3, 3))
    for channels, stride in ((8, (1, 1)), (12, (2, 2)), (12, (1, 1))):
        source = made.last
        made.conv(channels, (3, 3), stride)
        made.conv(channels, (3, 3), activation="NONE")
        branch = made.last
        if stride != (1, 1):
            made.last = source
            made.conv(channels, (1, 1), stride, activation="NONE")
            source = made.last
        made.last = branch
        made.add(source)
    made.pool("AVERAGE_POOL_2D", made.shape[1:3], (1, 1), "VALID")
    made.reshape((1, 12))
    made.dense(4)
    made.softmax()
    return made.graph()


def ds_cnn_like():
    made = builder((1, 13, 6, 1), 2)
    made.conv(8, (10, 4), (2, 2))
    for _ in range(3):
        made.depthwise(1, (3, 3))
        made.conv(8, (1, 1))
    made.pool("AVERAGE_POOL_2D", (3, 3), (2, 2), "SAME")
    made.pool("MAX_POOL_2D", (2, 2), (1, 1), "VALID")
    made.pad((1, 0), (0, 2))
    made.requantize()
    made.reshape((1, int(np.prod(made.shape))))
    made.dense(6)
    made.dense(4)
    return made.graph()


NETWORKS = {
    "small": lambda: read_graph(small_tflite()),
    "mobilenet": lambda: read_graph(graph_bytes(mobilenet_like())),
    "resnet": lambda: read_graph(graph_bytes(resnet_like())),
    "ds_cnn": lambda: read_graph(graph_bytes(ds_cnn_like())),
    "random 2": lambda: read_graph(graph_bytes(random_graph(2))),
    "random 6, dead channels": lambda: read_graph(graph_bytes(random_graph(6, 0.5))),
}
IN_CI = ("small", "ds_cnn")


def with_output(graph, tensor):
    """The same file with another output."""
    model = unpack(graph.content)
    model.subgraphs[0].outputs = [tensor]
    return read_graph(pack(model))


def made_tensors(graph):
    return [op.outputs[0] for op in graph.operators]


def litert_tensors(graph, inputs):
    """All activations under LiteRT's reference kernels, by index: (count, elements)."""
    made = made_tensors(graph)
    arrays = run_litert_tensors(graph, inputs.reshape(len(inputs), -1), made)
    return {t: array.reshape(len(inputs), -1) for t, array in zip(made, arrays, strict=True)}


def networks_of(*, in_ci):
    every = [name for name in NETWORKS if (name in IN_CI) == in_ci]
    marks = () if in_ci else pytest.mark.exhaustive
    return [pytest.param(name, marks=marks) for name in every]


ALL = [*networks_of(in_ci=True), *networks_of(in_ci=False)]


@pytest.mark.parametrize("name", ALL)
def test_moved_to_every_tensor_it_is_that_of_litert(host_compiler, random_inputs, name):
    graph = NETWORKS[name]()
    inputs = random_inputs(graph, 3)
    expected = litert_tensors(graph, inputs)
    for tensor in made_tensors(graph):
        moved = with_output(graph, tensor)
        np.testing.assert_array_equal(run_reference(moved, inputs), expected[tensor])
        actual = run_on_host(compile_engine(moved), inputs)
        np.testing.assert_array_equal(actual, expected[tensor], f"tensor {tensor}")


@pytest.mark.exhaustive
@pytest.mark.parametrize("board", CORES)
@pytest.mark.parametrize("name", NETWORKS)
def test_moved_to_every_tensor_it_is_the_same_on_a_core(
    arm_compiler, qemu, random_inputs, name, board
):
    graph = NETWORKS[name]()
    inputs = random_inputs(graph, 2)
    for tensor in made_tensors(graph):
        check_on_core(with_output(graph, tensor), inputs, board)


@pytest.mark.parametrize("board", CORES)
def test_in_the_middle_it_is_the_same_on_a_core(arm_compiler, qemu, random_inputs, board):
    graph = NETWORKS["resnet"]()
    # Behind the branch that the residual sum reads: both its neighbours are dead.
    moved = with_output(graph, made_tensors(graph)[5])
    check_on_core(moved, random_inputs(moved, 2), board)


def check_on_core(graph, inputs, board):
    target = find_board(board)
    emulation, _ = emulate_engine(compile_engine(graph, instruction_set(target)), target, inputs)
    np.testing.assert_array_equal(emulation.outputs, run_reference(graph, inputs))


@pytest.mark.parametrize("name", NETWORKS)
def test_moved_to_every_tensor_the_schedule_ends_with_it(name):
    graph = NETWORKS[name]()
    for tensor in made_tensors(graph):
        network = network_of(without_dead_operators(with_output(graph, tensor)))
        assert network.output == network.layers[-1].output
        for engine in compile_engines(with_output(graph, tensor), INSTRUCTION_SETS).values():
            plan = engine.plan
            assert plan.segments[-1].result == engine.network.output
            rows = engine.network.rows[engine.network.output]
            assert plan.stores[engine.network.output].slots == rows.height
            assert plan.stores[engine.network.output].offset + rows.bytes <= plan.memory_bytes


@pytest.mark.parametrize("name", ["small", pytest.param("resnet", marks=pytest.mark.exhaustive)])
def test_moved_to_every_tensor_tflm_keeps_it_to_the_end(random_inputs, name):
    """The plan that the file brings, too: what is behind the output may not write over it."""
    graph = NETWORKS[name]()
    inputs = random_inputs(graph, 2)
    # Records of TFLite Micro that do not depend on which tensor is the output.
    others = set()
    for tensor in made_tensors(graph):
        moved = with_output(graph, tensor)
        expected = run_reference(moved, inputs)
        actual, used_bytes = run_tflm(moved, inputs)
        np.testing.assert_array_equal(actual, expected)
        others.add(used_bytes - predict_arena(moved, structures=PYTHON_WHEEL).used_bytes)
        planned = planned_model(moved).graph
        np.testing.assert_array_equal(run_tflm(planned, inputs)[0], expected)
    assert len(others) == 1


def test_that_is_the_input_is_refused():
    graph = NETWORKS["small"]()
    with pytest.raises(UnsupportedOperatorError, match="computes nothing: its output is"):
        compile_engine(with_output(graph, graph.inputs[0]))


def test_that_is_a_constant_is_refused():
    graph = NETWORKS["small"]()
    constant = next(tensor.index for tensor in graph.tensors if tensor.is_constant)
    with pytest.raises(UnsupportedOperatorError, match="computes nothing: its output is"):
        compile_engine(dataclasses.replace(graph, outputs=(constant,)))


def test_of_an_unknown_operator_that_nothing_reads_the_engine_knows_nothing(random_inputs):
    graph = NETWORKS["small"]()
    strange = dataclasses.replace(graph.operators[-1], opcode="COS")
    logits = graph.operators[-2].outputs
    tapped = dataclasses.replace(graph, operators=(*graph.operators[:-1], strange), outputs=logits)
    left = compile_engine(tapped).network.graph
    inputs = random_inputs(graph)
    expected = [every_tensor(graph, one)[logits[0]].reshape(-1) for one in inputs]
    np.testing.assert_array_equal(run_reference(left, inputs), expected)


@pytest.mark.parametrize("reader", ["pool", "requantize", "depthwise"])
def test_rows_that_a_reshape_makes_are_refused(reader):
    made = builder((1, 4, 4, 8), 5)
    made.conv(8, (1, 1))
    made.reshape((1, 4, 8, 4))
    if reader == "pool":
        made.pool("AVERAGE_POOL_2D", (2, 2), (2, 2), "VALID")
    elif reader == "depthwise":
        made.depthwise(1, (3, 3))
    else:
        made.requantize()
    with pytest.raises(UnsupportedOperatorError, match="on the rows that a RESHAPE makes"):
        compile_engine(made.graph())


def test_the_input_s_own_rows_and_those_of_a_reshape_are_not_mixed():
    made = builder((1, 4, 4, 8), 5)
    image = made.last
    made.reshape((1, 2, 8, 8))
    made.conv(4, (1, 1))
    made.mean()
    tapped, made.last = made.last, image
    made.conv(4, (1, 1))
    made.mean(quantization=made.tensors[tapped].quantization)
    made.add(tapped)
    with pytest.raises(UnsupportedOperatorError, match="on the rows that a RESHAPE makes"):
        compile_engine(made.graph())


def test_litert_itself_runs_the_file_with_the_output_moved(random_inputs):
    """`run_litert_tensors` reads from inside: the moved file gives the same."""
    graph = NETWORKS["resnet"]()
    inputs = random_inputs(graph, 2)
    tensor = made_tensors(graph)[4]
    moved = run_litert(with_output(graph, tensor), inputs)
    np.testing.assert_array_equal(moved, litert_tensors(graph, inputs)[tensor])
