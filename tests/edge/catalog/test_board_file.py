"""A board of the user's own: written, read, and what is wrong with it named."""

import dataclasses
import pathlib
import re
import tomllib

import pytest

from edge.catalog.board_file import BoardTable, read_board_file
from edge.catalog.boards import BOARD_FOLDER, boards, find_board
from edge.catalog.new_board import board_file_text, write_board_file
from edge.errors import EdgeError

BOARDS = boards()


@pytest.fixture
def own(tmp_path):
    """A board file of the user's, with some lines changed."""

    def write(changes=(), origin="nucleo-f446re", more=""):
        path = tmp_path / "my-board.toml"
        text = board_file_text(find_board(origin), "mine") + more
        for old, new in changes:
            assert re.search(old, text), old
            text = re.sub(old, new, text, count=1)
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_new_file_is_the_board_that_it_starts_as(board, tmp_path):
    made = find_board(write_board_file(tmp_path / "mine.toml", board))
    assert made == dataclasses.replace(
        board, id="mine", name="mine", aliases=(), file=tmp_path / "mine.toml"
    )


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_new_file_explains_every_field(board):
    explained = set(re.findall(r"^# .*\n# .*\n|^# .*\n", board_file_text(board, "mine"), re.M))
    text = re.sub(r"\s*# ", " ", "".join(sorted(explained)))
    for name, field in BoardTable.model_fields.items():
        if name != "qemu" or board.qemu_machine:
            assert field.description in text, name


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.id)
def test_tables_in_comments_are_toml(board):
    text = board_file_text(dataclasses.replace(board), "mine")
    samples = re.findall(r"^# (\[\w+\]|\w+ = [^ ].*)$", text, re.M)
    tables = tomllib.loads("\n".join(samples))
    plain = tomllib.loads(text)
    assert not set(tables) & set(plain)
    BoardTable.model_validate(plain | tables)


def test_own_file_can_start_another(own, tmp_path):
    second = write_board_file(tmp_path / "second.toml", own())
    assert find_board(second).mcu == "STM32F446RET6"
    assert second.read_text("utf-8").count("# The maker of the board.") == 1


def test_own_file_is_found_by_its_path(own, monkeypatch):
    path = own([("524_288", "262_144")])
    monkeypatch.chdir(path.parent)
    board = find_board("my-board.toml")
    assert (board.id, board.flash_bytes, board.argument) == ("my-board", 262_144, "my-board.toml")
    assert find_board(path).flash_bytes == 262_144


def test_file_that_is_there_is_not_written_over(own):
    path = own()
    before = path.read_bytes()
    with pytest.raises(EdgeError, match="is there already"):
        write_board_file(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", ["my board.toml", "плата.toml", f"{'x' * 70}.toml", ".toml"])
def test_file_whose_name_can_be_no_id_is_refused(name, tmp_path):
    with pytest.raises(EdgeError, match=r"board's id|should end in"):
        write_board_file(tmp_path / name)
    with pytest.raises(EdgeError, match=r"board's id|should end in"):
        find_board(tmp_path / name)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (r'core = "cortex-m4"', 'core = "cortex-m9"', r"core is 'cortex-m9'; there are cortex-m0"),
        (r'fpu = "fpv4-sp-d16"', 'fpu = "fpv5-d16"', "a cortex-m4 has none or fpv4-sp-d16"),
        (r"mve = false", "mve = true", "no cortex-m4 has Helium"),
        (r"clock_hz = 180_000_000", 'clock_hz = "fast"', r"clock_hz is 'fast' but .* integer"),
        (r"clock_hz = .*", "clock_hz = 0", "clock_hz is 0 but should be greater than 0"),
        (r"clock_hz = .*", "", r"clock_hz is missing\. The highest core clock, in Hz\."),
        (r"clock_hz = ", "clock_mhz = 180\nclock_hz = ", "clock_mhz is unknown; there is clock_hz"),
        (r"bytes = 131_072", "bytes = -1", r"\[\[ram\]\] 1 bytes is -1 .*Its size in bytes"),
        (r"bytes = 131_072", "bytes = 0xf0000000", "ends behind the last address"),
        (r"address = 0x20000000", "address = 0x08000000", "'Flash' and 'SRAM1 and SRAM2' overlap"),
        (r"wait_states = 5", "wait_states = true", r"\[flash_timing\] wait_states is True"),
        (r"\[flash_timing\]", "[flash_timings]", "flash_timings is unknown; there is flash_timing"),
        (r"(?m)^\[source\]", "[source", r"is no TOML: .*line \d+"),
        (r"\[\[ram\]\]", "[ram]", r"\[\[ram\]\] is .* but should be a valid list"),
    ],
)
def test_what_is_wrong_with_a_field_is_said_in_one_line(own, old, new, said):
    path = own([(old, new)])
    with pytest.raises(EdgeError, match=f"^Board file {re.escape(str(path))}:? .*{said}") as error:
        read_board_file(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("pll-n = 5", "pll-n cannot be a macro"),
        ("pll_n = -5", r"\[chip\]: pll_n should be a whole number"),
        ("pll_n = 0x100000000", "pll_n should be"),
        ("pll_n = 1.5", "pll_n should be"),
        ("pll_n = true", "pll_n should be"),
        ('word = "a"', "word should be a whole number"),
        ("interrupts = 481", r"\[chip\] interrupts is 481 but .*Interrupts in the vector table"),
        ('family = "../x"', r"\[chip\] family"),
    ],
)
def test_wrong_figure_of_a_chip_is_named(own, more, said):
    path = own()
    text = re.sub(r"(?ms)^\[chip\].*?(?=^\[|\Z)", "", path.read_text("utf-8"))
    path.write_text(f"{text}\n[chip]\n{more}\n", "utf-8")
    with pytest.raises(EdgeError, match=said):
        read_board_file(path)


def test_missing_file_is_refused_with_how_to_make_one(tmp_path):
    with pytest.raises(EdgeError, match=r"There is no board file .*boards --new .*none.toml"):
        find_board(tmp_path / "none.toml")
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(EdgeError, match="There is no board file"):
        find_board(tmp_path / "folder.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(EdgeError, match="is no TOML"):
        find_board(str(tmp_path / "bytes.toml"))


def test_every_file_of_the_catalogue_is_checked_like_a_users():
    for path in BOARD_FOLDER.glob("*.toml"):
        assert read_board_file(pathlib.Path(path)).name
