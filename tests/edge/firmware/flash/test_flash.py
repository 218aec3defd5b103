"""The first tool that is ready is taken, and what a tool or a drive says comes in one line."""

import os
import pathlib
import signal
import struct
import threading
import time

import pytest
from elf_files import firmware_folder

from edge.catalog.boards import find_board
from edge.catalog.programming import Way
from edge.errors import EdgeError, MissingToolError
from edge.firmware.flash.flash import flash, flash_plan
from edge.firmware.flash.progress import fraction_done
from edge.firmware.flash.session import informative_line
from edge.firmware.flash.uf2 import uf2

NUCLEO = find_board("nucleo-f446re")
HANGS = "import time\nprint('Info : waiting', flush=True)\ntime.sleep(600)\n"
PYOCD_TARGET = "stm32f446retx"


@pytest.fixture
def nucleo(tmp_path):
    return firmware_folder(tmp_path / "firmware", NUCLEO)


@pytest.fixture
def scripts(bench):
    path = bench.folder.parent / "share/openocd/scripts/board/st_nucleo_f4.cfg"
    path.parent.mkdir(parents=True)
    path.touch()


# The order of the tools


def test_plan_lists_all_ways_in_their_order(nucleo, bench, scripts):
    bench.put("openocd")
    plan = flash_plan(nucleo, NUCLEO)
    assert [way.tool for way in plan] == ["pyocd", "openocd", "st-flash", "probe-rs"]
    assert plan[0].lacks == "is not installed (pip install pyocd)"
    assert plan[1].lacks == ""
    assert f"program {nucleo}/firmware.elf verify reset exit" in plan[1].sentence()


def test_command_prints_the_plan_and_counts_its_seconds(cli, assert_refused, nucleo):
    planned = cli("flash", nucleo, "--tool", "st-flash", "--dry-run")
    assert planned.stdout.startswith(f"st-flash --reset write {nucleo}/firmware.bin 0x08000000")
    assert_refused(cli("flash", nucleo, "--tool", "bossac"), "bossac does not program")


def test_tool_whose_probe_is_there_is_taken(nucleo, bench, scripts):
    bench.put("pyocd", code="print(json.dumps({'targets': [{'name': TARGET}], 'boards': []}))",
              target=PYOCD_TARGET)  # fmt: skip
    bench.put("openocd", chip=0x10006421)
    assert flash(nucleo, NUCLEO).tool == "openocd"


def test_tool_that_lacks_its_pack_is_passed_over(nucleo, bench, scripts):
    bench.put("pyocd", target="another")
    bench.put("openocd", chip=0x10006421)
    assert flash(nucleo, NUCLEO).tool == "openocd"
    with pytest.raises(MissingToolError, match=f"pyocd pack install {PYOCD_TARGET}"):
        flash(nucleo, NUCLEO, tool="pyocd")


def test_no_tool_at_all_names_each_with_how_to_install_it(nucleo, bench):
    with pytest.raises(MissingToolError) as error:
        flash(nucleo, NUCLEO)
    assert str(error.value) == (
        "pyocd is not installed (pip install pyocd); "
        "openocd is not installed (Debian: apt install openocd); "
        "st-flash is not installed (Debian: apt install stlink-tools); "
        "probe-rs is not installed (see probe.rs)."
    )


def test_tool_of_another_board_is_refused(nucleo):
    with pytest.raises(EdgeError, match="bossac does not program Nucleo-F446RE; pyocd, openocd"):
        flash_plan(nucleo, NUCLEO, tool="bossac")


def test_board_that_is_plugged_in_late_is_found(nucleo, bench, scripts):
    flag = bench.folder / "plugged"
    bench.put("openocd", chip=0x10006421, code=(
        f"if not pathlib.Path({str(flag)!r}).exists():\n"
        "    print('Error: open failed', file=sys.stderr)\n    sys.exit(1)\n"
        "print('0xe0042000: 10006421\\n** Verified OK **')"))  # fmt: skip
    told = []
    threading.Timer(1, flag.touch).start()
    assert flash(nucleo, NUCLEO, tool="openocd", tell=told.append).is_chip_known
    assert told[0] == "waiting for it. Plug in its USB connector with the ST-LINK."


# Tools that fail


def test_tool_that_hangs_is_killed_at_the_limit(nucleo, bench, scripts):
    pid = bench.folder / "pid"
    keep = f"import os\npathlib.Path({str(pid)!r}).write_text(str(os.getpid()))\n"
    bench.put("openocd", code=keep + HANGS)
    start = time.monotonic()
    with pytest.raises(EdgeError, match=r"was not found within 2 s.*openocd did not end"):
        flash(nucleo, NUCLEO, tool="openocd", timeout=2)
    assert time.monotonic() - start < 12
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), signal.SIGCONT)


def test_tool_that_hangs_while_it_writes_is_killed_too(nucleo, bench, scripts):
    bench.put("openocd", code=f"if 'program' in ' '.join(args):\n    {HANGS.replace(chr(10), ';')}")
    with pytest.raises(EdgeError, match=r"openocd did not end within 3 s and was stopped"):
        flash(nucleo, NUCLEO, tool="openocd", timeout=3)


def test_reason_of_a_tool_comes_in_one_line_with_another_way(nucleo, bench, scripts):
    code = "print('** Programming Started **\\nError: write failed\\nError: more', file=sys.stderr)"
    bench.put("openocd", code=f"if 'program' in ' '.join(args):\n    {code}\n    sys.exit(1)")
    bench.put("st-flash")
    with pytest.raises(EdgeError) as error:
        flash(nucleo, NUCLEO)
    assert str(error.value) == ("openocd failed: write failed. Another way: --tool st-flash.")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("dfu-util 0.11\n\ndfu-util: No DFU capable USB device available\n\n",
         "No DFU capable USB device available"),
        ("0001052 E No target device available [load_cmd]\n", "No target device available"),
        ("Open On-Chip Debugger 0.12.0\nInfo : clock speed 2000 kHz\nError: open failed\n\n",
         "open failed"),
        ("No device found on ttyACM9\n", "No device found on ttyACM9"),
        ("", ""),
        ("\n[====]\n", ""),
        ("all well\nand done.\n", "and done"),
    ],
)  # fmt: skip
def test_line_that_tells_most_is_found(text, reason):
    assert informative_line(text) == reason


@pytest.mark.parametrize(
    ("text", "fraction"),
    [
        ("Download\t[====    ]  45%  1234 bytes", 0.45),
        ("[====] 10% (1/10 pages)\r[=====] 20% (2/10 pages)", 0.2),
        ("  12/120 pages written", 0.1),
        ("[---|---|---|---|---|---|---|---|---|----]\n[==========", 0.25),
        ("erasing", None),
        ("999%", 1.0),
    ],
)
def test_progress_of_each_tool_is_read(text, fraction):
    assert fraction_done(text) == fraction


# Drives

PICO = find_board("raspberry-pi-pico-2")
LAYOUTS = {
    "linux": "media/ada/RP2350",
    "linux, no user": "media/RP2350",
    "linux, run": "run/media/ada/RP2350",
    "linux, by hand": "mnt",
    "darwin": "Volumes/RP2350",
    "win32": "E:",
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_drive_is_found_where_each_system_mounts_it(tmp_path, monkeypatch, layout):
    """The folders are asked of the module itself; Windows has letters in their place."""
    from edge.firmware.flash import drives

    system = layout.partition(",")[0]
    drive = tmp_path / LAYOUTS[layout]
    drive.mkdir(parents=True)
    monkeypatch.setattr(drives.sys, "platform", system)
    moved = {
        name: tuple(f"{tmp_path}{folder}" for folder in folders)
        for name, folders in drives.MOUNT_FOLDERS.items()
    }
    monkeypatch.setattr(drives, "MOUNT_FOLDERS", moved)
    if system == "win32":
        assert pathlib.Path("E:\\") in drives.drives()
        assert pathlib.Path("A:\\") not in drives.drives()
    else:
        assert drive in drives.drives()


@pytest.fixture
def pico(tmp_path):
    drive = tmp_path / "drives/RP2350"
    drive.mkdir(parents=True)
    (drive / "INFO_UF2.TXT").write_text(
        "UF2 Bootloader v1.0\nModel: Raspberry Pi RP2350\nBoard-ID: RP2350\n"
    )
    return firmware_folder(tmp_path / "firmware", PICO), drive


def test_drive_of_another_board_is_named(pico, tmp_path):
    folder, drive = pico
    (drive / "INFO_UF2.TXT").write_text("Model: Raspberry Pi RP2\nBoard-ID: RPI-RP2\n")
    with pytest.raises(EdgeError, match=r"drive of another board \(RPI-RP2, not RP2350\)"):
        flash(folder, PICO, tool="uf2", timeout=0.1, drives=tmp_path / "drives")


def test_drive_that_takes_another_family_is_named(pico, tmp_path):
    folder, drive = pico
    (drive / "CURRENT.UF2").write_bytes(uf2(bytes(256), 0, 0x68ED2B88))
    with pytest.raises(EdgeError, match=r"another family \(0x68ed2b88\)"):
        flash(folder, PICO, tool="uf2", timeout=0.1, drives=tmp_path / "drives")
    assert not (drive / "firmware.uf2").exists()


def test_drive_that_does_not_go_away_is_no_success(pico, tmp_path):
    folder, _ = pico
    with pytest.raises(EdgeError, match="took the file but did not start it"):
        flash(folder, PICO, tool="uf2", timeout=2, drives=tmp_path / "drives")


def test_drive_that_is_not_there_is_asked_for_by_its_button(pico, tmp_path):
    folder, _ = pico
    with pytest.raises(EdgeError, match=r"Hold its BOOTSEL button .* no drive with INFO_UF2.TXT"):
        flash(folder, PICO, tool="uf2", timeout=0.1, drives=tmp_path / "nowhere")


def test_copied_file_is_the_one_that_build_writes(pico, tmp_path):
    folder, drive = pico
    copied = drive / "firmware.uf2"

    def take():
        while not copied.is_file() or copied.stat().st_size < 1024:
            time.sleep(0.01)
        copied.rename(tmp_path / "taken")
        (drive / "INFO_UF2.TXT").unlink()

    threading.Thread(target=take).start()
    flash(folder, PICO, tool="uf2", drives=tmp_path / "drives")
    image = (folder / "firmware.bin").read_bytes()
    assert (tmp_path / "taken").read_bytes() == uf2(image, 0x10000000, PICO.uf2_family)


MICROBIT = find_board("microbit-v2")


@pytest.fixture
def microbit(tmp_path):
    drive = tmp_path / "drives/MICROBIT"
    drive.mkdir(parents=True)
    (drive / "DETAILS.TXT").write_text("# DAPLink Firmware\nUnique ID: 9904360258824e45005c\n")
    return firmware_folder(tmp_path / "firmware", MICROBIT), drive


@pytest.mark.parametrize("old", [False, True], ids=["first", "after a failure"])
@pytest.mark.parametrize("refused", [False, True], ids=["taken", "refused"])
def test_probe_says_in_a_file_why_it_refuses(microbit, tmp_path, old, refused):
    folder, drive = microbit
    if old:
        (drive / "FAIL.TXT").write_text("error: an earlier one\n")

    def take():
        while not (drive / "firmware.hex").is_file():
            time.sleep(0.01)
        # The probe shows its drive anew.
        (drive / "FAIL.TXT").unlink(missing_ok=True)
        if refused:
            (drive / "FAIL.TXT").write_text("error: The hex file cannot\r\nbe decoded.\ntype: user")
        (drive / "firmware.hex").unlink()

    threading.Thread(target=take).start()
    if refused:
        with pytest.raises(
            EdgeError, match=r"refused firmware\.hex: error: The hex file cannot be"
        ):
            flash(folder, MICROBIT, tool="daplink", drives=tmp_path / "drives")
    else:
        assert flash(folder, MICROBIT, tool="daplink", drives=tmp_path / "drives").is_verified


def test_drive_of_another_probe_is_named(microbit, tmp_path):
    folder, drive = microbit
    (drive / "DETAILS.TXT").write_text("Version: 0221\n")
    (drive / "MBED.HTM").write_text('<a href="https://www.st.com/x?code=07400221066D">')
    with pytest.raises(EdgeError, match=r"another board \(number 0740, not 9903 or 9904"):
        flash(folder, MICROBIT, tool="daplink", timeout=0.1, drives=tmp_path / "drives")


# UF2


def test_uf2_blocks_hold_their_number_and_address():
    blocks = uf2(bytes(600), 0x10000000, 7)
    heads = [struct.unpack("<8I", blocks[at : at + 32]) for at in range(0, len(blocks), 512)]
    places = [(head[3], head[5]) for head in heads]
    assert places == [(0x10000000, 0), (0x10000100, 1), (0x10000200, 2)]
    assert all(blocks[at - 4 : at] == bytes.fromhex("306fb10a") for at in (512, 1024, 1536))


def test_way_names_no_unknown_field():
    with pytest.raises(ValueError, match="Extra inputs"):
        Way.model_validate({"tool": "pyocd", "traget": "nrf52833"})
