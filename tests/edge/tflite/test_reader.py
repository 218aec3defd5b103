"""A .tflite is read whole, or refused in words."""

import numpy as np
import pytest

from edge.errors import ModelError
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8


def test_reads_what_litert_reads(vww):
    from ai_edge_litert.interpreter import Interpreter

    graph = read_graph(vww)
    interpreter = Interpreter(str(vww))
    for detail in interpreter.get_tensor_details():
        if detail["index"] >= len(graph.tensors) or not detail["name"]:
            continue
        tensor = graph.tensors[detail["index"]]
        assert tensor.name == detail["name"]
        assert tensor.shape == tuple(detail["shape"])
        assert tensor.dtype == np.dtype(detail["dtype"]).name
        if tensor.quantization is not None:
            np.testing.assert_array_equal(
                np.float32(tensor.quantization.scales), detail["quantization_parameters"]["scales"]
            )
        if tensor.is_constant:
            np.testing.assert_array_equal(
                tensor.values(), interpreter.get_tensor(tensor.index).reshape(tensor.shape)
            )


def test_counts_the_multiplications_of_the_benchmark(vww):
    assert read_graph(vww).total_macs() == 7_489_664


def test_is_immutable(vww):
    graph = read_graph(vww)
    with pytest.raises(AttributeError):
        graph.operators = ()
    kernel = next(t for t in graph.tensors if t.is_constant)
    with pytest.raises(ValueError, match="read-only"):
        kernel.values()[...] = 0


def test_refuses_what_is_no_tflite(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("these are not the bytes you are looking for")
    with pytest.raises(ModelError, match=r"notes\.txt is not a \.tflite file"):
        read_graph(path)


def test_refuses_a_missing_file():
    with pytest.raises(ModelError, match=r"Cannot read missing\.tflite: No such file"):
        read_graph("missing.tflite")


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.5, 0.8, 0.99])
def test_refuses_a_truncated_file(vww, share):
    content = vww.read_bytes()
    with pytest.raises(ModelError, match=r"is damaged"):
        read_graph(content[: int(len(content) * share)])


def test_no_damaged_byte_brings_more_than_a_word(vww):
    """A flipped byte is read as another model or refused, but never crashes the reader."""
    content = bytearray(vww.read_bytes())
    rng = np.random.default_rng(0)
    for position in rng.integers(8, len(content), 300):
        damaged = bytes(content[:position]) + b"\xff" + bytes(content[position + 1 :])
        try:
            read_graph(damaged)
        except ModelError:
            continue


def test_refuses_another_integer_type(shared_data):
    graph = read_graph(shared_data / "models" / "mobilenet_v1_0.25_128_quant.tflite")
    with pytest.raises(ModelError, match="is not an int8 model: tensor 'input' is uint8"):
        require_int8(graph)
