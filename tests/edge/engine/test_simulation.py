"""One simulation from a layer on serves every segment that starts there."""

import dataclasses

import pytest

from edge.engine.layers import network_of
from edge.engine.schedule import cut_points
from edge.engine.simulation import Simulation
from edge.engine.stream_plan import Await, Make


def first_layers(network, count):
    layers = network.layers[:count]
    return dataclasses.replace(network, layers=layers, output=layers[-1].output)


def until_whole(simulation, last_layer):
    events = simulation.events[: simulation.ends[last_layer] + 1]
    return [event for event in events if isinstance(event, Await) or event.layer <= last_layer]


@pytest.mark.parametrize("seed", range(30))
def test_layers_behind_a_segment_do_not_change_what_it_does(random_graph, seed):
    network = network_of(random_graph(seed))
    cuts = cut_points(network)
    for first in cuts[:-1]:
        whole = Simulation(network, first)
        for end in (cut for cut in cuts if cut > first):
            alone = Simulation(first_layers(network, end), first)
            assert until_whole(whole, end - 1) == until_whole(alone, end - 1)
            last, last_alone = whole.ends[end - 1], alone.ends[end - 1]
            for tensor in alone.history.keys() - {network.layers[end - 1].output}:
                rows = whole.history[tensor].until(last)
                assert rows == alone.history[tensor].until(last_alone)


@pytest.mark.parametrize("seed", range(30))
def test_every_row_is_made_once_and_none_before_the_first_row_of_the_input(random_graph, seed):
    network = network_of(random_graph(seed))
    events = Simulation(network, 0).events
    assert events[0] == Await()
    assert events.count(Await()) == network.rows[network.input].height
    for layer in network.layers:
        assert events.count(Make(layer.index)) == network.rows[layer.output].height
