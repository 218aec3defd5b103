"""What a design is said to take is what its conversion and its image take."""

import random

import numpy as np
import pytest

import edge
import keras_mobilenet
from edge.catalog.boards import find_board
from edge.deploy.budget import budget
from edge.deploy.engine_budget import measured_firmware
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.firmware.render import STACK_BYTES
from edge.memory.offline_plan import planned_model
from edge.search.costs import TflmCosts
from edge.search.design import Design, mobilenet_v1
from edge.search.design_graph import graph_of
from edge.search.engine_costs import EngineCosts
from edge.search.layer_cycles import errors_of
from edge.tflite.reader import read_graph

DESIGNS = {
    "MobileNetV1": mobilenet_v1(0.15, 40, 1, 10),
    "residual": Design(
        side=24,
        channels=3,
        classes=7,
        stem=(9, 3, 2),
        stages=((12, 3, 1, 2, "conv"), (20, 5, 2, 3, "separable")),
        is_residual=True,
    ),
    "four bits": Design(
        side=16,
        channels=3,
        classes=10,
        stem=(8, 3, 1),
        stages=((16, 3, 2, 2, "separable"), (24, 3, 2, 1, "separable")),
        weight_bits=4,
    ),
}


def converted(design, seed=0):
    """The int8 model of the Keras network, with ranges of noise and biases of their own."""
    model = design.build()
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0.05, 0.4, w.shape) ** 2 + 0.01 for w in model.get_weights()])
    quantized = keras_mobilenet.quantize_model(model, weight_bits=design.weight_bits)
    noise = rng.uniform(-1, 1, (2, *model.input_shape[1:])).astype("float32")
    quantized(noise, training=True)
    return read_graph(edge.convert(quantized))


def told(graph):
    """All that a graph says but weights, scales and zero points of activations."""
    return (
        [(op.opcode, op.inputs, op.outputs, op.options) for op in graph.operators],
        [
            (
                tensor.name,
                tensor.shape,
                tensor.dtype,
                tensor.is_constant,
                tensor.quantization and (len(tensor.quantization.scales), tensor.quantization.axis),
            )
            for tensor in graph.tensors[1:]
        ],
    )


@pytest.mark.parametrize("name", DESIGNS)
def test_a_designs_graph_is_that_of_its_conversion(name):
    design = DESIGNS[name]
    assert told(graph_of(design)) == told(converted(design))


def test_costs_are_those_of_the_image_and_of_tflm_s_plan():
    design, board = DESIGNS["residual"], find_board("nucleo-f446re")
    graph = converted(design)
    firmware = measured_firmware(compile_engine(graph, "dsp"), board)
    found = EngineCosts(board).linked(design)
    assert found.ram_bytes == firmware.static_ram_bytes + STACK_BYTES
    assert found.flash_bytes == pytest.approx(firmware.flash_bytes, rel=1e-3)
    made = budget(planned_model(graph).graph, board)
    counted = TflmCosts(board)(design)
    assert counted.macs == found.macs == graph.total_macs()
    assert counted.ram_bytes == made.ram_bytes
    assert counted.flash_bytes == pytest.approx(made.flash_bytes, rel=1e-3)


def random_design(rng):
    kinds = ("separable", "separable", "conv")
    stages = [
        (4 * rng.randint(2, 10), rng.choice([3, 5]), 2, rng.randint(1, 3), rng.choice(kinds))
        for _ in range(rng.randint(2, 3))
    ]
    return Design(
        side=rng.choice([20, 32, 40]),
        channels=rng.choice([1, 3]),
        classes=10,
        stem=(4 * rng.randint(1, 4), 3, rng.choice([1, 2])),
        stages=tuple(stages),
        is_residual=rng.random() < 0.5,
        weight_bits=rng.choice([8, 8, 4]),
        sparsity=rng.choice([0.0, 0.0, 0.5]),
    )


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["nucleo-f446re", "arduino-zero"])
def test_costs_of_random_designs_are_those_of_their_images(name):
    """Without linking each: RAM is exact, and flash but for some words of code."""
    board, rng = find_board(name), random.Random(3)
    costs = EngineCosts(board)
    designs = [random_design(rng) for _ in range(40)]
    for design in designs[:20]:
        costs.linked(design)
    compared = 0
    for design in designs[20:]:
        counted, linked = costs(design), costs.linked(design)
        assert counted.ram_bytes == linked.ram_bytes
        assert abs(counted.flash_bytes - linked.flash_bytes) < 256
        if design.sparsity == 0:
            graph = converted(design)
            engines = [
                compile_engine(each, instruction_set(board)) for each in (graph, graph_of(design))
            ]
            engine, names = engines[0], [[k.name for k in each.kernels] for each in engines]
            if names[0] != names[1]:
                # Untrained scales of weights of four bits may be so coarse that a layer takes the
                # portable kernel.
                assert design.weight_bits == 4
                continue
            compared += 1
            firmware = measured_firmware(engine, board)
            assert linked.ram_bytes == firmware.static_ram_bytes + STACK_BYTES
            assert linked.flash_bytes == pytest.approx(firmware.flash_bytes, rel=2e-3)
    assert compared >= 8


@pytest.mark.parametrize("kind", [EngineCosts, TflmCosts])
def test_what_cannot_fit_is_known_without_a_plan(kind):
    costs, design = kind(find_board("arduino-zero")), DESIGNS["residual"]
    assert not costs.fits(design, lambda macs, ms: macs == 0)
    assert not costs.fits(mobilenet_v1(1.0, 32, 1, 10), lambda macs, ms: True)


def test_estimated_milliseconds_are_near_those_of_a_trace():
    from edge.firmware.cycles import estimate_cycles

    design, board = DESIGNS["residual"], find_board("nucleo-f446re")
    cycles = estimate_cycles(compile_engine(converted(design, 1), "dsp"), board)
    traced_ms = (cycles.low_ms + cycles.high_ms) / 2
    assert EngineCosts(board).ms(design) == pytest.approx(traced_ms, rel=errors_of(board)[1])
