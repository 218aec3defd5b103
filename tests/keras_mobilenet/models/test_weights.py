"""Weights from elsewhere give the outputs that they gave there."""

import os
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

import keras_mobilenet
from edge.debugger.align import align_operators
from edge.debugger.kernels import folded_kernel, int8_kernel
from edge.tflite.reader import read_graph
from keras_mobilenet import MobileNetV1
from keras_mobilenet.models.weights import from_h5, from_tflite
from keras_mobilenet.quantization.decompose import float_nodes

POINTS = 0.02


@pytest.fixture(scope="module")
def google(shared_data):
    """Google's MobileNetV1 0.25 of ImageNet: uint8, one scale per tensor."""
    return shared_data / "models" / "mobilenet_v1_0.25_128_quant.tflite"


@pytest.fixture(scope="module")
def photographs(shared_data):
    """250 images of ImageNet as pixels of any side, and their classes; 0 is background."""
    from PIL import Image

    paths = sorted((shared_data / "images").glob("*.jpg"))
    labels = np.array([int(path.name[:3]) + 1 for path in paths])

    def pixels(side):
        images = [Image.open(path).convert("RGB") for path in paths]
        resized = [image.resize((side, side), Image.Resampling.BILINEAR) for image in images]
        return np.stack([np.asarray(image) for image in resized])

    return pixels, labels


def int8_scores(model, calibration, inputs):
    import edge
    from edge.deploy.verify import quantize_inputs
    from edge.runtimes.interpreters import run_litert

    graph = read_graph(edge.convert(model, calibration))
    return run_litert(graph, quantize_inputs(graph, inputs))


def test_googles_uint8_model_keeps_its_accuracy(google, photographs):
    from ai_edge_litert.interpreter import Interpreter

    pixels, labels = photographs[0](128), photographs[1]
    interpreter = Interpreter(str(google))
    interpreter.allocate_tensors()
    theirs = []
    for image in pixels:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
        interpreter.invoke()
        theirs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    theirs = np.argmax(theirs, axis=1) == labels

    model = from_tflite(google)
    assert model.input_shape == (None, 128, 128, 3)
    assert model.output_shape == (None, 1001)
    inputs = (pixels.astype(np.float32) - 128) / 128
    ours = model.predict(inputs, verbose=0).argmax(axis=1) == labels
    assert abs(ours.mean() - theirs.mean()) <= POINTS

    # Each half is calibrated with the other: of one half, three images are more than two points.
    int8 = np.empty_like(ours)
    for half in (np.arange(len(inputs)) % 2 == 0, np.arange(len(inputs)) % 2 == 1):
        int8[half] = int8_scores(model, inputs[~half], inputs[half]).argmax(axis=1) == labels[half]
    print(
        f"top-1: uint8 .tflite {theirs.mean():.1%}, float Keras {ours.mean():.1%}, "
        f"int8 {int8.mean():.1%}"
    )
    assert abs(int8.mean() - theirs.mean()) <= POINTS
    assert abs(int8.mean() - ours.mean()) <= POINTS


@pytest.mark.exhaustive
def test_a_few_steps_of_training_keep_the_accuracy(google, photographs):
    """Float and int8 epochs with the defaults, each half of the photographs judged by the other."""
    pixels, labels = photographs[0](128), photographs[1]
    inputs = (pixels.astype(np.float32) - 128) / 128
    model = from_tflite(google)
    is_right = model.predict(inputs, verbose=0).argmax(axis=1) == labels
    answers = np.empty(len(inputs), int)
    for half in (np.arange(len(inputs)) % 2 == 0, np.arange(len(inputs)) % 2 == 1):
        model = from_tflite(google)
        loss = "sparse_categorical_crossentropy"
        model.compile(keras.optimizers.Adam(1e-5), loss, jit_compile=False)
        callback = keras_mobilenet.QuantizationAwareTraining(start_epoch=1)
        model.fit(inputs[half], labels[half], 25, 3, verbose=0, callbacks=[callback])
        answers[~half] = int8_scores(model, None, inputs[~half]).argmax(axis=1)
    assert (answers == labels).mean() >= is_right.mean() - POINTS


@pytest.mark.exhaustive
def test_our_own_int8_model_comes_back(trained, trained_tflite, digits, tmp_path):
    path = tmp_path / "digits.tflite"
    path.write_bytes(trained_tflite)
    graph, model = read_graph(path), from_tflite(path)
    # What comes back is the int8 kernel, weight by weight.
    pairs = align_operators(graph, float_nodes(model)).pairs
    kernels = [pair for pair in pairs if folded_kernel(pair.nodes) is not None]
    assert len(kernels) == 28
    for match in kernels:
        weights = int8_kernel(graph, graph.operators[match.operator])
        np.testing.assert_allclose(folded_kernel(match.nodes), weights, rtol=1e-5, atol=1e-9)
    # Without the rounding of activations, an image at the edge may go to another class.
    inputs = digits.test_inputs()
    again = model.predict(inputs, verbose=0).argmax(axis=1)
    expected = trained.model.predict(inputs, verbose=0).argmax(axis=1)
    assert (again == expected).mean() >= 0.95
    right = [(found == digits.test_labels).mean() for found in (again, expected)]
    assert abs(right[0] - right[1]) <= POINTS


def test_mlperf_tinys_float_model_is_the_same(shared_data, tmp_path):
    """Against Keras 2, in a process of its own."""
    source = shared_data / "models" / "vww_96.h5"
    inputs = np.random.default_rng(0).uniform(0, 1, (8, 96, 96, 3)).astype(np.float32)
    np.save(tmp_path / "inputs.npy", inputs)
    code = (
        "import numpy as np, tf_keras, sys\n"
        "model = tf_keras.models.load_model(sys.argv[1], compile=False)\n"
        "np.save('outputs.npy', model.predict(np.load('inputs.npy'), verbose=0))\n"
    )
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, "-c", code, str(source)]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path, env=environment)
    model = from_h5(source)
    assert model.output_shape == (None, 2)
    expected = np.load(tmp_path / "outputs.npy")
    assert np.abs(model.predict(inputs, verbose=0) - expected).max() < 1e-4


def test_mlperf_tinys_int8_model_is_matched(shared_data, vww, photographs):
    """Ranges are averaged over batches of half of the photographs, with the weights left alone.

    The photographs are not those that the model was made for: where the two int8 models differ, the
    float model is undecided.
    """
    import edge
    from edge.deploy.verify import quantize_inputs
    from edge.runtimes.interpreters import run_litert
    from keras_mobilenet import quantize_model

    inputs = photographs[0](96).astype(np.float32) / 255
    model = from_h5(shared_data / "models" / "vww_96.h5")
    undecided = np.abs(model.predict(inputs, verbose=0)[:, 1] - 0.5)
    model.trainable = False
    quantized = quantize_model(model)
    for layer in quantized.layers:
        layer.trainable = False
    for _ in range(8):
        for start in range(0, len(inputs), 50):
            quantized(inputs[start : start + 50 : 2], training=True)

    ours, theirs = (
        run_litert(graph, quantize_inputs(graph, inputs)).argmax(axis=1)
        for graph in (read_graph(edge.convert(quantized)), read_graph(vww))
    )
    print(f"top-1 equal on {(ours == theirs).sum()} of {len(inputs)} photographs")
    assert (ours == theirs).mean() >= 0.98
    assert undecided[ours != theirs].max() < 0.05


@pytest.mark.parametrize("include_top", [True, False])
def test_files_of_keras_applications(random_weights, tmp_path, include_top):
    theirs = keras.applications.MobileNet((64, 64, 3), 0.25, weights=None, include_top=include_top)
    theirs.set_weights(random_weights(theirs))
    path = tmp_path / "mobilenet.h5"
    theirs.save(path)
    ours = MobileNetV1((64, 64, 3), 0.25, include_top=include_top, weights=path)
    inputs = np.random.default_rng(0).uniform(-1, 1, (3, 64, 64, 3)).astype(np.float32)
    expected = theirs.predict(inputs, verbose=0).reshape(3, -1)
    np.testing.assert_allclose(ours.predict(inputs, verbose=0).reshape(3, -1), expected, atol=1e-5)
    with pytest.raises(ValueError, match="another alpha"):
        MobileNetV1((64, 64, 3), 0.5, include_top=include_top, weights=path)


def test_a_body_with_a_new_classifier_keeps_its_body(random_weights, tmp_path):
    """Transfer learning: the file's classifier stays behind."""
    theirs = keras.applications.MobileNet((64, 64, 3), 0.25, weights=None)
    theirs.set_weights(random_weights(theirs))
    path = tmp_path / "mobilenet.h5"
    theirs.save(path)
    body = MobileNetV1((64, 64, 3), 0.25, include_top=False, pooling="avg", weights=path)
    inputs = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)
    pooling = next(layer for layer in theirs.layers if "global_average" in layer.name)
    pooled = keras.Model(theirs.input, pooling.output)
    expected = pooled.predict(inputs, verbose=0).reshape(2, -1)
    np.testing.assert_allclose(body.predict(inputs, verbose=0), expected, atol=1e-5)


SIZE = (47, 64, 3)
"""One odd side and one even."""


@pytest.fixture(scope="module")
def official(random_weights):
    """A network of keras.applications, images, and its scores of them."""
    model = keras.applications.MobileNet(SIZE, 0.25, weights=None, classes=4)
    model.set_weights(random_weights(model))
    images = np.random.default_rng(0).uniform(-1, 1, (2, *SIZE)).astype(np.float32)
    return model, images, np.array(model(images))


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5", "m.hdf5"])
def test_every_kind_of_file_of_keras_applications_gives_its_outputs(official, tmp_path, name):
    theirs, images, expected = official
    path = tmp_path / name
    if name == "m.hdf5":
        theirs.save(tmp_path / "m.h5")
        (tmp_path / "m.h5").rename(path)
    elif name == "m.weights.h5":
        theirs.save_weights(path)
    else:
        theirs.save(path)
    ours = MobileNetV1(SIZE, 0.25, classes=4, weights=path)
    np.testing.assert_allclose(ours(images), expected, atol=1e-5)
    again = MobileNetV1(SIZE, 0.25, classes=4)
    again.load_weights(path, **({"by_name": True} if name in ("m.h5", "m.hdf5") else {}))
    np.testing.assert_allclose(again(images), expected, atol=1e-5)
    with pytest.raises(ValueError, match="another alpha"):
        MobileNetV1(SIZE, 0.5, classes=4, weights=path)


def test_weights_by_name_leave_what_the_file_does_not_have(official, random_weights, tmp_path):
    """A file of weights alone, without classifier, as Keras 2 and keras.applications offer it."""
    theirs, images, _ = official
    body = keras.Model(theirs.input, theirs.get_layer("conv_pw_13_relu").output)
    body.save(tmp_path / "whole.h5")
    with h5py.File(tmp_path / "whole.h5") as whole, h5py.File(tmp_path / "body.h5", "w") as file:
        for name, value in whole["model_weights"].attrs.items():
            file.attrs[name] = value
        for name in whole["model_weights"]:
            whole.copy(whole["model_weights"][name], file, name)
    ours = MobileNetV1(SIZE, 0.25, classes=7)
    before = ours.get_layer("conv_preds").get_weights()
    with pytest.raises(ValueError, match="has no classifier"):
        ours.load_weights(tmp_path / "body.h5")
    ours.load_weights(tmp_path / "body.h5", by_name=True)
    features = keras.Model(ours.input, ours.get_layer("block_13").output)
    np.testing.assert_allclose(features(images), body(images), atol=1e-5)
    for now, then in zip(ours.get_layer("conv_preds").get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_skip_mismatch_keeps_a_classifier_of_other_classes(official, tmp_path):
    theirs, _, _ = official
    theirs.save(tmp_path / "m.h5")
    ours = MobileNetV1(SIZE, 0.25, classes=7)
    with pytest.raises(ValueError, match="has 4 classes, the model 7"):
        ours.load_weights(tmp_path / "m.h5")
    ours.load_weights(tmp_path / "m.h5", by_name=True, skip_mismatch=True)
    kernel = theirs.get_layer("conv_pw_13").kernel
    np.testing.assert_array_equal(ours.get_layer("block_13").pointwise.kernel, kernel)


@pytest.mark.parametrize("name", ["m.keras", "m.weights.h5", "m.h5"])
def test_files_of_our_own_models_still_load_as_keras_loads_them(random_weights, tmp_path, name):
    model = MobileNetV1(SIZE, 0.25, classes=4)
    model.set_weights(random_weights(model))
    (model.save_weights if name == "m.weights.h5" else model.save)(tmp_path / name)
    again = MobileNetV1(SIZE, 0.25, classes=4)
    again.load_weights(tmp_path / name, **({"by_name": True} if name == "m.h5" else {}))
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    whole = MobileNetV1(SIZE, 0.25, classes=4, weights=tmp_path / name)
    np.testing.assert_array_equal(whole.get_weights()[0], model.get_weights()[0])


def test_a_model_of_odd_sides_comes_back_from_its_h5_and_its_tflite(official, tmp_path):
    import edge

    theirs, images, expected = official
    theirs.save(tmp_path / "m.h5")
    np.testing.assert_allclose(from_h5(tmp_path / "m.h5")(images), expected, atol=1e-5)
    ours = MobileNetV1(SIZE, 0.25, 2, classes=4, classifier_activation=None)
    rng = np.random.default_rng(0)
    for _ in range(3):
        ours(rng.uniform(-1, 1, (8, *SIZE)), training=True)
    (tmp_path / "m.tflite").write_bytes(edge.convert(ours, images))
    again = from_tflite(tmp_path / "m.tflite")
    assert again.output_shape == (None, 4)
    assert [layer.zero_padding for layer in again.layers if hasattr(layer, "zero_padding")] == [
        layer.zero_padding for layer in ours.layers if hasattr(layer, "zero_padding")
    ]
    assert again.count_params() == ours.count_params()


def test_fine_tuning_leaves_a_frozen_normalization_alone(random_weights):
    body = MobileNetV1((32, 32, 3), 0.25, include_top=False, pooling="avg")
    body.set_weights(random_weights(body))
    norms = [
        norm
        for layer in body.layers
        if hasattr(layer, "fusable_stages")
        for _, norm, _ in layer.fusable_stages()
    ]
    for norm in norms:
        norm.trainable = False
    model = keras.Sequential([body, keras.layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.01), "sparse_categorical_crossentropy")
    kernel = body.get_layer("conv1").conv.kernel.numpy()
    before = [norm.get_weights() for norm in norms]
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (16, 32, 32, 3)).astype(np.float32)
    model.fit(images, rng.integers(0, 3, 16), epochs=2, verbose=0)
    for norm, weights in zip(norms, before, strict=True):
        for now, then in zip(norm.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)
    assert np.abs(body.get_layer("conv1").conv.kernel.numpy() - kernel).max() > 0


def test_refuses_other_networks(shared_data, kws, tmp_path):
    with pytest.raises(ValueError, match=r"is no MobileNetV1: it has 10 kernels"):
        from_tflite(kws)
    (tmp_path / "model.tflite").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match=r"is not a \.tflite file"):
        from_tflite(tmp_path / "model.tflite")
    (tmp_path / "model.h5").write_bytes(b"GIF89a")
    with pytest.raises(ValueError, match="is not an HDF5 file"):
        from_h5(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"alpha": 0.35}, "exist for alpha 0.25"),
        ({"input_shape": (96, 96, 3)}, "at 128, 160, 192 and 224"),
        ({"classes": 2}, "1000 classes"),
        ({"input_shape": (128, 128, 1)}, "are for RGB"),
        ({"depth_multiplier": 2}, "are for depth_multiplier 1"),
    ],
)
def test_says_for_which_models_imagenet_weights_exist(options, words):
    arguments = {"input_shape": (128, 128, 3), "alpha": 0.25, "weights": "imagenet"} | options
    with pytest.raises(ValueError, match=words):
        MobileNetV1(**arguments)
