"""The emitted array compiles, aligned, to the size that was reported."""

import subprocess

import pytest

import edge
from edge.catalog.boards import boards, core_flags
from edge.emit.tflm.compiled import compiled_model_bytes
from edge.errors import EdgeError

NAME = "vww_96_int8"
LARGE = [b for b in boards() if b.ram_bytes >= 128 * 1024 and b.flash_bytes >= 512 * 1024]


@pytest.mark.parametrize("board", LARGE, ids=lambda board: board.id)
def test_the_section_is_as_large_as_the_report_said(arm_compiler, vww, tmp_path, board):
    written = edge.export(vww, board.id, tmp_path)
    model = next(item for item in written.budget.items if item.what == "model")
    assert compiled_model_bytes(tmp_path, board, NAME) == model.bytes == written.graph.model_bytes


def test_the_section_is_aligned_to_16_bytes_and_read_only(arm_compiler, vww, tmp_path):
    board = edge.export(vww, "nucleo-f446re", tmp_path).board
    command = [arm_compiler, *core_flags(board), "-std=c++17", "-fdata-sections", "-c"]
    subprocess.run([*command, f"{NAME}_data.cc"], cwd=tmp_path, check=True)
    listing = ["arm-none-eabi-objdump", "-h", f"{NAME}_data.o"]
    done = subprocess.run(listing, cwd=tmp_path, check=True, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    at = next(n for n, line in enumerate(lines) if ".rodata" in line and "g_model_data" in line)
    assert lines[at].split()[-1] == "2**4"
    assert "READONLY" in lines[at + 1]


def test_the_headers_compile_without_a_warning(arm_compiler, vww, tmp_path):
    board = edge.export(vww, "nucleo-f446re", tmp_path, labels=["person", "no ??/ one"]).board
    (tmp_path / "all.cc").write_text(f'#include "{NAME}_data.h"\n#include "{NAME}_settings.h"\n')
    (tmp_path / "all.c").write_text(f'#include "{NAME}.h"\n')
    flags = [*core_flags(board), "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    subprocess.run([arm_compiler, *flags, "-std=c++17", "all.cc"], cwd=tmp_path, check=True)
    subprocess.run(["arm-none-eabi-gcc", *flags, "-std=c11", "all.c"], cwd=tmp_path, check=True)


def test_a_damaged_array_does_not_compile(arm_compiler, vww, tmp_path):
    board = edge.export(vww, "nucleo-f446re", tmp_path).board
    source = tmp_path / f"{NAME}_data.cc"
    source.write_text(source.read_text().replace("0x54, 0x46, 0x4c, 0x33,", "", 1))
    with pytest.raises(EdgeError, match=r"vww_96_int8_data\.h is of another model"):
        compiled_model_bytes(tmp_path, board, NAME)
