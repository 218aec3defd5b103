"""Boards are programmed by the tool that each needs, and a refusal says what to do."""

import pytest
from elf_files import firmware_folder

import edge
from edge.catalog.boards import find_board
from edge.errors import EdgeError
from edge.firmware.flash.flash import FlashPlan, flash, flash_plan, program
from edge.firmware.flash.uf2 import UF2_BLOCK_BYTES, uf2

PLANS = {
    "nucleo-f446re": "pyocd flash --target stm32f446retx {}/firmware.elf",
    "nano-33-ble-sense": "bossac --erase --write --reset --offset=0x00010000 {}/firmware.bin",
    "portenta-h7": "dfu-util -d 2341:035b -a 0 -s 0x08040000:leave -D {}/firmware.bin",
    "raspberry-pi-pico-2": "copy {}/firmware.uf2 to the drive of the board",
}


@pytest.mark.parametrize("board", PLANS)
def test_plan_says_what_would_program_a_board(tmp_path, board):
    folder = firmware_folder(tmp_path / "firmware", board)
    plan = flash_plan(folder, board, drives=tmp_path)
    assert plan.sentence() == PLANS[board].format(folder)


@pytest.mark.parametrize(
    ("board", "words"),
    [
        ("mps2-an386", "is emulated"),
        ("teensy-4.1", "boot header"),
    ],
)
def test_plan_says_why_a_board_cannot_be_programmed(tmp_path, board, words):
    with pytest.raises(EdgeError, match=words):
        flash_plan(firmware_folder(tmp_path, board), board)


def test_folder_without_a_firmware_is_refused_with_the_command_that_builds_one(tmp_path):
    with pytest.raises(EdgeError, match="keras-mobilenet build"):
        flash_plan(tmp_path, "nucleo-f446re")


def test_flash_copies_to_the_drive_of_a_boot_loader(arm_compiler, kws, tmp_path):
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


def test_flash_without_a_drive_says_which_button_to_hold(tmp_path):
    board = find_board("raspberry-pi-pico-2")
    with pytest.raises(EdgeError, match="BOOTSEL"):
        flash(firmware_folder(tmp_path / "firmware", board), board, drives=tmp_path)


def test_program_passes_on_what_a_tool_says(tmp_path):
    with pytest.raises(EdgeError, match=r"pyocd (is not installed|failed)"):
        program(FlashPlan(("pyocd", "flash", str(tmp_path))), "nucleo-f446re")


def test_uf2_blocks_hold_their_number_and_address():
    blocks = uf2(bytes(600), 0x10000000, 7)
    heads = [blocks[at : at + 32] for at in range(0, len(blocks), 512)]
    places = [
        (int.from_bytes(h[12:16], "little"), int.from_bytes(h[20:24], "little")) for h in heads
    ]
    assert places == [(0x10000000, 0), (0x10000100, 1), (0x10000200, 2)]
    assert all(blocks[at - 4 : at] == bytes.fromhex("306fb10a") for at in (512, 1024, 1536))
