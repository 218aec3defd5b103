"""Files made to hurt: each is refused in one line, or read for what it is."""

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge.errors import ModelError
from edge.tflite.reader import OFFLINE_PLAN_NAME, read_graph


def rewritten(path, change):
    """A real model with something changed in its tables."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes(), 0))
    for operator in model.subgraphs[0].operators:
        # As read they are views of the file.
        operator.inputs, operator.outputs = list(operator.inputs), list(operator.outputs)
    change(model, model.subgraphs[0])
    builder = flatbuffers.Builder(1 << 16)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def activation(graph):
    return graph.tensors[graph.operators[0].outputs[0]]


def cycle(model, graph):
    graph.operators[0].inputs[0] = graph.operators[-1].outputs[0]


def itself(model, graph):
    graph.operators[3].inputs[0] = graph.operators[3].outputs[0]


def huge_shape(model, graph):
    activation(graph).shape = [1, 2**30, 2**30, 64]


def negative_side(model, graph):
    activation(graph).shape = [1, -48, 48, 8]


def empty_image(model, graph):
    activation(graph).shape = [1, 0, 48, 8]


def far_tensor(model, graph):
    graph.operators[0].inputs[0] = 2**31 - 1


def negative_tensor(model, graph):
    graph.operators[0].inputs[0] = -7


def far_buffer(model, graph):
    graph.tensors[graph.operators[0].inputs[1]].buffer = 2**32 - 1


def far_opcode(model, graph):
    graph.operators[0].opcodeIndex = 2**31


def twice_made(model, graph):
    graph.operators[1].outputs[0] = graph.operators[0].outputs[0]


def no_operators(model, graph):
    graph.operators = []


def two_subgraphs(model, graph):
    model.subgraphs.append(graph)


def scale(value):
    def change(model, graph):
        activation(graph).quantization.scale = [value]

    change.__name__ = f"scale_{value}"
    return change


def plan_of_another_model(model, graph):
    entry, buffer = schema.MetadataT(), schema.BufferT()
    buffer.data = [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0] + [0] * 8
    entry.name, entry.buffer = OFFLINE_PLAN_NAME, len(model.buffers)
    model.buffers.append(buffer)
    model.metadata = [*(model.metadata or []), entry]


HOSTILE = [
    *(cycle, itself, huge_shape, negative_side, empty_image, far_tensor, negative_tensor),
    *(far_buffer, far_opcode, twice_made, no_operators, two_subgraphs, plan_of_another_model),
    *(scale(0.0), scale(-1.0), scale(float("nan")), scale(float("inf"))),
]


@pytest.mark.parametrize("change", HOSTILE, ids=lambda change: change.__name__)
def test_is_refused_in_one_line(kws, change):
    with pytest.raises(ModelError) as error:
        read_graph(rewritten(kws, change))
    assert "\n" not in str(error.value)


def test_the_rewriting_itself_harms_nothing(kws):
    assert len(read_graph(rewritten(kws, lambda model, graph: None)).operators) == 13
