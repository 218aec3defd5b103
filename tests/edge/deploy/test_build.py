"""From a model to an image: what it takes, and what is left as it was when it does not fit."""

import pytest

import edge
from edge.catalog.boards import boards, find_board
from edge.errors import DoesNotFitError, EdgeError
from edge.firmware.flash import UF2_BLOCK_BYTES, FlashPlan, flash, flash_plan, program, uf2


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


@pytest.mark.parametrize("board", [board.id for board in boards()])
def test_builds_for_every_board(arm_compiler, kws, tmp_path, board):
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


PLANS = {
    "nucleo-f446re": "pyocd flash --target stm32f446retx {}/firmware.elf",
    "nano-33-ble-sense": "bossac --erase --write --reset --offset=0x00010000 {}/firmware.bin",
    "portenta-h7": "dfu-util -d 2341:035b -a 0 -s 0x08040000:leave -D {}/firmware.bin",
    "raspberry-pi-pico-2": "copy {}/firmware.uf2 to the drive of the board",
}


@pytest.mark.parametrize("board", PLANS)
def test_says_what_would_program_a_board(firmware, tmp_path, board):
    plan = flash_plan(firmware.folder, board, drives=tmp_path)
    assert plan.sentence() == PLANS[board].format(firmware.folder)


@pytest.mark.parametrize(
    ("board", "words"),
    [
        ("mps2-an386", "is emulated"),
        ("raspberry-pi-pico", "boot header"),
        ("teensy-4.1", "boot header"),
    ],
)
def test_says_why_a_board_cannot_be_programmed(firmware, board, words):
    with pytest.raises(EdgeError, match=words):
        flash_plan(firmware.folder, board)


def test_says_what_makes_a_firmware(tmp_path):
    with pytest.raises(EdgeError, match="keras-mobilenet build"):
        flash_plan(tmp_path, "nucleo-f446re")


def test_copies_to_the_drive_of_a_boot_loader(arm_compiler, kws, tmp_path):
    board = find_board("raspberry-pi-pico-2")
    drive = tmp_path / "RP2350"
    drive.mkdir()
    (drive / "INFO_UF2.TXT").write_text("UF2 Bootloader")
    edge.build(kws, board.id, tmp_path / "firmware")
    image = (tmp_path / "firmware" / "firmware.bin").read_bytes()
    flash(tmp_path / "firmware", board, drives=tmp_path)
    written = (drive / "firmware.uf2").read_bytes()
    assert len(written) == 512 * -(-len(image) // UF2_BLOCK_BYTES)
    data = b"".join(written[at + 32 : at + 288] for at in range(0, len(written), 512))
    assert data[: len(image)] == image
    # Its boot ROM looks for the block of words in the first 4 KiB.
    block = b"".join(word.to_bytes(4, "little") for word in board.boot_block)
    assert 0 <= image.find(block) < 4096 - len(block)


def test_says_that_no_drive_is_there(firmware, tmp_path):
    board = find_board("raspberry-pi-pico-2")
    with pytest.raises(EdgeError, match="BOOTSEL"):
        flash(firmware.folder, board, drives=tmp_path)


def test_passes_on_what_a_tool_says(tmp_path):
    with pytest.raises(EdgeError, match=r"pyocd (is not installed|failed)"):
        program(FlashPlan(("pyocd", "flash", str(tmp_path))), "nucleo-f446re")


def test_blocks_of_uf2_know_their_number_and_place():
    blocks = uf2(bytes(600), 0x10000000, 7)
    heads = [blocks[at : at + 32] for at in range(0, len(blocks), 512)]
    places = [
        (int.from_bytes(h[12:16], "little"), int.from_bytes(h[20:24], "little")) for h in heads
    ]
    assert places == [(0x10000000, 0), (0x10000100, 1), (0x10000200, 2)]
    assert all(blocks[at - 4 : at] == bytes.fromhex("306fb10a") for at in (512, 1024, 1536))
