"""What takes a firmware's memory: every byte is somebody's."""

import shutil
import subprocess

import pytest

import edge
from edge.firmware.sizes import REST, section_sizes


@pytest.fixture(scope="module")
def built(arm_compiler, kws, tmp_path_factory):
    return edge.build(kws, "nucleo-f446re", tmp_path_factory.mktemp("sizes") / "firmware")


def test_sections_are_the_sum_of_their_symbols(built):
    sections = {section.name: section for section in built.firmware.sections}
    for section in sections.values():
        assert section.bytes == sum(symbol.bytes for symbol in section.symbols)
        assert all(symbol.bytes > 0 for symbol in section.symbols)
    flash = sections[".text"].bytes + sections[".data"].bytes
    assert flash == built.flash_bytes
    assert sections[".data"].bytes + sections[".bss"].bytes == built.firmware.static_ram_bytes


def test_symbols_are_those_of_an_elf_reader(built):
    elffile = pytest.importorskip("elftools.elf.elffile")
    with built.firmware.elf.open("rb") as file:
        table = elffile.ELFFile(file).get_section_by_name(".symtab")
        sizes = {(symbol.name, symbol["st_size"]) for symbol in table.iter_symbols()}
    found = [s for section in built.firmware.sections for s in section.symbols if s.name != REST]
    assert len(found) > 50
    assert {(symbol.name, symbol.bytes) for symbol in found} <= sizes


def test_debug_information_changes_no_byte_of_the_image(built, tmp_path):
    """And a debugger finds the sources from the folder, wherever it was built."""
    folder = tmp_path / "plain"
    shutil.copytree(built.folder, folder)
    project = folder / "CMakeLists.txt"
    assert "  -g -ffile-prefix-map=" in project.read_text()
    plain = project.read_text().replace("  -g -ffile-prefix-map=", "  -ffile-prefix-map=")
    project.write_text(plain)
    for command in (
        ["cmake", "-G", "Unix Makefiles", "-B", "b"],
        ["cmake", "--build", "b"],
        ["arm-none-eabi-objcopy", "-O", "binary", "b/firmware.elf", "b/firmware.bin"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    assert (folder / "b" / "firmware.bin").read_bytes() == (
        built.folder / "firmware.bin"
    ).read_bytes()
    lines = subprocess.run(
        ["arm-none-eabi-readelf", "--debug-dump=info", built.firmware.elf],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "./main.c" in lines
    assert "keras-mobilenet-" not in lines


def test_two_names_of_one_function_count_once():
    line = "{} |08000000| {} | FUNC|00000010| |.text"
    lines = f"{line.format('a', 'T')}\n{line.format('b', 'W')}"
    (text,) = section_sizes({".text": 16, ".debug_info": 99}, lines)
    assert [(symbol.name, symbol.bytes) for symbol in text.symbols] == [("a", 16)]
