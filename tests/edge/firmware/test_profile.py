"""Instructions of each layer: they add up to the whole inference, and cost the firmware nothing."""

import dataclasses
import re

import pytest

from edge.catalog.boards import find_board
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.firmware.build import build_firmware
from edge.firmware.profile import profile
from edge.firmware.render import render_firmware
from edge.tflite.reader import read_graph

SWITCH = re.compile(r"^#ifdef MODEL_PROFILE\n.*?^#endif\n", re.M | re.S)


def profile_of(graph, board):
    return profile(compile_engine(graph, instruction_set(board)), board)


@pytest.mark.parametrize(
    "board", ["raspberry-pi-pico", "mps2-an385", "nucleo-f446re", "mps3-an547"]
)
def test_the_layers_add_up_to_the_whole(arm_compiler, qemu, network, board):
    """The whole is counted by another firmware, without the probe."""
    graph = network("odd")
    found = profile_of(graph, find_board(board))
    assert len(found.layer_instructions) == len(found.engine.network.layers)
    assert all(count > 0 for count in found.layer_instructions)
    assert abs(found.residual) <= 0.02 * found.instructions


def test_the_person_detector(arm_compiler, qemu, vww):
    found = profile_of(read_graph(vww), find_board("nucleo-f446re"))
    assert found.board.id == "mps2-an386"
    assert abs(found.residual) <= 0.001 * found.instructions
    counts = found.by_operator()
    # Operators 19 and 21 are the same layer twice: 6x6, 20 channels are left of 128.
    assert counts[19] == pytest.approx(counts[21], abs=6 * 4)
    assert 28 not in counts, "RESHAPE"


def test_a_firmware_that_is_not_profiled_is_as_if_the_switch_were_not_there(
    arm_compiler, kws, tmp_path
):
    board = find_board("mps2-an386")
    texts = render_firmware(compile_engine(read_graph(kws), instruction_set(board)), board)
    images = []
    for name, edit in (("plain", str), ("stripped", lambda text: SWITCH.sub("", text))):
        folder = tmp_path / name
        folder.mkdir()
        for file, text in texts.items():
            (folder / file).write_text(edit(text), "utf-8")
        images.append(build_firmware(folder).elf.with_suffix(".bin").read_bytes())
    assert sum(bool(SWITCH.search(text)) for text in texts.values()) == 3
    assert not any("MODEL_PROFILE" in SWITCH.sub("", text) for text in texts.values())
    assert images[0] == images[1]


def test_says_what_is_missing(network, monkeypatch):
    graph = network("odd")
    unknown = dataclasses.replace(find_board("arduino-zero"), core="cortex-m23")
    with pytest.raises(EdgeError, match="no board with a cortex-m23"):
        profile_of(graph, unknown)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EdgeError, match="not installed"):
        profile_of(graph, find_board("nucleo-f446re"))
