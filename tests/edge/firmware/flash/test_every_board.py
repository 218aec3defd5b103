"""Every board of the catalogue, and every way to program it: right arguments and refusals."""

import threading
import time

import pytest
from elf_files import firmware_folder

from edge.catalog.boards import boards, find_board
from edge.errors import EdgeError
from edge.firmware.flash.flash import flash, flash_plan
from edge.firmware.flash.ways import ALL_TOOLS

WAYS = [(board.id, way.tool) for board in boards() for way in board.programming.ways]
WITHOUT = [board.id for board in boards() if not board.programming.ways]
GRACE_SECONDS = 10
"""For killing a child, and for a busy machine."""

DRIVES = {"uf2": "INFO_UF2.TXT", "daplink": "DETAILS.TXT"}


def id_of(board, way):
    """What the right chip says of itself."""
    known = board.programming.chip_id
    if way.tool in ("bossac", "dfu-util"):
        return {"target": way.usb_ids[0] if way.tool == "dfu-util" else f"{way.target}x"}
    return {"target": way.target, "chip": 0 if known is None else known.value}


def plug_in(bench, board, way, monkeypatch, **other):
    """Puts the tool on the desk, or the drive into the system, as if the board were there."""
    if way.tool in DRIVES:
        drive = bench.folder.parent / "drives" / "BOARD"
        drive.mkdir(parents=True)
        said = way.board_ids[0] if way.board_ids else "X"
        text = f"UF2 Bootloader v3.0\nModel: {board.name}\nBoard-ID: {said}-v0\n"
        text = text if way.tool == "uf2" else f"# DAPLink\nUnique ID: {said}360258824e45\n"
        (drive / DRIVES[way.tool]).write_text(text)
        return drive
    bench.put(way.tool, **(id_of(board, way) | other))
    if way.tool == "st-flash":
        bench.put("st-info", **(id_of(board, way) | other))
    if way.tool == "openocd":
        scripts = bench.folder.parent / "share/openocd/scripts"
        for script in way.scripts:
            (scripts / script).parent.mkdir(parents=True, exist_ok=True)
            (scripts / script).touch()
    module = "edge.firmware.flash.tools.bossac._ports"
    monkeypatch.setattr(module, lambda ids: ["/dev/ttyACM0"] if ids == way.usb_ids else [])
    return None


def boot_loader_takes(drive, name):
    """Does as a boot loader: takes the file, and is gone or there again without it."""

    def take():
        end = time.monotonic() + GRACE_SECONDS
        while not (drive / name).is_file() and time.monotonic() < end:
            time.sleep(0.01)
        if name.endswith("uf2"):
            (drive / DRIVES["uf2"]).unlink()
        (drive / name).rename(drive.parent / name)

    thread = threading.Thread(target=take)
    thread.start()
    return thread


def expected(board, way, folder):
    """The words that program a board, as the tool's manual has them."""
    address = f"0x{max(board.flash, key=lambda bank: bank.bytes).address:08x}"
    elf, binary, hexadecimal = (str(folder / f"firmware.{s}") for s in ("elf", "bin", "hex"))
    return {
        "pyocd": ["--target", way.target, elf],
        "openocd": ["-c", f"program {elf} verify reset exit"],
        "st-flash": ["--reset", "write", binary, address],
        "probe-rs": ["--non-interactive", "--chip", way.target, "--verify", elf],
        "bossac": ["--erase", "--write", "--verify", "--reset"]
        + ([f"--offset={way.offset:#x}"] if way.offset is not None else [])
        + [binary],
        "dfu-util": ["-d", way.usb_ids[0], "-a", "0", "-s", address, "-D", binary]
        if way.usb_ids
        else [],
        "teensy_loader_cli": [f"--mcu={way.target}", "-w", "-v", hexadecimal],
    }[way.tool]


def holds(command, words):
    return any(command[at : at + len(words)] == words for at in range(len(command)))


def way_of(name, tool):
    board = find_board(name)
    return board, next(way for way in board.programming.ways if way.tool == tool)


@pytest.mark.parametrize(("name", "tool"), WAYS)
def test_board_is_programmed_by_each_of_its_tools(bench, monkeypatch, tmp_path, name, tool):
    board, way = way_of(name, tool)
    folder = firmware_folder(tmp_path / "firmware", board)
    if way.offset is not None and way.offset != board.flash[0].address:
        pytest.skip("its image lies where the boot loader is")
    drive = plug_in(bench, board, way, monkeypatch)
    copied = f"firmware.{'uf2' if tool == 'uf2' else way.suffix}"
    thread = None if drive is None else boot_loader_takes(drive, copied)
    told = []
    start = time.monotonic()
    done = flash(folder, board, tool=tool, drives=tmp_path / "drives", tell=told.append)
    assert time.monotonic() - start < 60
    assert (done.tool, done.bytes) == (tool, 300)
    assert done.is_verified == (tool != "teensy_loader_cli")
    assert told
    if thread is not None:
        thread.join()
        assert (drive.parent / copied).stat().st_size > 0
        return
    words = expected(board, way, folder)
    assert any(command[0] == tool and holds(command, words) for command in bench.ran())
    knows = board.programming.chip_id is not None or tool in ("bossac", "dfu-util")
    assert done.is_chip_known == (knows and tool != "teensy_loader_cli")


@pytest.mark.parametrize(("name", "tool"), WAYS)
def test_another_chip_is_refused_before_anything_is_erased(
    bench, monkeypatch, tmp_path, name, tool
):
    board, way = way_of(name, tool)
    if tool in ("teensy_loader_cli", *DRIVES, "dfu-util"):
        pytest.skip("what is found by its own id is not asked again")
    folder = firmware_folder(tmp_path / "firmware", board)
    if tool == "bossac" and way.offset not in (None, board.flash[0].address):
        pytest.skip("its image lies where the boot loader is")
    if tool != "bossac" and board.programming.chip_id is None:
        pytest.skip("the register that tells the chip is not in its file")
    wrong = {"chip": 0x6ABC} if tool != "bossac" else {"target": "ATSAM3X8"}
    plug_in(bench, board, way, monkeypatch, **wrong)
    with pytest.raises(EdgeError, match=r"(?i)nothing was erased") as error:
        flash(folder, board, tool=tool)
    assert "\n" not in str(error.value)
    words = expected(board, way, folder)
    assert not any(holds(command, words) for command in bench.ran())


@pytest.mark.parametrize("name", sorted({name for name, _ in WAYS}))
def test_board_that_is_not_there_is_waited_for_no_longer_than_the_limit(
    bench, monkeypatch, tmp_path, name
):
    """With tools that find nothing, and drives of other boards."""
    board = find_board(name)
    folder = firmware_folder(tmp_path / "firmware", board)
    for tool in ("openocd", "probe-rs", "st-flash", "st-info", "teensy_loader_cli", "dfu-util"):
        bench.put(tool, code="print('Error: open failed', file=sys.stderr)", exit_code=1)
    (tmp_path / "drives/OTHER").mkdir(parents=True)
    (tmp_path / "drives/OTHER/INFO_UF2.TXT").write_text("Board-ID: SAMD51J20A-Other-v0\n")
    (tmp_path / "drives/OTHER/DETAILS.TXT").write_text("Unique ID: 0240000029164e45\n")
    start = time.monotonic()
    with pytest.raises(EdgeError) as error:
        flash(folder, board, timeout=0.2, drives=tmp_path / "drives")
    assert time.monotonic() - start < 0.2 + GRACE_SECONDS
    assert "\n" not in str(error.value)
    assert not any((tmp_path / "drives/OTHER").glob("firmware*"))


@pytest.mark.parametrize("name", WITHOUT)
def test_board_without_a_way_says_why(tmp_path, name):
    board = find_board(name)
    with pytest.raises(EdgeError, match=f"cannot be programmed: {board.programming.why_not}"):
        flash_plan(firmware_folder(tmp_path, board), board)


def test_every_tool_is_known_and_used():
    assert {tool for _, tool in WAYS} <= {tool.name for tool in ALL_TOOLS}


def test_every_way_says_what_to_do():
    assert [way for b in boards() for way in b.programming.ways if not way.hint] == []


@pytest.mark.parametrize("name", [b.id for b in boards() if b.programming.chip_id])
def test_id_of_a_chip_lies_under_its_mask_and_has_a_source(name):
    board = find_board(name)
    known = board.programming.chip_id
    assert known.value & ~known.mask == 0
    assert "flash_tool" in board.sources
