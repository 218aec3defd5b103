"""The gate: a model is right as a whole, or refused in one line that says what and where."""

import pathlib
import runpy

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from networks import small_tflite

import edge
from edge.catalog.boards import find_board
from edge.converter.model_source import read_model
from edge.deploy.verify import random_inputs
from edge.deploy.verify_engine import run_emulated
from edge.errors import EdgeError, ModelError
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference
from edge.tflite.writer import pack, unpack

FUZZER = runpy.run_path(str(pathlib.Path(__file__).parent / "fuzz_structure.py"))
LONGEST_LINE, exercise = FUZZER["LONGEST_LINE"], FUZZER["exercise"]
RUNS = None
FILES = {
    "faults/1141.tflite": "zero point of -1000, which int8 cannot hold",
    "faults/batch2.tflite": "a batch of 2",
    "faults/beta_nan.tflite": "beta of nan",
    "faults/dead_op.tflite": RUNS,
    "faults/dense1000.tflite": RUNS,
    "faults/inner_misc_13.tflite": RUNS,
    "faults/inner_misc_18.tflite": RUNS,
    "faults/inner_mob_tiny_0.tflite": "its output is its input",
    "faults/inner_mob_tiny_15.tflite": RUNS,
    "faults/inner_resnet_tiny_22.tflite": RUNS,
    "faults/inner_resnet_tiny_28.tflite": RUNS,
    "faults/scales_7_of_8.tflite": "7 scales for 8 channels",
    "faults/soft1d.tflite": r"shape \(5,\), without a batch axis",
    "faults/w_zp.tflite": "weights 't1' with a zero point of 15",
    "faults/zp_-129.tflite": "zero point of -129",
    "faults/zp_1000.tflite": "zero point of 1000",
    "models/mobilenet_v1_0.25_128_quant.tflite": "is uint8, as TensorFlow 1 quantized",
    "models/public/mcunet_vww.tflite": RUNS,
    "models/public/mlc_ad01.tflite": RUNS,
    "models/public/mlc_ad_floatio.tflite": RUNS,
    "models/public/openmv_fomo_face_detection.tflite": RUNS,
    "models/public/tflm_keyword_scrambled_8bit.tflite": "keeps a state .* of SVDF",
    "models/public/tflm_micro_speech.tflite": RUNS,
    "models/public/tflm_person_detect.tflite": RUNS,
}
"""What becomes of each file: it passes the gate, or is refused with these words."""


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_others_passes_or_is_refused_in_one_line(name, shared_data):
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    if FILES[name] is RUNS:
        assert read_model(path).operators
        return
    with pytest.raises(ModelError, match=FILES[name]) as error:
        read_model(path)
    assert_one_line(error)


def test_the_table_names_every_file_that_is_there(shared_data):
    files = [*shared_data.glob("faults/*.tflite"), *shared_data.glob("models/public/*.tflite")]
    assert {str(path.relative_to(shared_data)) for path in files} <= FILES.keys()


NO_LITERT = "faults/dense1000.tflite"
"""LiteRT's SOFTMAX aborts at 512 equal logits."""
NO_KERNEL = {"models/public/mcunet_vww.tflite": "TRANSPOSE"}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [name for name in FILES if FILES[name] is RUNS])
def test_what_passes_gives_the_bytes_of_litert_on_every_core(name, shared_data, arm_compiler, qemu):
    path = shared_data / name
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    graph = read_model(path)
    if name in NO_KERNEL:
        with pytest.raises(EdgeError, match=f"has no kernel for {NO_KERNEL[name]}"):
            edge.verify_engine(graph)
        assert edge.verify(graph, count=5).is_equal
    elif name == NO_LITERT:
        inputs = random_inputs(graph, 3, 0)
        expected = run_reference(graph, inputs)
        for board in ("mps2-an386", "mps3-an547"):
            emulation, _ = run_emulated(graph, find_board(board), inputs)
            np.testing.assert_array_equal(emulation.outputs, expected)
    else:
        assert edge.verify_engine(graph, count=3).is_equal


def test_the_axis_of_a_bias_is_mended_for_litert(shared_data):
    from edge.runtimes.interpreters import run_litert

    path = shared_data / "models" / "public" / "tflm_person_detect.tflite"
    if not path.is_file():
        pytest.skip(f"{path} is absent")
    graph = read_graph(path)
    assert graph.content != path.read_bytes()
    assert len(graph.content) == path.stat().st_size
    inputs = np.random.default_rng(0).integers(-128, 128, (2, 96, 96, 1), np.int8)
    np.testing.assert_array_equal(run_litert(graph, inputs), run_reference(graph, inputs))


def assert_one_line(error):
    assert str(error.value).isprintable()
    assert len(str(error.value)) <= LONGEST_LINE


def rewritten(change):
    """The small network with something changed in its tables."""
    model = unpack(small_tflite())
    subgraph = model.subgraphs[0]
    for op in subgraph.operators:
        op.inputs, op.outputs = [int(i) for i in op.inputs], [int(i) for i in op.outputs]
    change(model, subgraph)
    return pack(model)


CONV, DEPTHWISE, ADD, MEAN, DENSE, SOFTMAX = 0, 1, 3, 4, 5, 6


def quantization(op, place, **fields):
    """Changes the quantization of one of an operator's tensors; place -1 is its output."""

    def change(model, subgraph):
        found = subgraph.operators[op]
        index = found.outputs[0] if place == -1 else found.inputs[place]
        for name, value in fields.items():
            setattr(subgraph.tensors[index].quantization, name, value)

    return change


def option(op, name, value):
    def change(model, subgraph):
        setattr(subgraph.operators[op].builtinOptions, name, value)

    return change


def inputs(op, change_inputs):
    def change(model, subgraph):
        change_inputs(subgraph.operators[op].inputs)

    return change


def computed(op, place):
    """A constant of an operator is a second input of the model."""

    def change(model, subgraph):
        index = subgraph.operators[op].inputs[place]
        subgraph.tensors[index].buffer = 0
        subgraph.inputs = [*subgraph.inputs, index]

    return change


def bias_of_int64(model, subgraph):
    bias = subgraph.tensors[subgraph.operators[CONV].inputs[2]]
    bias.type, buffer = schema.TensorType.INT64, model.buffers[bias.buffer]
    values = np.array(buffer.data, np.uint8).view("<i4").astype("<i8")
    buffer.data = np.frombuffer(values.tobytes(), np.uint8)


def outputs(choose):
    def change(model, subgraph):
        subgraph.outputs = choose(subgraph)

    return change


def variable(model, subgraph):
    subgraph.tensors[subgraph.operators[DEPTHWISE].inputs[1]].isVariable = True


def custom(model, subgraph):
    code = model.operatorCodes[subgraph.operators[CONV].opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
    code.customCode = b"CONV_2D"


def hostile_names(model, subgraph):
    for tensor in subgraph.tensors:
        tensor.name = b"\n\x1b[2J" * 1000
    subgraph.tensors[0].quantization.scale = [float("nan")]


def no_options(model, subgraph):
    subgraph.operators[CONV].builtinOptions, subgraph.operators[CONV].builtinOptionsType = None, 0


def input_is_constant(model, subgraph):
    subgraph.inputs = [subgraph.operators[CONV].inputs[1]]


WIDE = {"scale": [1.0, 1.0], "zeroPoint": [0, 0], "quantizedDimension": 3}
WRONG = {
    "weights of CONV_2D": (quantization(CONV, 1, zeroPoint=[0, 1, 0, 0]), "zero point of 1"),
    "weights of DEPTHWISE": (quantization(DEPTHWISE, 1, zeroPoint=[3] * 4), "zero point of 3"),
    "weights of FULLY_CONNECTED": (quantization(DENSE, 1, zeroPoint=[0, -7]), "zero point of -7"),
    "zero point 128": (quantization(CONV, -1, zeroPoint=[128]), "128, which int8 cannot hold"),
    "zero point of a bias": (quantization(CONV, 2, zeroPoint=[0, 0, 0, 9]), "must be 0"),
    "scaled sums": (quantization(DENSE, 1, scale=[1.0, 1e6]), "leave 32 bits when they are scaled"),
    "denormal scale": (quantization(CONV, -1, scale=[1e-45]), "vanished or exploded"),
    "infinite scale": (quantization(ADD, -1, scale=[float("inf")]), "ran into numbers"),
    "nan in weights": (quantization(CONV, 1, scale=[0.1, 0.1, float("nan"), 1]), "training"),
    "nan in a bias": (quantization(CONV, 2, scale=[float("nan")] * 4), "training"),
    "axis of weights": (quantization(CONV, 1, quantizedDimension=1), "4 scales for 3 channels"),
    "axis out of range": (quantization(CONV, 1, quantizedDimension=7), "axis 7"),
    "scales of an activation": (quantization(CONV, -1, **WIDE), "2 scales for 4 channels"),
    "zero points too few": (quantization(CONV, 1, zeroPoint=[0]), "4 scales and 1 zero points"),
    "sum of three": (inputs(ADD, lambda i: i.append(i[0])), "has 3 inputs, not 2"),
    "sum of one": (inputs(ADD, lambda i: i.pop()), "has 1 inputs, not 2"),
    "no kernel": (inputs(CONV, lambda i: i.__delitem__(slice(1, 3))), "has 1 inputs, not 2 to 3"),
    "no axes": (inputs(MEAN, lambda i: i.pop()), "has 1 inputs, not 2"),
    "computed axes": (computed(MEAN, 1), "takes axes or sizes from tensor"),
    "bias of int64": (bias_of_int64, "constant bias of int64"),
    "beta of nothing": (option(SOFTMAX, "beta", 1e-20), "makes all its outputs equal"),
    "beta infinite": (option(SOFTMAX, "beta", float("inf")), "beta of inf"),
    "beta negative": (option(SOFTMAX, "beta", -1.0), "beta of -1"),
    "stride 0": (option(CONV, "strideH", 0), "has stride"),
    "dilation huge": (option(DEPTHWISE, "dilationWFactor", 2**30), "dilation"),
    "padding unknown": (option(CONV, "padding", 5), "unknown kind of padding"),
    "tanh": (option(CONV, "fusedActivationFunction", 4), "fused activation that int8 kernels lack"),
    "multiplier": (option(DEPTHWISE, "depthMultiplier", 3), "multiplier 3"),
    "shuffled weights": (option(DENSE, "weightsFormat", 1), "shuffled order"),
    "softmax scale": (quantization(SOFTMAX, -1, scale=[0.5]), "not 1/256"),
    "no options": (no_options, "has no options of its kind"),
    "output is a constant": (outputs(lambda g: [g.operators[CONV].inputs[1]]), "is a constant"),
    "output is the input": (outputs(lambda g: list(g.inputs)), "its output is its input"),
    "output twice": (outputs(lambda g: [*g.outputs, *g.outputs]), "one input and one output"),
    "input is a constant": (input_is_constant, "before any operator makes it|is a constant"),
    "state": (variable, "keeps a state"),
    "hostile names": (hostile_names, "ran into numbers"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_no_int8_kernel_computes_is_refused_in_one_line(name):
    change, words = WRONG[name]
    with pytest.raises(ModelError, match=words) as error:
        read_model(rewritten(change))
    assert_one_line(error)


def test_a_custom_operator_is_custom_whatever_its_name():
    graph = read_graph(rewritten(custom))
    assert "CUSTOM:CONV_2D" in graph.op_names()
    assert exercise(graph.content) == "refused at tflm operators, refused at compile"


@pytest.mark.parametrize("beyond", [3, -1, 2**31 - 1])
def test_the_axis_of_a_vector_does_no_harm(beyond):
    content = rewritten(quantization(CONV, 2, quantizedDimension=beyond))
    graph = read_graph(content)
    bias = unpack(graph.content).subgraphs[0].tensors[graph.operators[CONV].inputs[2]]
    assert bias.quantization.quantizedDimension == 0
    assert len(graph.content) == len(content)


def test_unsigned_and_float_tensors_are_named_for_what_they_are():
    def floats(model, subgraph):
        for tensor in subgraph.tensors:
            is_byte = tensor.type == schema.TensorType.INT8
            tensor.type = schema.TensorType.UINT8 if is_byte else tensor.type
            if is_byte and tensor.quantization is not None:
                tensor.quantization.zeroPoint = [128] * len(tensor.quantization.scale)

    with pytest.raises(ModelError, match="'image' is uint8, as TensorFlow 1 quantized") as error:
        read_model(rewritten(floats))
    assert_one_line(error)
