"""The command line: what it prints for people and scripts, and one line for bad input."""

import ast
import json
import resource
import subprocess
import sys

import numpy as np
import pytest

COMMANDS = [
    *("boards", "train", "search", "demo", "export", "build", "run", "flash"),
    *("verify", "compare", "report", "inspect", "fit", "plan", "stream", "monitor", "run-all"),
]


def test_lists_the_boards(cli):
    done = cli("boards")
    assert done.returncode == 0
    assert "nucleo-f446re" in done.stdout
    listed = json.loads(cli("boards", "--json").stdout)
    assert len(listed) >= 12
    assert {"id", "core", "flash_bytes", "ram_bytes", "sources"} <= listed[0].keys()


def test_board_of_the_users_own_goes_where_a_name_does(assert_refused, cli, kws, tmp_path):
    own = tmp_path / "my-board.toml"
    done = cli("boards", "--new", own, "--from", "nucleo-f446re")
    assert done.stdout.strip() == f"Wrote {own}: change its figures, then give --board {own}."
    assert_refused(cli("boards", "--new", own), "is there already")
    assert_refused(cli("boards", "--from", "nucleo-f446re"), "give --new my-board.toml too")
    own.write_text(own.read_text("utf-8").replace("131_072", "16_384"), "utf-8")
    fit = json.loads(cli("fit", kws, "--board", own, "--json").stdout)
    assert (fit["board"], fit["fits"]) == ("my-board", False)
    own.write_text(own.read_text("utf-8").replace("16_384", "-1"), "utf-8")
    assert_refused(cli("fit", kws, "--board", own), "bytes is -1 but should be greater than 0")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(cli, command):
    done = cli(command, "--help")
    assert done.returncode == 0
    assert f"Example: keras-mobilenet {command}" in " ".join(done.stdout.split())


def test_the_commands_are_these(cli):
    import typer.main

    from edge.cli.main import app

    assert set(typer.main.get_command(app).commands) == set(COMMANDS)


def test_help_costs_under_half_a_second(cli):
    """Of the processor: what else runs on this machine must not count."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert cli("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < 0.5, seconds


def test_help_loads_no_library_of_numbers():
    code = """
import sys
from edge.cli.main import main
try:
    main(["--help"])
except SystemExit:
    print(sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stderr.splitlines()[-1]))
    assert not loaded & {"numpy", "jinja2", "matplotlib", "tensorflow", "keras", "optuna"}


@pytest.mark.parametrize("command", ["boards", "inspect", "fit", "stream"])
def test_piped_output_is_not_cut(cli, vww, command):
    """COLUMNS is a terminal's width, and a pipe is no terminal."""
    done = cli(command, *([] if command == "boards" else [vww]))
    assert done.returncode == 0, done.stderr
    assert "…" not in done.stdout
    rows = [line for line in done.stdout.splitlines() if line.startswith("│")]
    assert all(row.split("│")[1].strip() for row in rows), "a cell is folded into a second row"
    if command == "inspect":
        name = "model/batch_normalization/FusedBatchNormV3;model/conv2d/BiasAdd/ReadVariableOp"
        assert name in done.stdout


def test_a_damaged_keras_file_is_named(assert_refused, cli, tmp_path):
    """`wrong_calls.py` does so with every command that takes a model."""
    (tmp_path / "model.keras").write_bytes(b"no archive")
    done = cli("stream", tmp_path / "model.keras")
    assert_refused(done, "model.keras is not a readable Keras model")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["stream", "verify"])
def test_a_float_keras_file_is_calibrated_with_images(cli, float_keras, command):
    done = cli(command, float_keras, "--data", "faces", "--json")
    assert done.returncode == 0, done.stderr
    assert isinstance(json.loads(done.stdout), dict)


def test_calibration_is_for_a_keras_file(assert_refused, cli, vww):
    assert_refused(cli("inspect", vww, "--data", "digits"), "--data calibrates a .keras file")


def test_exports_a_model_of_another_maker(cli, vww, tmp_path):
    done = cli("export", vww, "--board", "nucleo-f446re", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "46,932 to spare" in done.stdout
    assert (tmp_path / "vww_96_int8_data.cc").is_file()


def test_says_exactly_how_a_128_kib_board_fits(cli, vww, tmp_path):
    done = cli("export", vww, "--board", "micro:bit v2", "--out", tmp_path, "--json")
    report = json.loads(done.stdout)
    assert (report["board"], report["fits"]) == ("microbit-v2", True)
    assert (report["arena_bytes"], report["arena_is_exact"]) == (82_288, True)
    assert report["ram_bytes"] == sum(i["bytes"] for i in report["items"] if i["memory"] == "RAM")


def test_says_exactly_how_a_32_kib_board_does_not_fit(cli, vww, tmp_path):
    done = cli("export", vww, "--board", "arduino-zero", "--out", tmp_path / "firmware")
    assert done.returncode == 2
    assert "over by 51,372" in done.stdout
    assert "The same network would fit" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "firmware").exists()
    as_json = cli("export", vww, "--board", "arduino-zero", "--out", tmp_path / "x", "--json")
    report = json.loads(as_json.stdout)
    assert as_json.returncode == 2
    assert (report["flash_over_bytes"], report["ram_over_bytes"]) == (166_982, 51_372)
    assert report["variants"][0]["input_shape"] == [48, 48, 3]


def test_verifies(cli, vww):
    done = cli("verify", vww, "--inputs", 5)
    assert (done.returncode, done.stdout) == (0, "LiteRT reference == TFLM on 5 of 5 inputs\n")


def test_an_unequal_model_fails_verification(cli, kws):
    done = cli("verify", kws, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["equal_count"] < report["input_count"] == 100


def test_inspects(cli, vww):
    done = cli("inspect", vww)
    assert done.returncode == 0, done.stderr
    assert "DEPTHWISE_CONV_2D" in done.stdout
    assert "7,489,664 MACs" in done.stdout
    report = json.loads(cli("inspect", vww, "--json").stdout)
    assert sum(op["macs"] for op in report["operators"]) == report["macs"] == 7_489_664
    assert report["memory"]["peak_bytes"] == 73_728
    sizes = [tensor["bytes"] for tensor in report["memory"]["peak_tensors"]]
    # Greedy leaves a hole below them, for a larger tensor that comes later.
    assert sizes == [27_648, 18_432]


def test_inspect_draws_memory_over_time(assert_refused, cli, vww, tmp_path):
    done = cli("inspect", vww, "--plot", tmp_path / "pictures" / "memory.png")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "pictures" / "memory.png").read_bytes().startswith(b"\x89PNG")
    done = cli("inspect", vww, "--plot", tmp_path / "memory.xyz")
    assert_refused(done, "Cannot write the picture")


def test_fit_sets_a_model_beside_a_board(cli, vww, tmp_path):
    done = cli("fit", vww, "--board", "nucleo-h743zi2", "--plot", tmp_path / "fit.png")
    assert done.returncode == 0, done.stderr
    assert "AXI SRAM" in done.stdout
    assert (tmp_path / "fit.png").stat().st_size > 5_000
    report = json.loads(cli("fit", vww, "--json").stdout)
    assert report["banks"][1]["used_bytes"] == report["ram_bytes"] == 102_572
    # Between one and two cycles an instruction, at 180 MHz.
    assert 20 < report["estimated_ms"]["low"] < report["estimated_ms"]["high"] < 80
    assert report["not_estimated"] is None


def test_fit_keeps_a_margin(cli, vww):
    assert cli("fit", vww, "--ram-margin", 28_500).returncode == 0
    done = cli("fit", vww, "--ram-margin", 28_501)
    assert done.returncode == 2
    assert "over by 1" in done.stderr


def test_plans_and_says_what_no_plan_can_beat(cli, vww, tmp_path):
    out = tmp_path / "planned.tflite"
    report = json.loads(cli("plan", vww, "--out", out, "--json").stdout)
    assert report["greedy_bytes"] == 73_728
    assert report["planned_bytes"] == report["lower_bound_bytes"] == 55_296
    assert report["is_optimal"]
    assert json.loads(cli("inspect", out, "--json").stdout)["has_offline_plan"]
    assert cli("verify", out, "--inputs", 5).returncode == 0


def test_an_overlapping_plan_is_proven_on_tflm(cli, vww):
    done = cli("plan", vww, "--overlap")
    assert done.returncode == 0, done.stderr
    assert "Same bytes out on TFLite Micro for 20 of 20" in done.stdout


@pytest.mark.slow
def test_trains_and_exports_what_it_trained(cli, tmp_path):
    model = tmp_path / "faces.keras"
    options = ["--data", "faces", "--side", "64", "--rho", "0.5", "--alpha", "0.1"]
    done = cli("train", *options, "--float-epochs", 1, "--qat-epochs", 1, "--out", model, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["test"]["image_count"] == 40
    exported = cli(
        "export", model, "--labels", report["files"]["labels"], "--out", tmp_path / "firmware"
    )
    assert exported.returncode == 0, exported.stderr
    settings = (tmp_path / "firmware" / "faces_settings.h").read_text()
    assert '"no face",' in settings
    assert "{1, 32, 32, 1}" in settings


def test_refuses_what_is_no_tflite(assert_refused, cli, tmp_path):
    path = tmp_path / "photo.tflite"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    assert_refused(cli("export", path), "is not a .tflite file")


def test_refuses_a_truncated_tflite(assert_refused, cli, vww, tmp_path):
    path = tmp_path / "cut.tflite"
    path.write_bytes(vww.read_bytes()[:200_000])
    assert_refused(cli("export", path), "damaged or truncated (200000 bytes)")


@pytest.fixture(scope="module")
def float_keras(tmp_path_factory):
    import keras

    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu")(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x)
    path = tmp_path_factory.mktemp("float") / "float.keras"
    keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x)).save(path)
    return path


@pytest.fixture(scope="module")
def float_tflite(tmp_path_factory):
    import keras
    import tensorflow as tf

    inputs = keras.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs))
    path = tmp_path_factory.mktemp("float") / "float.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    return path


def test_refuses_a_float_tflite(assert_refused, cli, float_tflite):
    assert_refused(cli("export", float_tflite), "is not an int8 model")


def test_refuses_an_unsupported_layer_of_a_keras_model(assert_refused, cli, tmp_path):
    import keras

    inputs = keras.Input((32, 32, 1))
    x = keras.layers.Conv2D(4, 3, activation="gelu", name="fancy")(inputs)
    model = keras.Model(inputs, x)
    assert model.input_shape[0] is None, "the batch is dynamic"
    model.save(tmp_path / "model.keras")
    done = cli("export", tmp_path / "model.keras", "--data", "faces", "--out", tmp_path / "out")
    assert_refused(done, "which TFLite Micro does not have")
    assert "fancy" in done.stderr
    assert not (tmp_path / "out").exists()


def test_refuses_a_keras_model_without_ranges(assert_refused, cli, tmp_path):
    import keras

    inputs = keras.Input((32, 32, 1))
    keras.Model(inputs, keras.layers.Conv2D(4, 3)(inputs)).save(tmp_path / "model.keras")
    assert_refused(cli("export", tmp_path / "model.keras"), "on the command line --data")


@pytest.mark.parametrize("alpha", ["0", "1.5"])
def test_refuses_an_alpha_out_of_range(assert_refused, cli, tmp_path, alpha):
    done = cli("train", "--alpha", alpha, "--out", tmp_path / "model.keras")
    assert_refused(done, "alpha must be a number in (0, 1]")
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_rho_that_leaves_too_few_pixels(assert_refused, cli, tmp_path):
    done = cli("train", "--side", 48, "--rho", 0.5, "--out", tmp_path / "model.keras")
    assert_refused(done, "= 24 pixels; the network needs at least 32")


def test_refuses_an_unknown_board_with_the_nearest_names(assert_refused, cli, vww):
    assert_refused(cli("export", vww, "--board", "nucleo-f445"), "nearest: nucleo-f446re")


def test_refuses_a_folder_that_cannot_be_written(assert_refused, cli, vww, tmp_path):
    (tmp_path / "file").write_text("earlier")
    done = cli("export", vww, "--out", tmp_path / "file" / "firmware")
    assert_refused(done, "Cannot write to")
    assert (tmp_path / "file").read_text() == "earlier"
    done = cli("train", "--out", tmp_path / "file" / "model.keras")
    assert_refused(done, "Cannot write to")


def test_refuses_an_unknown_data_set(assert_refused, cli, tmp_path):
    done = cli("train", "--data", "nowhere", "--out", tmp_path / "model.keras")
    assert_refused(done, "No data set 'nowhere'")


@pytest.mark.parametrize("kind", ["png", "truncated", "float", "board", "misfit"])
def test_bad_input_leaves_earlier_output_untouched(cli, vww, float_tflite, tmp_path, kind):
    out = tmp_path / "firmware"
    assert cli("export", vww, "--out", out).returncode == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(
        {
            "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
            "truncated": vww.read_bytes()[:9000],
            "float": float_tflite.read_bytes(),
        }.get(kind, vww.read_bytes())
    )
    board = {"board": "no-such-board", "misfit": "arduino-zero"}.get(kind, "nucleo-f446re")
    done = cli("export", bad, "--board", board, "--out", out)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_verify_needs_tflm_and_says_how_to_get_it(vww, monkeypatch):
    import importlib.util

    from edge.errors import MissingToolError
    from edge.runtimes.interpreters import run_tflm
    from edge.tflite.reader import read_graph

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingToolError, match=r"pip install 'keras-mobilenet\[tflm\]'"):
        run_tflm(read_graph(vww), np.zeros((1, 96, 96, 3), np.int8))
