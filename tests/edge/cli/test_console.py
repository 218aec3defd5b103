"""What is printed keeps its words whole: in a pipe of no width, and in a narrow terminal."""

import fcntl
import os
import pathlib
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

ROOT = pathlib.Path(__file__).parents[3]
NARROW = 40
PATH = "a_folder_with_a_name/another_folder/a-model-whose-name-is-longer-than-a-line.tflite"


def environment(**more):
    usual = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    return usual | {"PYTHONPATH": str(ROOT), "TERM": "xterm"} | more


def in_a_terminal(folder, *arguments):
    """What a command shows in a terminal of 40 columns, without its colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, NARROW, 0, 0))
    command = [sys.executable, "-m", "edge", *map(str, arguments)]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(command, cwd=folder, env=environment(), **streams)
    os.close(theirs)
    shown = b""
    while True:
        try:
            shown += os.read(ours, 1 << 16)
        except OSError:
            # The other end is closed.
            break
    process.wait()
    os.close(ours)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode("utf-8"))
    return plain.replace("\r\n", "\n")


def in_a_pipe(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "edge", *map(str, arguments)],
        cwd=folder,
        env=environment(COLUMNS=str(NARROW)),
        capture_output=True,
        text=True,
    )


def test_a_message_in_a_narrow_terminal_breaks_between_words(tmp_path):
    shown = in_a_terminal(tmp_path, "flash", PATH)
    assert PATH in shown, "a path is whole, and can be copied"
    lines = shown.splitlines()
    assert len(lines) > 2
    assert all(len(line) <= NARROW or " " not in line for line in lines), lines
    assert " ".join(lines) == in_a_pipe(tmp_path, "flash", PATH).stderr.strip()


@pytest.mark.parametrize(
    ("command", "figures"),
    [
        ("fit", ["420,206", "524,288", "102,572", "131,072"]),
        ("boards", ["nucleo-f446re", "raspberry-pi-pico"]),
    ],
)
def test_no_figure_of_a_table_is_cut_in_a_narrow_terminal(vww, tmp_path, command, figures):
    shown = in_a_terminal(tmp_path, command, *([vww] if command == "fit" else []))
    assert "…" not in shown
    rows = [line for line in shown.splitlines() if line.startswith(("│", "┃"))]
    assert rows
    assert all(len(row) == NARROW for row in rows)
    # Of each column, what stands in one cell below the other.
    columns = zip(*(re.split("[│┃]", row) for row in rows), strict=False)
    folded = "".join("".join(cells) for cells in columns).replace(" ", "")
    assert all(figure in folded for figure in figures)


def test_paths_are_whole_in_a_pipe_whatever_the_width(vww, tmp_path):
    out = pathlib.Path(PATH).with_suffix("")
    written = in_a_pipe(tmp_path, "export", vww, "--runtime", "engine", "--out", out)
    assert written.returncode == 0, written.stderr
    assert str(out) in written.stdout
    for arguments in (["inspect", PATH], ["flash", PATH], ["fit", vww, "--plot", f"{PATH}.xyz"]):
        refused = in_a_pipe(tmp_path, *arguments)
        assert refused.stderr.count("\n") == 1
        assert PATH in refused.stderr
