"""A folder says for which board it was built, and is refused for any other."""

import json

import pytest
from elf_files import elf_file, firmware_folder

import edge
from edge.catalog.boards import find_board
from edge.errors import EdgeError
from edge.firmware.flash.firmware_files import read_firmware
from edge.firmware.segments import flat_image, read_segments

NUCLEO = find_board("nucleo-f446re")
START = NUCLEO.flash[0].address
END = START + NUCLEO.flash[0].bytes


@pytest.fixture(scope="module")
def built(arm_compiler, kws, tmp_path_factory):
    return edge.build(kws, "raspberry-pi-pico-2", tmp_path_factory.mktemp("firmware"))


def test_build_describes_what_it_built(built):
    said = json.loads((built.folder / "firmware.json").read_text())
    image = (built.folder / "firmware.bin").read_bytes()
    bank = built.board.largest_ram_bank
    assert said["board"] == "raspberry-pi-pico-2"
    assert said["mcu"] == "RP2350A"
    assert said["model_sha256"] == built.graph.file_sha256
    assert said["flash_address"] == 0x10000000
    assert said["flash_bytes"] == len(image) == said["flash_end"] - said["flash_address"]
    assert bank.address + built.ram_bytes <= said["ram_end"] <= bank.address + bank.bytes
    assert edge.__version__ in said["made_by"]
    assert "firmware.elf" in (built.folder / "firmware.map").read_text()


def test_segments_hold_what_objcopy_takes_from_the_elf_file(built):
    segments = read_segments((built.folder / "firmware.elf").read_bytes())
    image = (built.folder / "firmware.bin").read_bytes()
    assert flat_image(segments) == (0x10000000, image)


def test_build_writes_the_uf2_file_of_a_board_that_takes_one(built):
    content = (built.folder / "firmware.uf2").read_bytes()
    blocks = [content[at : at + 512] for at in range(0, len(content), 512)]
    image = b"".join(block[32:288] for block in blocks)
    assert image.startswith((built.folder / "firmware.bin").read_bytes())
    assert {block[28:32] for block in blocks} == {built.board.uf2_family.to_bytes(4, "little")}


def test_folder_built_for_the_board_is_taken(tmp_path):
    files = read_firmware(firmware_folder(tmp_path, NUCLEO), NUCLEO)
    assert (files.address, len(files.image)) == (START, 300)


def test_folder_built_for_another_board_is_refused_by_name(tmp_path):
    firmware_folder(tmp_path, "nucleo-l4r5zi")
    with pytest.raises(EdgeError, match=r"built for nucleo-l4r5zi, not for nucleo-f446re: .*build"):
        read_firmware(tmp_path, NUCLEO)


@pytest.mark.parametrize("address", [0, START - 4, END - 299, 0x20000000])
def test_image_outside_of_the_flash_is_refused(tmp_path, address):
    firmware_folder(tmp_path, NUCLEO)
    (tmp_path / "firmware.elf").write_bytes(elf_file((address, bytes(300))))
    (tmp_path / "firmware.bin").write_bytes(bytes(300))
    with pytest.raises(EdgeError, match=f"0x{address:08x} to .* outside of the flash"):
        read_firmware(tmp_path, NUCLEO)


BROKEN = {
    "no description": ("firmware.json", None, "firmware.json is missing"),
    "an empty description": ("firmware.json", b"{}", "does not say for which board"),
    "no JSON": ("firmware.json", b"\xff{", "does not say for which board"),
    "a list": ("firmware.json", b"[]", "does not say for which board"),
    "no image": ("firmware.bin", None, "holds no firmware"),
    "another image": ("firmware.bin", b"other", "is not the image"),
    "an empty ELF file": ("firmware.elf", b"", "no ELF file"),
    "a short ELF file": ("firmware.elf", elf_file((START, bytes(300)))[:60], "middle of a header"),
    "a cut ELF file": ("firmware.elf", elf_file((START, bytes(300)))[:-1], "middle of a segment"),
    "an ELF file of nothing": ("firmware.elf", elf_file((START, b"")), "nothing to write"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_folder_is_refused_with_the_command_that_makes_it_anew(tmp_path, what):
    name, content, words = BROKEN[what]
    firmware_folder(tmp_path, NUCLEO)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(EdgeError, match=words) as error:
        read_firmware(tmp_path, NUCLEO)
    assert "keras-mobilenet build MODEL --board nucleo-f446re" in str(error.value)
    assert "\n" not in str(error.value)
