"""The arena of whole families of networks, against what real TFLite Micro reports."""

import numpy as np
import pytest

from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import predict_arena
from edge.memory.tflm_structures import PYTHON_WHEEL
from edge.runtimes.interpreters import run_tflm

pytestmark = pytest.mark.slow

NAMES = [f"alpha{alpha}-{side}" for alpha in (0.1, 0.25, 0.35, 0.5) for side in (32, 64, 96)]


@pytest.mark.parametrize(
    "name", [*NAMES, pytest.param("mobilenet_v2", marks=pytest.mark.exhaustive), "resnet8"]
)
def test_is_what_tflm_reports(network, random_inputs, name):
    graph = network(name)
    inputs = random_inputs(graph, 3)
    expected, used = run_tflm(graph, inputs)
    assert predict_arena(graph, structures=PYTHON_WHEEL).used_bytes == used

    # The smallest plan, and the one that lets outputs reach into inputs, give the same bytes.
    for may_overlap in (False, True):
        planned = planned_model(graph, may_overlap=may_overlap)
        actual, used = run_tflm(planned.graph, inputs)
        np.testing.assert_array_equal(actual, expected)
        assert predict_arena(planned.graph, structures=PYTHON_WHEEL).used_bytes == used
        assert planned.planned_bytes <= planned.greedy_bytes
