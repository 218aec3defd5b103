"""The streamed schedule: each row is there when it is read, and memory is as small as it can be."""

import dataclasses
import hashlib

import networks
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.engine.layers import UnsupportedOperatorError, network_of
from edge.engine.schedule import InfeasibleError, cut_points, plan_stream
from edge.engine.stream_plan import Await, Keep, Make
from edge.memory.offline_plan import planned_model
from edge.tflite.reader import read_graph

NAMES = [
    "vww_96_int8.tflite",
    "kws_ref_model.tflite",
    "odd",
    "resnet8",
    "mobilenet_v2",
    "alpha0.25-64",
    "alpha0.1-32",
]


def scratch(layer):
    return 16 * layer.window[0] * layer.window[1]


class Memory:
    """Follows a schedule byte by byte: who wrote last, and is it what the reader wants."""

    def __init__(self, plan):
        self.plan, self.network = plan, plan.network
        self.bytes = [None] * plan.memory_bytes
        self.made = dict.fromkeys(plan.stores, 0)
        self.heads = {}

    def place(self, tensor, row):
        store, size = self.plan.stores[tensor], self.network.rows[tensor].row_bytes
        if self.heads.get(tensor) == row:
            return store.head_offset, size
        assert store.slots > 0
        return store.offset + row % store.slots * size, size

    def write(self, tensor, row):
        at, size = self.place(tensor, row)
        assert at >= 0
        assert at + size <= self.plan.memory_bytes
        self.bytes[at : at + size] = [(tensor, row)] * size

    def read(self, tensor, row):
        if tensor == self.network.input and self.heads.get(tensor) == row:
            return  # The caller's row.
        at, size = self.place(tensor, row)
        assert self.bytes[at : at + size] == [(tensor, row)] * size

    def run(self):
        segment_of = {
            index: number
            for number, segment in enumerate(self.plan.segments)
            for index in range(*segment.layers)
        }
        for step in self.plan.steps:
            if isinstance(step, Await):
                tensor = self.network.input
                self.heads[tensor] = self.made[tensor]
                self.made[tensor] += 1
            elif isinstance(step, Keep):
                row = self.heads[step.tensor]
                self.read(step.tensor, row)
                del self.heads[step.tensor]
                self.write(step.tensor, row)
            else:
                self.make(self.network.layers[step.layer], segment_of[step.layer])
        rows = self.network.rows
        assert all(
            self.made[t] == rows[t].height
            for t in self.made
            if t in (self.network.output, self.network.input)
        )
        for row in range(rows[self.network.output].height):
            self.read(self.network.output, row)

    def make(self, layer, segment):
        at = self.plan.scratch_offset[segment]
        assert at % 16 == 0
        self.bytes[at : at + scratch(layer)] = ["scratch"] * scratch(layer)
        row = self.made[layer.output]
        for tensor in layer.inputs:
            height = self.network.rows[tensor].height
            last = layer.last_row(row, height)
            for source in range(layer.first_row(row, height), last + 1):
                step = layer.dilation[0]
                is_tap = (source - row * layer.stride[0] + layer.pad[0]) % step == 0
                if layer.needs_all or is_tap:
                    self.read(tensor, source)
            if layer.needs_all and height > 1:
                # In one piece.
                assert self.plan.stores[tensor].slots == height
        if self.plan.stores[layer.output].head_offset is not None:
            self.heads[layer.output] = row
        self.made[layer.output] += 1
        self.write(layer.output, row)


@pytest.mark.parametrize("name", NAMES)
def test_every_row_is_there_when_it_is_read(network, name):
    plan = plan_stream(network_of(network(name)), scratch)
    Memory(plan).run()


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.booleans())
def test_of_any_network(random_graph, seed, is_fast):
    layers = network_of(random_graph(seed))
    smallest = plan_stream(layers, scratch, steps=7_500)
    Memory(smallest).run()
    if is_fast:
        fast = plan_stream(layers, scratch, 10**9, steps=7_500)
        Memory(fast).run()
        assert fast.memory_bytes >= smallest.memory_bytes


@pytest.mark.parametrize("name", [name for name in NAMES if name != "odd"])
def test_is_smaller_than_the_best_plan_of_whole_tensors(network, name):
    graph = network(name)
    assert plan_stream(network_of(graph), scratch).memory_bytes < planned_model(graph).planned_bytes


def test_follows_the_resolution(network):
    """The mission's sizes; by the design about 21 KiB at 128."""
    figures = {
        side: plan_stream(network_of(network(f"alpha0.25-{side}")), scratch).memory_bytes
        for side in (128, 224)
    }
    assert figures[128] < 21 * 1024
    assert figures[224] < 42 * 1024


def test_trades_memory_for_copying(network):
    layers = network_of(network("vww_96_int8.tflite"))
    small = plan_stream(layers, scratch)
    fast = plan_stream(layers, scratch, small.memory_bytes + 8192)
    copied = [sum(segment.copied_bytes for segment in plan.segments) for plan in (small, fast)]
    # The rows of the input, which are the caller's, have to be copied.
    assert copied[1] == layers.rows[layers.input].bytes < copied[0] / 4
    assert fast.memory_bytes <= small.memory_bytes + 8192


def test_says_what_the_smallest_takes(network):
    layers = network_of(network("vww_96_int8.tflite"))
    smallest = plan_stream(layers, scratch).memory_bytes
    with pytest.raises(InfeasibleError, match=f"the smallest takes {smallest:,}"):
        plan_stream(layers, scratch, 1000)


BUILT = {
    "small": lambda: read_graph(networks.small_tflite()),
    "first blocks": networks.first_blocks_graph,
    "mobilenet_v1": networks.mobilenet_v1_graph,
    "random 0": lambda: networks.random_graph(0),
    "random 3": lambda: networks.random_graph(3),
    "random 7": lambda: networks.random_graph(7),
    "two pools": lambda: networks.random_graph(29705),
}
LETTERS = {Make: "M", Keep: "K", Await: "A"}


def fingerprint(plan):
    """Of all that goes into the emitted tables: the steps, and where every row lies."""
    steps = (
        LETTERS[type(step)] + "".join(str(value) for value in dataclasses.astuple(step))
        for step in plan.steps
    )
    stores = (
        f"{tensor}:{store.slots}:{store.offset}:{store.head_offset}"
        for tensor, store in plan.stores.items()
    )
    return hashlib.sha256(" ".join([*steps, *stores]).encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("name", "ram_bytes", "memory_bytes", "expected"),
    [
        ("small", None, 336, "ef65a61a6d0bf0ce"),
        ("first blocks", None, 1904, "bf13ad64357dea21"),
        ("first blocks", 10**9, 1936, "4eb2046b47079450"),
        ("mobilenet_v1", None, 12240, "87030f2053c94226"),
        ("mobilenet_v1", 10**9, 14736, "1064feea3e218d75"),
        ("random 0", None, 1648, "aac140b82a3df963"),
        ("random 3", None, 736, "38e9bf25d6508846"),
        ("random 3", 10**9, 752, "7b83cab64846c6f2"),
        ("random 7", None, 3136, "bbc54a80ecda5fe7"),
        ("two pools", None, 1728, "e5b6b2ed01a63362"),
    ],
)
def test_schedule_of_a_known_network_stays_what_it_is(name, ram_bytes, memory_bytes, expected):
    """Firmware that is built again is the same, byte for byte."""
    plan = plan_stream(network_of(BUILT[name]()), scratch, ram_bytes)
    assert (plan.memory_bytes, fingerprint(plan)) == (memory_bytes, expected)


def test_cuts_where_one_tensor_carries_everything(network):
    layers = network_of(network("resnet8"))
    # Behind each of the three additions, and where no shortcut is on its way.
    additions = [layer.index + 1 for layer in layers.layers if layer.op.opcode == "ADD"]
    assert set(additions) <= set(cut_points(layers))
    assert not any(additions[0] - 2 < cut < additions[0] for cut in cut_points(layers))


def test_refuses_what_its_tables_cannot_hold(random_graph):
    graph = random_graph(0)
    wide = dataclasses.replace(graph.input, shape=(1, 4, 70_000, 1))
    graph = dataclasses.replace(graph, tensors=(wide, *graph.tensors[1:]))
    with pytest.raises(UnsupportedOperatorError, match="beyond the engine's 16 bits"):
        network_of(graph)


def test_names_an_operator_that_the_engine_has_not(network):
    graph = network("odd")
    strange = dataclasses.replace(graph.operators[0], opcode="TRANSPOSE_CONV")
    graph = dataclasses.replace(graph, operators=(strange, *graph.operators[1:]))
    with pytest.raises(
        UnsupportedOperatorError, match=r"TRANSPOSE_CONV \(operator 0\).*TFLite Micro"
    ):
        network_of(graph)
