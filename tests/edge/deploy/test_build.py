"""From a model to an image: what it takes, and what is left as it was when it does not fit."""

import pytest

import edge
from edge.catalog.boards import boards
from edge.errors import DoesNotFitError


@pytest.fixture(scope="module")
def firmware(arm_compiler, kws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("firmware")
    return edge.build(kws, "nucleo-f446re", folder)


def test_the_image_names_its_model(firmware):
    image = (firmware.folder / "firmware.bin").read_bytes()
    assert firmware.graph.sha256.encode() in image


def test_measures_what_was_built(firmware):
    sections = firmware.firmware
    assert sections.flash_bytes == len((firmware.folder / "firmware.bin").read_bytes())
    assert sections.weights_bytes == firmware.engine.weights_bytes
    assert sections.static_ram_bytes >= firmware.engine.state_bytes
    assert firmware.ram_bytes < 16 * 1024


ONE_A_START = {(board.chip.family, board.core): board.id for board in boards()}
"""A board for each way to start a core; `benchmarks/boards.py` builds for all."""


@pytest.mark.parametrize("board", ONE_A_START.values())
def test_builds_for_boards_of_every_family(arm_compiler, kws, tmp_path, board):
    built = edge.build(kws, board, tmp_path)
    assert built.flash_bytes <= built.board.flash_bytes
    assert built.ram_bytes <= built.board.ram_bytes


def test_the_person_detector_fits_where_tflite_micro_does_not(arm_compiler, vww, tmp_path):
    """32 KiB of RAM, 256 KiB of flash."""
    built = edge.build(vww, "arduino-zero", tmp_path)
    assert built.ram_bytes < 32 * 1024 / 2
    with pytest.raises(DoesNotFitError):
        edge.export(vww, "arduino-zero", tmp_path)


def test_a_frame_that_does_not_fit_leaves_everything_as_it_was(arm_compiler, vww, tmp_path):
    edge.build(vww, "arduino-zero", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(DoesNotFitError, match=r"RAM of 32,768 bytes is over by [\d,]+") as error:
        edge.build(vww, "arduino-zero", tmp_path, is_frame=True)
    assert error.value.exit_code == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_takes_a_keras_model(arm_compiler, trained, tmp_path):
    assert edge.build(trained.model, "mps2-an386", tmp_path).engine.network.graph.output.shape


def test_the_files_and_names_bear_the_models_name(arm_compiler, kws, tmp_path):
    """Of its file, or the one that was chosen."""
    for given, name in ((None, "kws_ref_model"), ("Key Word", "key_word")):
        built = edge.build(kws, "mps2-an386", tmp_path / name, name=given)
        assert built.name.snake == name
        header = (built.folder / f"{name}.h").read_text()
        assert f"void {name}_run({name}_state_t *state" in header
        assert f'#include "{name}.h"' in (built.folder / "measure.c").read_text()
    images = [(path / "firmware.bin").read_bytes() for path in tmp_path.iterdir()]
    assert images[0] == images[1], "a name is not in the machine's code"
