"""A whole run: each step once, and again only where its inputs are others."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import edge

ROOT = pathlib.Path(__file__).parents[3]
STEPS = ["train", "convert", "verify", "fit", "export", "build", "run"]
FILE = """[data]
source = "images"
side = 16
[model]
stages = [[8, 3, 2, 1]]
stem = [4, 3, 2]
[training]
float_epochs = {epochs}
[quantization]
epochs = 1
[board]
name = "{board}"
[export]
emulated_images = {count}
"""

pytestmark = [pytest.mark.exhaustive, pytest.mark.slow]


def images(root, count=12):
    rng = np.random.default_rng(0)
    for label, name in enumerate(("dark", "light")):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = rng.integers(100 * label, 100 * label + 80, (16, 16), np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")


def command(place, epochs=1, board="arduino-zero", count=2):
    (place / "run.toml").write_text(FILE.format(epochs=epochs, board=board, count=count))
    return [sys.executable, "-m", "edge", "run-all", "run.toml", "--out", "out"]


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def run_all(place, **changes):
    done = subprocess.run(
        [*command(place, **changes), "--json"],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_each_step_is_done_once_and_again_only_for_other_inputs(arm_compiler, qemu, tmp_path):
    images(tmp_path / "images")
    first = run_all(tmp_path)
    assert list(first["steps"]) == STEPS
    assert first["done_before"] == []
    assert first["steps"]["run"]["equal_count"] == 2
    out = tmp_path / "out"
    assert (out / "model.labels.txt").read_text() == "dark\nlight\n"
    assert (out / "engine" / "firmware.elf").is_file()
    assert (out / "tflm" / "model_data.cc").is_file()
    assert not list(out.glob("backup-*"))
    model = (out / "model.tflite").read_bytes()
    verified = edge.verify(model, count=2)
    assert verified.is_equal

    again = run_all(tmp_path)
    assert again["done_before"] == STEPS
    assert again["steps"] == first["steps"]

    assert run_all(tmp_path, count=1)["done_before"] == STEPS[:-1]

    elsewhere = run_all(tmp_path, board="nucleo-f446re")
    assert elsewhere["done_before"] == ["train", "convert", "verify"]

    (out / "model.tflite").unlink()
    mended = run_all(tmp_path, board="nucleo-f446re")
    assert mended["done_before"] == [step for step in STEPS if step != "convert"]
    assert (out / "model.tflite").read_bytes() == model

    Image.new("L", (16, 16), 7).save(tmp_path / "images" / "dark" / "new.png")
    more = run_all(tmp_path, board="nucleo-f446re")
    assert "train" not in more["done_before"]


def test_a_killed_training_goes_on_and_ends_as_one_that_was_not(tmp_path):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for place in (whole, cut):
        images(place / "images")
    expected = run_all(whole, epochs=3)
    process = subprocess.Popen(
        command(cut, epochs=3), cwd=cut, env=environment(), stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if line.startswith("Epoch 3/"):
            process.send_signal(signal.SIGKILL)
    process.wait()
    done = subprocess.run(
        command(cut, epochs=3), cwd=cut, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "Epoch 1/" not in done.stdout
    steps = json.loads((cut / "out" / "run.json").read_text())["steps"]
    assert steps["train"]["figures"] == expected["steps"]["train"]
    for name in ("model.tflite", "engine/firmware.bin"):
        assert (cut / "out" / name).read_bytes() == (whole / "out" / name).read_bytes()


def test_what_does_not_fit_ends_with_exit_code_2_and_keeps_what_was_done(tmp_path):
    images(tmp_path / "images")
    small = tmp_path / "small.toml"
    shutil.copy(ROOT / "edge" / "catalog" / "microbit-v1.toml", small)
    text = small.read_text().replace("bytes = 16_384", "bytes = 2_048")
    assert "bytes = 2_048" in text
    small.write_text(text)
    done = subprocess.run(
        command(tmp_path, board="small.toml"),
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("Error: model.tflite does not fit.")
    assert set(json.loads((tmp_path / "out" / "run.json").read_text())["steps"]) == set(STEPS[:3])
