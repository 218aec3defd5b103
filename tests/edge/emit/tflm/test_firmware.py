"""The emitted sources, linked with real TFLite Micro, run on an emulated Cortex-M4.

TFLite Micro comes as sources; who has it built for Cortex-M4 names it, laid out as the emitted
CMakeLists.txt says: `TFLM_DIR=/path/to/tflm pytest tests/edge/emit/tflm/test_firmware.py`.
"""

import os
import pathlib
import subprocess

import numpy as np
import pytest
from graph_builder import with_int4_weights

import edge
from edge.catalog.boards import core_flags, find_board
from edge.firmware.render import BOARD_FOLDER, link_script
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph_writer import graph_bytes
from edge.tflite.reader import read_graph

TFLM_DIR = pathlib.Path(os.environ.get("TFLM_DIR", ""))
MAIN = pathlib.Path(__file__).parent / "tflm_main.cc"
STACK_BYTES = 65_536
BOARD = "mps2-an386"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif("TFLM_DIR" not in os.environ, reason="TFLM_DIR names no TFLite Micro"),
]


@pytest.fixture(params=["vww", "kws", "trained_tflite", "vww int4"])
def exported(request, tmp_path):
    name, *bits = request.param.split()
    model = request.getfixturevalue(name)
    if bits:
        graph = with_int4_weights(read_graph(model))
        model = tmp_path / "int4.tflite"
        model.write_bytes(graph_bytes(graph))
    return edge.export(model, BOARD, tmp_path / "firmware", name="model")


def build(folder, library):
    flags = [*core_flags(find_board(BOARD)), "-O2", "-ffunction-sections", "-fdata-sections"]
    warnings = ["-Wall", "-Wextra", "-Werror"]
    start = [
        *flags,
        *warnings,
        "-std=c11",
        "-c",
        BOARD_FOLDER / "start.c",
        "-o",
        folder / "start.o",
    ]
    subprocess.run(["arm-none-eabi-gcc", *start], check=True)
    (folder / "link.ld").write_text(link_script(find_board(BOARD), STACK_BYTES))
    third_party = TFLM_DIR / "third_party"
    headers = [
        TFLM_DIR,
        *(third_party / name for name in ("flatbuffers/include", "gemmlowp", "ruy")),
    ]
    command = [
        *("arm-none-eabi-g++", *flags, *warnings, "-std=c++17"),
        *("-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"),
        *("-DTF_LITE_STATIC_MEMORY", "-DTF_LITE_STRIP_ERROR_STRINGS"),
        *("-I", folder, "-I", BOARD_FOLDER, *(f"-isystem{header}" for header in headers)),
        *("--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", "-Wl,--gc-sections"),
        *("-T", folder / "link.ld", folder / "start.o", MAIN),
        *(folder / "model.cc", folder / "model_data.cc", library),
        *("-o", folder / "firmware.elf"),
    ]
    subprocess.run(command, check=True, capture_output=True)


def run(folder):
    command = ["qemu-system-arm", "-M", BOARD, "-nographic"]
    command += ["-semihosting-config", "enable=on,target=native"]
    done = subprocess.run(
        [*command, "-kernel", folder / "firmware.elf"], capture_output=True, text=True, timeout=120
    )
    # QEMU writes semihosting's output to its standard error.
    pairs = [line.split() for line in (done.stdout + done.stderr).splitlines()]
    values = {}
    for name, value in pairs:
        values.setdefault(name, []).append(int(value))
    return values


LIBRARIES = [("libtflm.a", "reference_bytes"), ("libtflm_cmsis_nn.a", "cmsis_nn_bytes")]


@pytest.mark.parametrize(("name", "figure"), LIBRARIES)
def test_computes_litert_in_the_arena_that_was_predicted(
    arm_compiler, qemu, exported, name, figure
):
    if not (TFLM_DIR / name).is_file():
        pytest.skip(f"no {TFLM_DIR / name}")
    build(exported.folder, TFLM_DIR / name)
    said = run(exported.folder)
    assert said["init"] == [0]
    assert said["arena"] == [getattr(exported.budget.arena, figure)]
    zeros = np.zeros((1, *exported.graph.input.shape[1:]), np.int8)
    assert said["output"] == run_litert(exported.graph, zeros)[0].tolist()
    stack = next(item for item in exported.budget.items if item.what == "stack")
    assert said["stack"][0] <= stack.bytes


def test_not_one_byte_of_the_arena_is_spare(arm_compiler, qemu, exported):
    """Sixteen bytes less, the alignment, and one of the two sets of kernels does not start."""
    library = TFLM_DIR / "libtflm_cmsis_nn.a"
    if not library.is_file():
        pytest.skip(f"no {library}")
    settings = exported.folder / "model_settings.h"
    size = exported.budget.arena.bytes
    settings.write_text(settings.read_text().replace(f"= {size}U", f"= {size - 16}U"))
    build(exported.folder, library)
    assert run(exported.folder) == {"init": [3]}


def test_the_emitted_cmake_project_builds(exported):
    options = {"check": True, "capture_output": True}
    folder = exported.folder
    subprocess.run(
        ["cmake", "-S", folder, "-B", folder / "build", f"-DTFLM_DIR={TFLM_DIR}"], **options
    )
    subprocess.run(["cmake", "--build", folder / "build"], **options)
    assert (folder / "build" / "libmodel_inference.a").is_file()
