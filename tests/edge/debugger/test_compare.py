"""The debugger finds the layer that was spoilt, and says nothing of a healthy one."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

import edge
from edge.debugger.compare import compare, sqnr_db
from edge.errors import EdgeError, ModelError
from edge.runtimes.interpreters import run_litert_tensors
from edge.tflite.quantize import to_int8, to_real
from edge.tflite.reader import read_graph
from edge.tflite.reference import every_tensor
from edge.tflite.writer import pack, unpack
from edge.transforms.isolate_operators import operators_apart

COUNT = 24


@pytest.fixture(scope="module")
def images(digits):
    return digits.test_inputs()[:COUNT]


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("compare") / "digits.keras"
    trained.model.save(path)
    return path


@pytest.fixture(scope="module")
def plain(random_weights):
    """A Sequential model as keyword spotting has it, its inputs, and its int8 graph."""
    model = keras.Sequential(
        [
            keras.Input((9, 7, 1)),
            layers.Conv2D(8, (5, 3), 2, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.Dropout(0.2),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.LeakyReLU(0.1),
            layers.Conv2D(6, 1, activation="relu6"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.set_weights(random_weights(model))
    samples = np.random.default_rng(0).uniform(-1, 1, (20, 9, 7, 1)).astype("float32")
    return model, samples, read_graph(edge.convert(model, samples))


def first_operators(graph, start, end):
    """A part of the graph."""
    source = graph.operators[start].inputs[0]
    return dataclasses.replace(
        graph, operators=graph.operators[start:end], inputs=(source,), outputs=()
    )


@pytest.mark.parametrize(
    "last",
    [
        [layers.Dense(4, activation="softmax")],
        [layers.Dense(4), layers.Activation("softmax")],
        [layers.Dense(4), layers.Softmax()],
    ],
)
def test_softmax_is_aligned_in_each_of_the_ways_keras_writes_it(random_weights, last):
    model = keras.Sequential([keras.Input((5, 5, 1)), layers.Conv2D(3, 3), layers.Flatten(), *last])
    model.set_weights(random_weights(model))
    samples = np.random.default_rng(0).uniform(-1, 1, (20, 5, 5, 1)).astype("float32")
    found = compare(model, edge.convert(model, samples), samples)
    assert [layer.opcode for layer in found.layers][-1] == "SOFTMAX"
    assert found.unmatched == ()


def test_sqnr_equals_a_direct_calculation(plain):
    model, samples, graph = plain
    found = compare(model, graph, samples)
    assert found.input_count == 20
    values = [every_tensor(first_operators(graph, 0, 2), q) for q in to_int8(samples, graph.input)]
    for place, layer_index in ((0, 2), (1, 6)):
        signal = keras.Model(model.inputs, model.layers[layer_index].output).predict(
            samples, verbose=0
        )
        tensor = graph.tensors[graph.operators[place].outputs[0]]
        noisy = np.concatenate([to_real(one[tensor.index], tensor) for one in values])
        expected = 10 * np.log10(np.sum(signal**2) / np.sum((noisy - signal) ** 2))
        assert found.layers[place].sqnr_db == pytest.approx(expected, abs=0.01)
        stored = to_int8(noisy, tensor).astype(int)
        assert found.layers[place].range_use == (stored.max() - stored.min() + 1) / 256


def test_own_sqnr_is_that_of_the_operator_alone_on_float_inputs(plain):
    """The second operator, computed by the NumPy kernels on the first one's float output."""
    model, samples, graph = plain
    found = compare(model, graph, samples).layers[1]
    assert (found.opcode, found.keras_layer) == ("DEPTHWISE_CONV_2D", model.layers[4].name)
    before, after = (model.layers[index].output for index in (2, 6))
    alone = first_operators(graph, 1, 2)
    source, tensor = alone.input, graph.tensors[alone.operators[0].outputs[0]]
    x = keras.Model(model.inputs, before).predict(samples, verbose=0)
    lowest, highest = to_real(np.array([-128, 127], np.int8), source)
    signal = keras.Model(before, after).predict(np.clip(x, lowest, highest), verbose=0)
    noisy = np.concatenate(
        [to_real(every_tensor(alone, q)[tensor.index], tensor) for q in to_int8(x, source)]
    )
    assert found.own_sqnr_db == pytest.approx(sqnr_db(signal, noisy), abs=0.01)
    assert found.own_sqnr_db > found.sqnr_db


class Strange(layers.LeakyReLU):
    """No kind of layer that the package knows."""


def test_an_activation_of_its_own_is_aligned_with_its_layer(plain):
    model, samples, graph = plain
    found = compare(model, graph, samples)
    assert found.unmatched == ()
    assert (found.layers[2].opcode, found.layers[2].keras_layer) == (
        "LEAKY_RELU",
        model.layers[7].name,
    )


def test_operator_without_a_layer_is_named_and_those_after_it_are_aligned(plain):
    known, samples, graph = plain
    strange = [Strange(0.1) if isinstance(x, layers.LeakyReLU) else x for x in known.layers]
    model = keras.Sequential([keras.Input((9, 7, 1)), *strange])
    found = compare(model, graph, samples)
    assert [sentence for sentence in found.unmatched if "LEAKY_RELU" in sentence]
    assert [sentence for sentence in found.unmatched if model.layers[7].name in sentence]
    by_weights = found.layers[2]
    assert (by_weights.opcode, by_weights.keras_layer) == ("CONV_2D", model.layers[8].name)
    assert min(layer.own_sqnr_db for layer in found.layers) > 28


def test_healthy_model_gets_no_advice(trained, trained_tflite, images):
    found = compare(trained.model, trained_tflite, images)
    assert found.advice == ()
    assert found.unmatched == ()
    assert len(found.layers) == len(read_graph(trained_tflite).operators)
    assert found.worst.own_sqnr_db > 28
    assert found.output_agreement > 0.95
    assert found.reference.startswith("the float layers inside quantization-aware model")
    # Noise is worth nothing as an input, and is said to be: no advice on ranges either.
    noise = compare(trained.model, trained_tflite, count=4)
    assert noise.is_random
    assert noise.advice == ()


def test_int8_model_may_be_a_path_bytes_a_graph_or_a_keras_model(
    trained, trained_tflite, images, tmp_path
):
    path = tmp_path / "digits.tflite"
    path.write_bytes(trained_tflite)
    kinds = (path, str(path), trained_tflite, read_graph(trained_tflite), trained.model)
    found = [compare(trained.model, model, images[:2]) for model in kinds]
    assert all(comparison == found[0] for comparison in found)


@pytest.mark.parametrize(
    ("name", "index"),
    [("block_4_depthwise", 7), pytest.param("conv_preds", 28, marks=pytest.mark.exhaustive)],
)
def test_weights_of_three_bits_are_found(saved, trained_tflite, images, name, index):
    op = read_graph(trained_tflite).operators[index]
    model = unpack(trained_tflite)
    buffer = model.buffers[model.subgraphs[0].tensors[op.inputs[1]].buffer]
    weights = np.asarray(buffer.data).view(np.int8).astype(int)
    buffer.data = (np.round(weights / 32) * 32).clip(-127, 127).astype(np.int8).view(np.uint8)
    found = compare(saved, pack(model), images)
    assert (found.worst.operator, found.worst.cause) == (op.index, "weights")
    (advice,) = found.advice
    assert advice.startswith(f"quantized_{name} (operator {op.index}, ")
    assert "rounded to fewer bits" in advice


def test_saturating_activation_is_found(saved, images):
    model = keras.saving.load_model(saved)
    model.get_layer("quantized_block_6_pointwise").output_range.set_limits(0.0, 1.2)
    found = compare(model, edge.convert(model), images)
    assert (found.worst.keras_layer, found.worst.cause) == (
        "quantized_block_6_pointwise",
        "output",
    )
    assert found.worst.saturation_rate > 0.02
    assert found.advice[0].startswith("quantized_block_6_pointwise ")
    assert "clipped to [0, 1.2]" in found.advice[0]
    # The layer after it reads what is clipped, and is not blamed.
    assert not [advice for advice in found.advice if advice.startswith("quantized_block_7")]


def test_channel_that_a_depthwise_kernel_magnifies_is_found(saved, images):
    """A hundredth out of one batch normalization, a hundredfold in the kernel after it."""
    model = keras.saving.load_model(saved)
    before = model.get_layer("quantized_block_2_pointwise").batch_norm
    depthwise = model.get_layer("quantized_block_3_depthwise")
    channel = int(np.argmax(np.asarray(before.gamma)))
    scale = np.ones(before.gamma.shape, "float32")
    scale[channel] = 100.0
    before.gamma.assign(np.asarray(before.gamma) / scale)
    before.beta.assign(np.asarray(before.beta) / scale)
    kernel = depthwise.convolution.kernel
    kernel.assign(np.asarray(kernel) * scale[:, None])
    # What its own batch normalization takes back is folded away, and no fault.
    other = model.get_layer("quantized_block_5_depthwise")
    other.convolution.kernel.assign(np.asarray(other.convolution.kernel) * 100)
    for name, power in (("moving_mean", 1), ("moving_variance", 2)):
        variable = getattr(other.batch_norm, name)
        variable.assign(np.asarray(variable) * 100.0**power)
    found = compare(model, edge.convert(model), images)
    assert (found.worst.keras_layer, found.worst.cause) == (depthwise.name, "input")
    (advice,) = found.advice
    assert advice.startswith(f"{depthwise.name} ")
    assert "equalize_weights" in advice


def test_one_scale_for_wide_channels_is_found(saved, trained_tflite, images):
    """Per-tensor kernels, as older converters write them."""
    model = keras.saving.load_model(saved)
    layer = model.get_layer("quantized_block_3_depthwise")
    kernel = np.array(layer.convolution.kernel)
    kernel[:, :, 0] *= 100.0
    layer.convolution.kernel.assign(kernel)
    changed = unpack(trained_tflite)
    op = read_graph(trained_tflite).operators[5]
    one_scale(changed, op, kernel, layer.batch_norm)
    found = compare(model, pack(changed), images)
    assert (found.worst.operator, found.worst.cause) == (op.index, "weights")
    assert "one scale" in found.advice[0]
    assert "equalize_weights" in found.advice[0]


def one_scale(model, op, kernel, norm):
    """Writes a folded depthwise kernel with one scale into the file's objects."""
    subgraph = model.subgraphs[0]
    weights, bias = (subgraph.tensors[index] for index in op.inputs[1:])
    factor = np.asarray(norm.gamma) / np.sqrt(np.asarray(norm.moving_variance) + norm.epsilon)
    folded = kernel[..., 0] * factor
    scale = float(np.abs(folded).max() / 127)
    model.buffers[weights.buffer].data = np.round(folded / scale).astype(np.int8).view(np.uint8)
    model.buffers[weights.buffer].data = model.buffers[weights.buffer].data.reshape(-1)
    input_scale = float(subgraph.tensors[op.inputs[0]].quantization.scale[0])
    real_bias = np.asarray(norm.beta) - np.asarray(norm.moving_mean) * factor
    steps = np.round(real_bias / (input_scale * scale)).astype(np.int32)
    model.buffers[bias.buffer].data = steps.view(np.uint8)
    for tensor, one in ((weights, scale), (bias, input_scale * scale)):
        tensor.quantization.scale, tensor.quantization.zeroPoint = [one], [0]


def test_other_preprocessing_is_found(saved, trained_tflite, images):
    pixels = images * 128 + 128
    beyond = compare(saved, trained_tflite, pixels)
    share = np.mean(pixels >= 1)
    assert beyond.input.saturation_rate == pytest.approx(share)
    assert f"{share:.1%} of the input values lie beyond [-1, 0.9922]" in beyond.advice[0]
    narrow = compare(saved, trained_tflite, pixels / 255)
    assert "The inputs use 50% of [-1, 0.9922]" in narrow.advice[0]


def test_models_that_do_not_belong_together_are_refused(
    saved, trained_tflite, plain, network, images
):
    import keras_mobilenet

    other = keras_mobilenet.MobileNetV1((48, 48, 1), 0.25, classes=10, padding="same")
    with pytest.raises(ModelError, match=r"differ at the input: operator 0 .*other weights"):
        compare(other, trained_tflite, images)
    deeper = keras.Sequential([*keras.saving.load_model(saved).layers[:7], layers.ReLU()])
    with pytest.raises(ModelError, match="differ after 'quantized_block_2_depthwise'"):
        compare(deeper, trained_tflite, images)
    with pytest.raises(ModelError, match="not the same network"):
        compare(plain[0], trained_tflite, images)


def test_inputs_that_do_not_fit_are_refused(saved, trained_tflite, images):
    with pytest.raises(EdgeError, match=r"must be finite, of shape .*got \(24, 47, 48, 1\)"):
        compare(saved, trained_tflite, images[:, 1:])
    with pytest.raises(EdgeError, match="give floats"):
        compare(saved, trained_tflite, images.astype(np.int8))


def test_isolated_operators_compute_what_they_compute_in_the_network(network, random_inputs):
    graph = network("resnet8")
    inputs = random_inputs(graph, 3).reshape(3, -1)
    apart = operators_apart(graph, range(len(graph.operators)))
    wanted = [op.outputs[0] for op in graph.operators]
    together = dict(zip(wanted, run_litert_tensors(graph, inputs, wanted), strict=True))
    together[graph.inputs[0]] = inputs
    fed = [
        together[index].reshape(3, -1)
        for op in graph.operators
        for index in op.inputs
        if not graph.tensors[index].is_constant
    ]
    alone = run_litert_tensors(apart, np.concatenate(fed, axis=1), apart.outputs)
    for index, value in zip(wanted, alone, strict=True):
        np.testing.assert_array_equal(value, together[index])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet8", "odd"])
def test_networks_other_than_mobilenet_v1_are_aligned(network, keras_network, name):
    graph, model = network(name), keras_network(name)
    samples = np.random.default_rng(0).uniform(-1, 1, (2, *model.input_shape[1:]))
    found = compare(model, graph, samples.astype("float32"))
    assert found.unmatched == ()
    assert [layer.operator for layer in found.layers] == list(range(len(graph.operators)))
    # A wrong pair would show: this is the error of one operator on its own input.
    assert found.worst.own_sqnr_db > 25


def test_model_of_another_converter_is_aligned(vww, shared_data):
    """MLPerf Tiny's float file and int8 file: other names, a Dense layer, another pooling."""
    from PIL import Image

    from keras_mobilenet.models.weights import from_h5
    from keras_mobilenet.preprocessing.preprocessing import resize_pixels

    paths = sorted((shared_data / "images").glob("*.jpg"))[:8]
    pixels = [
        resize_pixels(np.asarray(Image.open(path).convert("RGB")), 96, 96, 3) for path in paths
    ]
    found = compare(
        from_h5(shared_data / "models" / "vww_96.h5"), vww, np.stack(pixels) / np.float32(255)
    )
    assert found.unmatched == ()
    assert len(found.layers) == 31
    assert found.layers[0].own_sqnr_db > 35


def test_compare_command_prints_tables_json_and_a_plot(
    cli, assert_refused, saved, trained_tflite, vww_like_file, tmp_path
):
    model = tmp_path / "digits.tflite"
    model.write_bytes(trained_tflite)
    picture = tmp_path / "sqnr.png"
    done = cli("compare", saved, model, "--data", "digits", "--inputs", 8, "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert "The largest output is the same on 100.0% of 8 inputs" in done.stdout
    assert "No layer stands out." in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    report = json.loads(cli("compare", saved, model, "--inputs", 2, "--json").stdout)
    assert (report["is_random"], report["input_count"]) == (True, 2)
    assert report["layers"][0].keys() >= {"operator", "sqnr_db", "own_sqnr_db", "saturation_rate"}
    assert report["layers"][1]["keras_layer"] == "quantized_block_1_depthwise"
    assert_refused(
        cli("compare", saved, model, "--data", vww_like_file), "must be finite, of shape"
    )


@pytest.fixture
def vww_like_file(tmp_path):
    path = tmp_path / "inputs.npy"
    np.save(path, np.zeros((2, 96, 96, 3), "float32"))
    return path


def test_a_pooling_of_one_pixel_is_no_operator(random_weights):
    """The converter drops it, as in a MobileNet for images of 32x32 pixels."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 8, activation="relu"),
            layers.GlobalAveragePooling2D(keepdims=True, name="pool"),
            layers.Conv2D(4, 1),
            layers.Flatten(),
        ]
    )
    model.set_weights(random_weights(model))
    samples = np.random.default_rng(0).uniform(-1, 1, (20, 8, 8, 3)).astype("float32")
    graph = read_graph(edge.convert(model, samples))
    assert "MEAN" not in graph.op_names()
    result = compare(model, graph, samples)
    assert [layer.opcode for layer in result.layers][:2] == ["CONV_2D", "CONV_2D"]
    assert not result.unmatched
