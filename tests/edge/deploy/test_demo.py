"""The demo: on the best images that the machine has, and to its end on the emulated board."""

import dataclasses
import time

import numpy as np
import pytest

from edge.cli import result_tables
from edge.deploy import demo, demo_data
from edge.errors import MissingToolError
from keras_mobilenet.training import data as image_data
from keras_mobilenet.training.data import load_images


@pytest.fixture(scope="module")
def done(arm_compiler, qemu, unicorn, tmp_path_factory):
    """A hurried demo, with all that it said."""
    folder, said = tmp_path_factory.mktemp("demo") / "out", []
    options = {"float_epochs": 1, "qat_epochs": 1, "verbose": 0, "alpha": 0.5}
    result = demo.run_demo(
        "digits", "nucleo-f446re", folder, announce=said.append, warn=said.append, **options
    )
    return result, said


@pytest.mark.slow
def test_the_own_image_answers_as_litert_does_on_every_held_out_image(done):
    result, said = done
    count = result.verification.input_count
    assert result.equal_on_board == result.verification.equal_count == count == 360
    assert result.board_accuracy == result.int8_accuracy
    assert result.is_equal
    assert "1,295 to train on, 142 to choose an epoch on, 360 to be judged on" in said[0]


@pytest.mark.slow
def test_both_runtimes_stand_side_by_side(done):
    result, _ = done
    budget, board = result.export.budget, result.on_board
    cells = [list(column.cells) for column in result_tables.demo_table(result).columns]
    assert cells[1][1].startswith(f"{budget.ram_bytes:,}")
    assert cells[2][1] == f"{board.built.ram_bytes:,}"
    assert board.built.ram_bytes < budget.ram_bytes
    assert board.built.flash_bytes < budget.flash_bytes
    assert cells[2][3] == f"{board.cycles.total.instructions:,}"


@pytest.mark.slow
def test_the_folder_holds_what_flash_needs(done):
    folder = done[0].export.folder
    for name in ("model.keras", "model.tflite", "model_data.cc", "firmware/firmware.json"):
        assert (folder / name).is_file(), name


@pytest.mark.slow
def test_a_network_that_a_linear_model_beats_is_named(done):
    result, said = done
    assert result.simple.logistic_regression > result.int8_accuracy
    assert any("logistic regression on the pixels does better" in line for line in said)


@pytest.mark.slow
def test_other_bytes_on_the_board_are_no_success(done):
    result, _ = done
    outputs = result.on_board.outputs.copy()
    outputs[7, 3] ^= 1
    other = dataclasses.replace(
        result, on_board=dataclasses.replace(result.on_board, outputs=outputs)
    )
    assert other.equal_on_board == 359
    assert not other.is_equal


@pytest.mark.slow
def test_without_a_tool_the_demo_says_which_and_ends_at_tflite_micro(done):
    result, _ = done
    missing = dataclasses.replace(result, on_board=None, missing="unicorn is not installed.")
    assert missing.is_equal
    assert missing.board_accuracy is None
    cells = list(result_tables.accuracies_table(missing).columns[1].cells)
    assert cells[-1] == "unicorn is not installed."


def test_a_missing_tool_is_caught_and_a_whole_folder_written(monkeypatch, tmp_path):
    from networks import small_tflite

    from edge.tflite.reader import read_graph

    def fails(*_):
        raise MissingToolError("cmake is not installed (Debian: apt install cmake).")

    monkeypatch.setattr(demo, "run_on_board", fails)
    board = demo.find_board("nucleo-f446re")
    inputs, files = np.zeros((1, 8, 8, 3), np.int8), {"model.keras": b"0"}
    ends = demo._written(
        read_graph(small_tflite()), board, inputs, tmp_path / "out", files, ("a", "b"), print
    )
    assert ends["missing"].startswith("cmake is not installed")
    assert ends["on_board"] is None
    assert (tmp_path / "out" / "model.keras").is_file()


# The images


def test_the_best_set_is_taken(monkeypatch, tmp_path):
    monkeypatch.setattr(demo_data, "_has_cifar10", lambda: True)
    assert demo_data.best_source()[0] == "cifar10"
    monkeypatch.setattr(demo_data, "_has_cifar10", lambda: False)
    monkeypatch.setattr(image_data, "DEBIAN_FASHION_MNIST", tmp_path)
    assert demo_data.best_source()[0] == "fashion_mnist"
    monkeypatch.setattr(image_data, "DEBIAN_FASHION_MNIST", tmp_path / "none")
    source, why = demo_data.best_source()
    assert source == "digits"
    assert "apt install dataset-fashion-mnist" in why


def test_a_network_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(demo_data, "DOWNLOAD", "import time; time.sleep(600)")
    monkeypatch.setattr(demo_data, "DOWNLOAD_LIMIT_S", 0.5)
    start = time.monotonic()
    assert not demo_data._has_cifar10()
    assert time.monotonic() - start < 60


def test_a_large_set_is_cut_the_same_way_each_time(monkeypatch):
    monkeypatch.setattr(demo_data, "MOST_TEST_IMAGES", 100)
    data = load_images("digits", 16, 1)
    few, again = demo_data.fewer(data), demo_data.fewer(data)
    assert (len(few.train_labels), len(few.test_labels)) == (1295, 100)
    assert few.digest == again.digest
    assert len(set(few.test_labels)) == 10


@pytest.mark.parametrize("source", [*demo_data.RECIPES, "faces"])
def test_a_recipe_makes_a_network_with_a_map_left_to_convolve(source):
    model = demo_data.recipe_for(source).network(10, alpha=1.0)
    last = [layer for layer in model.layers if layer.name.startswith("block_")][-1]
    assert last.output.shape[1] >= 3
    assert model.count_params() < 50_000
