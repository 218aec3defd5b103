"""What stands for a model is opened in one place, and is an int8 model or is refused there."""

import dataclasses
import pathlib

import keras
import numpy as np
import pytest

import edge
from edge.converter.model_source import message_name, model_name, read_model
from edge.errors import ConversionError, ModelError
from edge.tflite.reader import read_graph


def float_model():
    inputs = keras.Input((8, 8, 3))
    return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name="plain")


def typical_inputs():
    for image in np.random.default_rng(0).normal(size=(8, 8, 8, 3)).astype("float32"):
        yield [image[np.newaxis]]


def test_a_tflite_is_read_from_a_path_its_bytes_or_a_graph(vww):
    graph = read_graph(vww)
    for model in (vww, str(vww), vww.read_bytes(), graph):
        assert read_model(model).sha256 == graph.sha256


def test_a_float_keras_model_is_quantized_on_its_way(tmp_path):
    """As an object and as a file; the same for export, verify and everybody."""
    model = float_model()
    model.save(tmp_path / "plain.keras")
    expected = edge.convert(model, typical_inputs)
    for source in (model, tmp_path / "plain.keras"):
        assert read_model(source, typical_inputs).content == expected
    proof = edge.verify(model, representative_dataset=typical_inputs, count=3)
    assert proof.input_count == proof.equal_count == 3
    written = edge.export(model, None, tmp_path / "firmware", representative_dataset=typical_inputs)
    assert written.graph.op_names() == ["CONV_2D"]


def test_a_float_keras_model_without_typical_inputs_is_refused():
    for use in (read_model, edge.verify, edge.export):
        with pytest.raises(ConversionError, match="Pass representative_dataset"):
            use(float_model())


@pytest.mark.parametrize("end", ["float32", "uint8"])
def test_the_ends_that_the_converter_leaves_come_off(end):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(float_model())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = typical_inputs
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = getattr(tf, end)
    content = converter.convert()
    graph = read_model(content)
    assert graph.file_dtypes == (end, end)
    assert graph.op_names() == ["CONV_2D"]
    assert edge.verify(content, count=5).is_equal


def test_a_graph_that_is_not_int8_is_refused(vww):
    graph = read_graph(vww)
    source = dataclasses.replace(graph.input, dtype="uint8")
    tensors = [source if t.index == source.index else t for t in graph.tensors]
    unsigned = dataclasses.replace(graph, tensors=tuple(tensors))
    for use in (read_model, edge.verify, edge.export):
        with pytest.raises(ModelError, match=r"is not an int8 model: .* is uint8"):
            use(unsigned)


def test_names_of_models():
    model = float_model()
    path = pathlib.Path("models") / "vww.tflite"
    assert [model_name(m) for m in (path, model, b"")] == ["vww.tflite", "plain", "model"]
    assert model_name(b"caf\xe9.tflite".decode("utf-8", "surrogateescape")) == "caf\ufffd.tflite"
    assert [message_name(m) for m in (path, model, b"")] == [
        str(path),
        "Model 'plain'",
        "The model",
    ]
