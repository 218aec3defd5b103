"""The real tools, without a board: what they say comes in one line, within the limit."""

import json
import pathlib
import subprocess
import time

import pytest
from elf_files import firmware_folder
from sam_ba import SamBa

from edge.catalog.boards import boards, find_board
from edge.catalog.programming import ChipId, Programming
from edge.errors import EdgeError
from edge.firmware.flash.find_tool import find_tool
from edge.firmware.flash.firmware_files import read_firmware
from edge.firmware.flash.flash import flash
from edge.firmware.flash.session import Deadline, Session
from edge.firmware.flash.tools import bossac, pyocd
from edge.firmware.flash.tools.openocd import OPENOCD
from edge.firmware.flash.tools.pyocd import PYOCD

GRACE_SECONDS = 20
SCRIPTS = {
    tuple(way.scripts): (board.id, way)
    for board in boards()
    for way in board.programming.ways
    if way.tool == "openocd"
}
TARGETS = {
    way.target: (board.id, way)
    for board in boards()
    for way in board.programming.ways
    if way.tool == "pyocd"
}


def session_of(tmp_path, name, way):
    board = find_board(name)
    files = read_firmware(firmware_folder(tmp_path / "firmware", board), board)
    return Session(board=board, way=way, files=files, deadline=Deadline(60), tell=print)


@pytest.fixture(scope="module")
def listed():
    """What the real pyOCD lists as its targets."""
    path = find_tool("pyocd")
    if path is None:
        pytest.skip("pyocd is not installed")
    return subprocess.run([path, "json", "--targets"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("target", TARGETS)
def test_pyocd_knows_a_target_or_its_pack_is_named(listed, monkeypatch, tmp_path, target):
    monkeypatch.setattr(pyocd, "_json", lambda session, what: listed.decode())
    said = PYOCD.lacks(session_of(tmp_path, *TARGETS[target]))
    built_in = [t["name"] for t in json.loads(listed)["targets"] if t["source"] == "builtin"]
    if target in built_in:
        assert said == ""
    else:
        assert said in ("", f"needs a pack: pyocd pack install {target}")


def test_pyocd_waits_for_a_probe_that_is_not_there(listed, tmp_path):
    session = session_of(tmp_path, *TARGETS["nrf52833"])
    assert PYOCD.waits_for(session) == "no debug probe"


@pytest.mark.parametrize("scripts", SCRIPTS, ids=" ".join)
def test_openocd_has_the_files_of_a_board_and_says_that__is_there(tool, tmp_path, scripts):
    """Debian's OpenOCD reads them to their end: what fails is only that nothing is plugged in."""
    tool("openocd")
    session = session_of(tmp_path, *SCRIPTS[scripts])
    assert OPENOCD.lacks(session) == ""
    said = OPENOCD.waits_for(session)
    known = ("open failed", "unable to find a matching CMSIS-DAP device", "No J-Link device found")
    assert said.startswith(known)


@pytest.mark.parametrize(
    ("name", "chosen", "words"),
    [
        ("nucleo-f446re", "st-flash", "st-flash: no ST-LINK"),
        ("nucleo-f446re", "openocd", "openocd: open failed"),
        ("portenta-h7", "dfu-util", r"dfu-util: no boot loader \(2341:035b\)"),
        ("feather-m0", "bossac", "bossac: no serial port of its boot loader"),
    ],
)
def test_board_that_is_not_there_ends_in_one_line(tool, tmp_path, name, chosen, words):
    tool(chosen)
    folder = firmware_folder(tmp_path / "firmware", name)
    start = time.monotonic()
    with pytest.raises(EdgeError, match=words) as error:
        flash(folder, name, tool=chosen, timeout=1)
    assert time.monotonic() - start < 1 + GRACE_SECONDS
    assert "\n" not in str(error.value)


def test_bossac_of_debian_is_told_from_arduinos(tool, tmp_path):
    """Only Arduino's fork can name an nRF52; this one cannot write to the Nano."""
    debian = pathlib.Path(tool("bossac"))
    folder = firmware_folder(tmp_path / "firmware", "nano-33-ble-sense")
    if bossac._bossac_for("nRF52840") is not None:
        pytest.skip(f"Arduino's fork is installed beside {debian}")
    with pytest.raises(EdgeError, match="bossac knows no nRF52840; Arduino's fork does"):
        flash(folder, "nano-33-ble-sense", timeout=1)


# A boot loader on a pseudo-terminal, and the real bossac


@pytest.fixture
def boot_loader(tool, tmp_path, monkeypatch):
    tool("bossac")
    made = []

    def start(**options):
        made.append(SamBa(tmp_path, **options))
        port = str(made[0].port)
        monkeypatch.setattr(bossac, "_ports", lambda ids: [port] if "239a:000b" in ids else [])
        return made[0]

    yield start
    for each in made:
        each.close()


def test_bossac_writes_behind_the_boot_loader_and_verifies(boot_loader, tmp_path):
    samd21 = boot_loader()
    image = bytes(range(256)) * 20 + b"end"
    folder = firmware_folder(tmp_path / "firmware", "feather-m0", image)
    done = flash(folder, "feather-m0", tool="bossac")
    assert (done.bytes, done.is_chip_known, done.is_verified) == (len(image), True, True)
    assert samd21.memory[0x2000 : 0x2000 + len(image)] == image
    assert samd21.memory[:0x2000] == b"\x5a" * 0x2000


def test_bossac_erases_nothing_on_another_chip(boot_loader, tmp_path):
    samd51 = boot_loader(device_id=0x10010300 | 0x0E)
    folder = firmware_folder(tmp_path / "firmware", "feather-m0")
    with pytest.raises(EdgeError):
        flash(folder, "feather-m0", tool="bossac")
    assert set(samd51.memory) == {0x5A}
    assert "X" not in samd51.seen


def test_fields_of_a_board_file_are_checked():
    with pytest.raises(ValueError, match="mask"):
        ChipId.model_validate({"name": "ID", "address": 0, "mask": -1, "value": 0})
    with pytest.raises(ValueError, match="tool"):
        Programming.model_validate({"ways": [{"tool": "hammer"}]})
