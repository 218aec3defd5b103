"""A model's preprocessing goes into the .tflite, stays there, and comes back."""

import json

import numpy as np
import pytest

import edge
from edge.errors import EdgeError, ModelError
from edge.memory.offline_plan import planned_model
from edge.runtimes.interpreters import run_litert, run_tflm
from edge.tflite.graph import Graph, Quantization, Tensor
from edge.tflite.metadata import metadata
from edge.tflite.preprocessing import (
    PREPROCESSING_NAME,
    preprocessing_from_file,
    preprocessing_text,
    read_preprocessing,
    with_preprocessing,
)
from edge.tflite.reader import read_graph
from keras_mobilenet.preprocessing.pixels import quantize_inputs
from keras_mobilenet.preprocessing.preprocessing import Preprocessing

PERSON = Preprocessing(96, 96, 3, crop="square", mean=0, std=255)
MOST_BYTES = 512
"""That a record adds to a file."""


@pytest.fixture(scope="module")
def recorded_tflite():
    import keras

    from keras_mobilenet import PreprocessingRecord

    made = Preprocessing(8, 8, 1, crop=0.5, mean=10, std=20)
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(2, 3)(PreprocessingRecord(made)(inputs))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype("float32")
    return edge.convert(keras.Model(inputs, x), samples), made


def test_convert_writes_what_the_model_records(recorded_tflite):
    content, made = recorded_tflite
    assert read_preprocessing(read_graph(content)) == made
    assert json.loads(preprocessing_text(read_graph(content)))["std"] == 20.0


def test_a_plan_and_a_record_live_in_one_file(vww, random_inputs):
    """In either order; both interpreters run it and compute the same bytes in the same arena."""
    graph = read_graph(vww)
    planned = planned_model(graph).graph
    both = read_graph(with_preprocessing(planned.content, PERSON))
    other = planned_model(read_graph(with_preprocessing(graph.content, PERSON))).graph
    inputs = random_inputs(graph)
    expected, arena_bytes = run_tflm(planned, inputs)
    for model in (both, other):
        assert model.offline_offsets == planned.offline_offsets
        assert read_preprocessing(model) == PERSON
        np.testing.assert_array_equal(run_litert(model, inputs), run_litert(graph, inputs))
        outputs, bytes_now = run_tflm(model, inputs)
        np.testing.assert_array_equal(outputs, expected)
        assert bytes_now == arena_bytes
    assert 0 < len(both.content) - len(planned.content) <= MOST_BYTES


def test_one_record_replaces_another(vww):
    once = with_preprocessing(vww.read_bytes(), PERSON)
    other = Preprocessing(96, 96, 3, crop="square", mean=1, std=255)
    twice = with_preprocessing(once, other)
    assert read_preprocessing(read_graph(twice)) == other
    assert len(twice) == len(once)
    assert len(once) - vww.stat().st_size <= MOST_BYTES


def test_metadata_are_found_by_name(recorded_tflite, vww):
    content, _ = recorded_tflite
    assert metadata(content, PREPROCESSING_NAME) is not None
    assert metadata(content, b"another") is None
    assert metadata(vww.read_bytes(), PREPROCESSING_NAME) is None


def test_a_silent_model_takes_what_is_given(vww):
    graph = read_graph(vww)
    assert read_preprocessing(graph, PERSON) == PERSON
    with pytest.raises(ModelError, match=r"--preprocessing FILE with JSON like this.*\"std\":128"):
        read_preprocessing(graph)
    with pytest.raises(ModelError, match="makes images of 48x96x3, the model reads 96x96x3"):
        read_preprocessing(graph, Preprocessing(48, 96))


def test_what_is_given_cannot_disagree(recorded_tflite):
    content, made = recorded_tflite
    graph = read_graph(content)
    assert read_preprocessing(graph, made) == made
    with pytest.raises(ModelError, match="was made for the preprocessing"):
        read_preprocessing(graph, Preprocessing(8, 8, 1))


def test_a_model_of_no_images_has_no_camera():
    tensor = Tensor(0, "features", (1, 8, 8, 4), "int8", Quantization((1.0,), (0,), 0), None)
    with pytest.raises(ModelError, match="gray or RGB images"):
        read_preprocessing(Graph((tensor,), (), (0,), (0,), b""))


@pytest.mark.parametrize("text", [b"", b"{", b'{"height":1}', b"\xff"])
def test_a_damaged_record_is_named(vww, text):
    from edge.tflite.metadata import with_metadata

    graph = read_graph(with_metadata(vww.read_bytes(), PREPROCESSING_NAME, text, "a record"))
    with pytest.raises(ModelError, match="record of its preprocessing is damaged"):
        read_preprocessing(graph)


def test_reads_a_file(tmp_path):
    path = tmp_path / "preprocessing.json"
    path.write_text(PERSON.to_json())
    assert preprocessing_from_file(str(path)) == PERSON
    path.write_text("{}")
    with pytest.raises(EdgeError, match=r"preprocessing.json: .* lacks height and width"):
        preprocessing_from_file(str(path))
    with pytest.raises(EdgeError, match="No such file"):
        preprocessing_from_file(str(tmp_path / "missing.json"))


def test_verification_quantizes_as_the_firmware_does(recorded_tflite):
    from edge.deploy.verify import quantize_inputs as of_graph

    content, made = recorded_tflite
    graph = read_graph(content)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
    scale, zero_point = graph.input.quantization.scales[0], graph.input.quantization.zero_points[0]
    expected = made.quantize(pixels, scale, zero_point)
    np.testing.assert_array_equal(of_graph(graph, made.apply(pixels)), expected)
    np.testing.assert_array_equal(quantize_inputs(made.apply(pixels), scale, zero_point), expected)
