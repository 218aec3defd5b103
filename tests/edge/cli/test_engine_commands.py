"""The engine's commands: what they print, and one line for bad input."""

import json

import pytest


def test_shows_the_schedule(cli, vww, tmp_path):
    done = cli("stream", vww, "--plot", tmp_path / "stream.png")
    assert done.returncode == 0, done.stderr
    assert "3,774,684 MACs" in done.stdout
    assert (tmp_path / "stream.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads(cli("stream", vww, "--json").stdout)
    assert report["segments"][0]["layers"][0] == 0
    assert report["memory_bytes"] < 14_000


def test_says_what_the_smallest_schedule_takes(assert_refused, cli, kws):
    assert_refused(cli("stream", kws, "--ram", "1000"), "the smallest takes")


def test_builds_runs_and_flashes_no_other(arm_compiler, qemu, host_compiler, cli, kws, tmp_path):
    folder = tmp_path / "with space"
    done = cli("build", kws, "--board", "mps2-an386", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "weights" in done.stdout
    assert (folder / "firmware.elf").is_file()
    report = json.loads(cli("build", kws, "-b", "mps2-an386", "-o", folder, "--json").stdout)
    assert report["flash_bytes"] == report["weights_bytes"] + report["code_bytes"]
    run = cli("run", kws, "--board", "nucleo-f446re", "--inputs", 2)
    assert run.returncode == 0, run.stderr
    assert "2 of 2" in run.stdout
    assert "cycles, estimated" in run.stdout
    # The core is another board's, the clock that of the one that was named.
    assert "ms on Nucleo-F446RE, 180 MHz, estimated" in run.stdout
    printed = json.loads(cli("run", kws, "-b", "nucleo-f446re", "--inputs", 1, "--json").stdout)
    estimated = printed["estimated_cycles"]
    assert (printed["board"], estimated["board"]) == ("mps2-an386", "nucleo-f446re")
    assert printed["instructions"] < estimated["low"] < estimated["high"]
    assert estimated["low_ms"] == pytest.approx(estimated["low"] / 180e3)
    flash = cli("flash", folder, "--board", "nucleo-f446re", "--dry-run")
    assert "was built for mps2-an386, not for nucleo-f446re" in flash.stderr


def test_runs_on_a_core_without_a_board_of_its_own_in_qemu(assert_refused, cli, kws):
    run = cli("run", kws, "--board", "arduino-zero", "--inputs", 2)
    assert run.returncode == 0, run.stderr
    assert "2 of 2" in run.stdout
    assert_refused(cli("run", kws, "--emulate"), "No such option: --emulate")


def test_exports_the_engine_for_an_ecosystem(cli, kws, tmp_path):
    arguments = ["--runtime", "engine", "--shape", "arduino", "--name", "Key Words"]
    done = cli("export", kws, *arguments, "--out", tmp_path / "library")
    assert done.returncode == 0, done.stderr
    assert "its README.md says how to use it" in done.stdout
    assert (tmp_path / "library" / "library.properties").is_file()
    report = json.loads(cli("export", kws, *arguments, "--out", tmp_path / "x", "--json").stdout)
    assert (report["runtime"], report["shape"], report["name"]) == ("engine", "arduino", "KeyWords")
    assert report["kernels"]["portable"]["state_bytes"] > 0
    assert "budget" not in report
    assert "fits" not in report


def test_names_the_shapes_that_there_are(assert_refused, cli, kws):
    done = cli("export", kws, "--runtime", "engine", "--shape", "eclipse")
    assert_refused(done, "'eclipse' is not one of 'cmake', 'arduino', 'esp-idf'")


def test_too_large_is_an_exit_code_of_its_own(assert_refused, arm_compiler, cli, vww, tmp_path):
    done = cli("build", vww, "--board", "arduino-zero", "--frame", "--out", tmp_path / "firmware")
    assert_refused(done, "RAM of 32,768 bytes is over by", exit_code=2)
    assert not (tmp_path / "firmware").exists()


def test_names_what_it_has_no_kernel_for(assert_refused, cli, tmp_path):
    import keras
    import numpy as np

    import edge

    inputs = keras.Input((8, 8, 4))
    model = keras.Model(inputs, keras.layers.Concatenate()([inputs, keras.layers.ReLU()(inputs)]))
    samples = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 4)).astype("float32")
    path = tmp_path / "model.tflite"
    path.write_bytes(edge.convert(model, samples))
    done = cli("build", path, "--out", tmp_path / "firmware")
    assert_refused(done, "The engine has no kernel for")
    assert "keras-mobilenet export" in done.stderr
    assert not (tmp_path / "firmware").exists()


@pytest.mark.parametrize("command", ["build", "stream", "run"])
def test_refuses_what_is_no_model(assert_refused, cli, tmp_path, command):
    (tmp_path / "model.tflite").write_bytes(b"GIF89a")
    assert_refused(cli(command, tmp_path / "model.tflite"), "is not a .tflite file")


def test_a_folder_without_a_firmware(assert_refused, cli, tmp_path):
    assert_refused(cli("flash", tmp_path, "--dry-run"), "holds no firmware")
