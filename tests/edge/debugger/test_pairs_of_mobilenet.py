"""A MobileNetV1 of any side and the int8 file made from it belong together."""

import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.debugger.compare import compare
from edge.reporting.report import collect
from edge.tflite.reader import read_graph
from keras_mobilenet.training.data import load_images

pytestmark = pytest.mark.slow

SHAPES = [(32, 32, 3), (33, 33, 1), (33, 32, 1), (48, 40, 1), (49, 65, 3), (96, 96, 1)]
"""At 32 the last pooling is over one pixel, and the converter drops it; an even and an odd side
bring a PAD."""


@pytest.fixture
def train(random_weights):
    def one_step(shape, classes, **options):
        model = keras_mobilenet.MobileNetV1(shape, 0.1, classes=classes, **options)
        model.set_weights(random_weights(model))
        rng = np.random.default_rng(0)
        images = rng.uniform(-1, 1, (8, *shape)).astype("float32")
        model.compile("adam", "sparse_categorical_crossentropy")
        awareness = keras_mobilenet.QuantizationAwareTraining()
        labels = rng.integers(0, classes, 8)
        model.fit(images, labels, verbose=0, callbacks=[awareness])
        return model, images

    return one_step


@pytest.mark.exhaustive
def test_compare_and_report_take_the_pair_of_the_tutorials_side(train, tmp_path):
    model, images = train((32, 32, 1), 10)
    model.save(tmp_path / "trained.keras")
    content = edge.convert(model)
    assert "MEAN" not in read_graph(content).op_names()
    found = compare(tmp_path / "trained.keras", content, images)
    assert len(found.layers) == 30
    assert not found.unmatched
    data = load_images("digits", side=32, channels=1)
    reported = collect(content, float_model=tmp_path / "trained.keras", data=data)
    assert [layer.name for layer in reported.comparison.layers] == [
        layer.name for layer in found.layers
    ]


@pytest.mark.exhaustive
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_pairs_of_every_side_belong_together(train, random_weights, shape, padding):
    model, images = train(shape, 4, padding=padding)
    assert not compare(model, edge.convert(model), images).unmatched
    twin = keras_mobilenet.MobileNetV1(shape, 0.1, classes=4, padding=padding)
    twin.set_weights(random_weights(twin))
    assert not compare(twin, edge.convert(twin, images), images).unmatched
