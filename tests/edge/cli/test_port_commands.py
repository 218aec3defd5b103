"""`run --port` and `monitor`, beside a board that answers as a firmware does."""

import json

import networks
import pytest
import serial_boards

from edge.tflite.reader import read_graph


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.tflite"
    path.write_bytes(networks.small_tflite())
    return path


def test_run_compares_every_byte_of_a_connected_board(cli, model):
    with serial_boards.SpokenBoard(read_graph(model.read_bytes())) as board:
        done = cli("run", model, "--port", board.port, "--inputs", 3, "--json")
        shown = cli("run", model, "--port", board.port, "-b", "nucleo-f446re", "--inputs", 1)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["input_count"], said["equal_count"], said["milliseconds"]) == (3, 3, 1.5)
    assert "1 of 1" in shown.stdout
    assert "ms at 180 MHz" in shown.stdout


def test_run_exits_with_1_where_a_byte_differs(cli, model):
    def spoil(line):
        return "m-outputs-[0001]" if line.startswith("m-outputs") else line

    with serial_boards.SpokenBoard(read_graph(model.read_bytes()), change=spoil) as board:
        done = cli("run", model, "--port", board.port, "--inputs", 1)
    assert done.returncode == 1
    assert "0 of 1" in done.stdout


def test_what_cannot_run_is_one_line(cli, assert_refused, model):
    assert_refused(cli("run", model, "--port", "/dev/no-such-port"), "Cannot open /dev/no-such")
    assert_refused(cli("run", model, "--camera", "rgb565"), "need a board: --port")


def test_monitor_prints_what_a_board_says_and_ends(cli):
    with serial_boards.SpokenBoard(read_graph(networks.small_tflite())) as board:
        board.say_later("m-self-test-[passed]", seconds=0.3)
        done = cli("monitor", "--port", board.port, "--seconds", 4)
    assert done.returncode == 0, done.stderr
    assert "m-self-test-[passed]" in done.stdout
