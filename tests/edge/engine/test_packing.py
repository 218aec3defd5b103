"""Every layer gets a kernel that its core compiles."""

import numpy as np
import pytest
from graph_builder import GraphBuilder
from networks import RandomValues

from edge.engine.compile import compile_engines
from edge.engine.packing import INSTRUCTION_SETS


def rows_of_the_caller(channels):
    """A depthwise convolution reads the rows as the caller has them."""
    values = RandomValues(np.random.default_rng(0))
    made = GraphBuilder(
        (1, 8, 8, channels), draw_quantization=values.quantization, draw_weights=values.weights
    )
    made.depthwise(1, (3, 3))
    made.depthwise(1, (5, 5))
    return made.graph()


def check(graph):
    for name, engine in compile_engines(graph, INSTRUCTION_SETS).items():
        others = tuple(f"_{other}.c" for other in INSTRUCTION_SETS if other != name)
        assert not [kernel.source for kernel in engine.kernels if kernel.source.endswith(others)]


@pytest.mark.parametrize("seed", range(12))
def test_no_kernel_is_of_another_instruction_set(random_graph, seed):
    """A package compiles the kernels of one set for a core: those of another are not there."""
    check(random_graph(seed, 0.5 if seed % 2 else 0.0))


@pytest.mark.parametrize("channels", [3, 4, 8])
def test_neither_is_one_that_reads_the_callers_rows(channels):
    check(rows_of_the_caller(channels))
