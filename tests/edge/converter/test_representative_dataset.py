"""Every form in which people have typical inputs is the same array."""

import numpy as np
import pytest

from edge.converter.representative_dataset import representative_samples
from edge.errors import ConversionError

SAMPLES = np.random.default_rng(0).normal(size=(6, 8, 8, 3)).astype("float32")


def tutorial():
    """As TensorFlow Lite's tutorials write it."""
    for sample in SAMPLES:
        yield [sample[np.newaxis]]


class Batches:
    """Iterable, but neither a list nor a generator, like a `tf.data.Dataset`."""

    def __iter__(self):
        return iter(np.split(SAMPLES, 3))


@pytest.mark.parametrize(
    "dataset",
    [
        SAMPLES,
        SAMPLES.astype("float64"),
        list(np.split(SAMPLES, 2)),
        tuple(np.split(SAMPLES, 2)),
        (batch for batch in np.split(SAMPLES, 3)),
        Batches(),
        tutorial,
        tutorial(),
        lambda: [[sample[np.newaxis]] for sample in SAMPLES],
        lambda: SAMPLES,
    ],
    ids=[
        *("array", "float64", "list", "tuple", "generator", "iterable"),
        *("tutorial", "tutorials_generator", "function_of_a_list", "function_of_an_array"),
    ],
)
def test_representative_dataset_of_each_form_is_the_same_array(dataset):
    samples = representative_samples(dataset, (8, 8, 3))
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, SAMPLES)


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        (None, "Pass representative_dataset"),
        ([], "no float array"),
        (lambda: iter(()), "no float array"),
        ("images", "no float array"),
        (42, "is int; give an array"),
        (lambda: 42, "is int; give an array"),
        (SAMPLES[:0], r"has shape \(0, 8, 8, 3\)"),
        (SAMPLES[..., :1], r"has shape \(6, 8, 8, 1\)"),
        (SAMPLES[0], r"has shape \(8, 8, 3\), the model reads \('samples', 8, 8, 3\)"),
        (SAMPLES * np.inf, "NaN or infinity"),
    ],
)
def test_representative_dataset_of_no_use_is_refused_in_one_line(dataset, words):
    with pytest.raises(ConversionError, match=words) as error:
        representative_samples(dataset, (8, 8, 3))
    assert "\n" not in str(error.value)


def test_an_error_in_the_functions_own_code_is_its_own():
    def broken():
        raise KeyError("mine")
        yield

    with pytest.raises(KeyError, match="mine"):
        representative_samples(broken, (8, 8, 3))
