"""Float32 and uint8 ends come off a file, and the int8 body is proved on the file itself."""

import itertools

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from graph_builder import with_file_ends
from networks import random_graph, small_tflite

import edge
from edge.converter.model_source import read_model
from edge.deploy.verify import random_inputs, verify
from edge.errors import ModelError
from edge.runtimes.interpreters import InterpreterError, run_litert
from edge.tflite.ends import file_inputs, flipped, int8_outputs
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.tflite.writer import pack, unpack

ENDS = list(itertools.product(("int8", "float32", "uint8"), repeat=2))


@pytest.mark.parametrize(("source", "result"), ENDS)
def test_the_body_is_the_model_that_it_was(source, result):
    content = with_file_ends(small_tflite(), source, result)
    graph, body = read_model(content), read_graph(small_tflite())
    assert graph.file_dtypes == (source, result)
    assert [op.opcode for op in graph.operators] == [op.opcode for op in body.operators]
    assert (graph.input.dtype, graph.output.dtype) == ("int8", "int8")
    assert (graph.input_scale, graph.input_zero_point) == (2.0**-7, 0)
    assert (graph.output_scale, graph.output_zero_point) == (2.0**-8, -128)
    inputs = random_inputs(graph, 10, 0)
    np.testing.assert_array_equal(run_litert(graph, inputs), run_reference(body, inputs))


@pytest.mark.parametrize(("source", "result"), ENDS)
def test_tflm_and_litert_agree_with_the_file(source, result):
    assert verify(with_file_ends(small_tflite(), source, result), count=5).is_equal


def test_the_engine_agrees_with_the_file_on_every_core():
    content = with_file_ends(small_tflite(), "float32", "float32")
    assert edge.verify_engine(content, count=3).is_equal


@pytest.mark.parametrize("seed", range(20))
def test_ends_of_random_networks(seed):
    body = graph_bytes(random_graph(seed))
    source, result = ENDS[seed % len(ENDS)]
    graph = read_model(with_file_ends(body, source, result))
    inputs = random_inputs(graph, 3, seed)
    np.testing.assert_array_equal(run_litert(graph, inputs), run_reference(graph, inputs))


def test_the_file_that_came_is_run_and_not_the_one_that_was_made():
    """A wrong scale of the body's input would show: the file's own QUANTIZE judges."""
    import dataclasses

    graph = read_model(with_file_ends(small_tflite(), "float32", "float32"))
    other = dataclasses.replace(
        graph,
        tensors=tuple(
            dataclasses.replace(
                t, quantization=dataclasses.replace(t.quantization, zero_points=(9,))
            )
            if t.index == graph.inputs[0]
            else t
            for t in graph.tensors
        ),
    )
    inputs = random_inputs(graph, 5, 0)
    assert not np.array_equal(run_litert(other, inputs), run_litert(graph, inputs))
    last = graph.tensors[graph.outputs[0]]
    wrong = dataclasses.replace(last.quantization, scales=(0.3,))
    tensors = [*graph.tensors]
    tensors[last.index] = dataclasses.replace(last, quantization=wrong)
    with pytest.raises(InterpreterError, match="dequantizes otherwise"):
        run_litert(dataclasses.replace(graph, tensors=tuple(tensors)), inputs)


def test_signatures_name_the_new_ends():
    model = unpack(with_file_ends(small_tflite(), "float32", "uint8"))
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.inputs, signature.outputs = [schema.TensorMapT()], [schema.TensorMapT()]
    signature.inputs[0].name, signature.outputs[0].name = b"image", b"classes"
    signature.inputs[0].tensorIndex = int(model.subgraphs[0].inputs[0])
    signature.outputs[0].tensorIndex = int(model.subgraphs[0].outputs[0])
    model.signatureDefs = [signature]
    graph = read_model(pack(model))
    (found,) = unpack(graph.content).signatureDefs
    assert found.inputs[0].tensorIndex == graph.inputs[0]
    assert found.outputs[0].tensorIndex == graph.outputs[0]


@pytest.mark.parametrize("end", ["source", "result"])
def test_a_uint8_that_is_no_flip_of_the_top_bit_stays_and_is_refused(end):
    ends = {"source": "int8", "result": "int8"} | {end: "uint8"}
    with pytest.raises(ModelError, match="is uint8, around an int8 body"):
        read_model(with_file_ends(small_tflite(), **ends, shift=129))


def test_a_float_that_is_read_twice_stays_and_is_refused():
    model = unpack(with_file_ends(small_tflite(), "float32", "int8"))
    (subgraph,) = model.subgraphs
    subgraph.operators.insert(1, subgraph.operators[0])
    subgraph.tensors.append(subgraph.tensors[int(subgraph.operators[0].outputs[0])])
    twin = schema.OperatorT()
    twin.__dict__.update(subgraph.operators[0].__dict__)
    twin.outputs = [len(subgraph.tensors) - 1]
    subgraph.operators[1] = twin
    with pytest.raises(ModelError, match="is float32, around an int8 body"):
        read_model(pack(model))


def test_a_network_of_nothing_but_ends_computes_nothing():
    model = unpack(with_file_ends(small_tflite(), "float32", "int8"))
    (subgraph,) = model.subgraphs
    subgraph.operators = subgraph.operators[:1]
    subgraph.outputs = subgraph.operators[0].outputs
    with pytest.raises(ModelError, match="no operator that makes its output"):
        read_model(pack(model))


def test_the_digest_is_that_of_the_file(tmp_path):
    content = with_file_ends(small_tflite(), "float32", "float32")
    path = tmp_path / "floats.tflite"
    path.write_bytes(content)
    done = edge.export(path, runtime="engine", shape="cmake", out_dir=tmp_path / "package")
    assert read_graph(content).sha256 in (done.folder / "README.md").read_text()
    assert done.graph.sha256 != read_graph(content).sha256


def test_drawn_floats_lie_in_the_step_of_their_int8():
    graph = read_model(with_file_ends(small_tflite(), "float32", "float32"))
    inputs = np.arange(-128, 128, dtype=np.int8).repeat(50)
    drawn = file_inputs(graph, inputs)
    steps = drawn / np.float32(graph.input_scale) + graph.input_zero_point
    inside = np.abs(steps - inputs) < 0.5
    assert inside[(inputs > -128) & (inputs < 127)].all()
    assert (~inside).sum() > 10
    assert np.unique(drawn).size > 10_000


def test_flips_and_outputs_go_back():
    values = np.arange(-128, 128, dtype=np.int8)
    np.testing.assert_array_equal(flipped(flipped(values)), values)
    np.testing.assert_array_equal(flipped(values), np.arange(256, dtype=np.uint8))
    graph = read_model(with_file_ends(small_tflite(), "int8", "float32"))
    reals = (values.astype(np.float32) + 128) / 256
    np.testing.assert_array_equal(int8_outputs(graph, reals), values)
