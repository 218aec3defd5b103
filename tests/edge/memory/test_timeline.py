"""Memory over time agrees with the plan."""

from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import predict_arena
from edge.memory.timeline import memory_timeline
from edge.tflite.reader import read_graph


def test_the_peak_is_the_arenas_head(vww):
    for graph in (read_graph(vww), planned_model(read_graph(vww)).graph):
        timeline = memory_timeline(graph)
        assert timeline.peak.top_bytes == predict_arena(graph).head_bytes
        assert len(timeline.moments) == len(graph.operators)


def test_peak_buffers_are_what_the_peak_holds(vww):
    timeline = memory_timeline(planned_model(read_graph(vww)).graph)
    assert [buffer.bytes for buffer, _ in timeline.peak_buffers()] == [36_864, 18_432]
    assert timeline.peak.alive_bytes == timeline.peak.top_bytes == 55_296


def test_no_more_is_alive_than_the_plan_reaches(kws):
    for moment in memory_timeline(read_graph(kws)).moments:
        assert moment.alive_bytes <= moment.top_bytes
