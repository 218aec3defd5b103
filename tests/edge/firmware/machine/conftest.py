"""Small images of boards, and the machine that they run on."""

from __future__ import annotations

import pytest
from board_probe import build_probe

from edge.catalog.boards import find_board


@pytest.fixture(scope="session")
def run_probe(arm_compiler, unicorn, tmp_path_factory):
    """Builds the probe of a board, and runs it in this process, which is the faster way."""
    from edge.firmware.machine.image_run import ImageRequest
    from edge.firmware.machine.image_run_child import run

    def run_on(board, *, fed=b"", is_dead=False, limit_s=20.0, **options):
        elf = build_probe(find_board(board), tmp_path_factory.mktemp("probe"), **options)
        return run(ImageRequest(elf, find_board(board), fed, limit_s, is_dead))

    return run_on
