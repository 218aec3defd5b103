"""The emitted camera code makes the bytes of keras_mobilenet.preprocessing, wherever it runs."""

import concurrent.futures
import json
import pathlib
import re
import subprocess

import numpy as np
import pytest

import edge
from edge.catalog.boards import core_flags, find_board
from edge.emit.camera.render import CODE_BYTES, camera_for, render_camera
from edge.errors import EdgeError
from edge.firmware.emulate import emulate, run_qemu
from edge.firmware.host import FLAGS, SANITIZERS
from edge.firmware.render import BOARD_FOLDER, link_script
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph, Quantization, Tensor
from keras_mobilenet.preprocessing.camera import CAMERA_FORMATS, camera_pixels
from keras_mobilenet.preprocessing.preprocessing import Preprocessing

FOLDER = pathlib.Path(__file__).parent
BOARD = "mps2-an386"
CAMERA = {"camera": "rgb565", "camera_width": 160, "camera_height": 120}
WARNINGS = ("-std=c11", "-Wall", "-Wextra", "-Werror")


def model_of(preprocessing, scale=1 / 128, zero_point=0):
    """A model as far as a camera looks at it: its input."""
    shape = (1, preprocessing.height, preprocessing.width, preprocessing.channels)
    quantization = Quantization((float(np.float32(scale)),), (zero_point,), 0)
    tensor = Tensor(0, "image", shape, "int8", quantization, None)
    return Graph((tensor,), (), (0,), (0,), b"")


def random_camera(camera_format, rng):
    """Sizes up and down, crops, means and scales that no two cases share."""
    height, width, model_height, model_width = (int(n) for n in rng.integers(1, 49, 4))
    channels = int(rng.choice([1, 3]))
    crop = [1.0, "square", float(rng.uniform(0.05, 1))][rng.integers(3)]
    count = int(rng.choice([1, channels]))
    mean, std = rng.uniform(-50, 300, count), rng.uniform(0.5, 300, count)
    if rng.random() < 0.3:
        mean = std = 128
    preprocessing = Preprocessing(
        model_height, model_width, channels, crop=crop, mean=mean, std=std
    )
    if camera_format == "yuyv":
        width += width % 2
    scale, zero_point = float(rng.uniform(0.001, 0.1)), int(rng.integers(-128, 128))
    return camera_for(
        model_of(preprocessing, scale, zero_point), camera_format, width, height, preprocessing
    ), (np.float32(scale), zero_point)


def expected_bytes(camera, frames, quantization):
    made = camera.preprocessing
    size = {"height": camera.height, "width": camera.width, "channels": made.channels}
    return np.stack(
        [
            made.quantize(camera_pixels(frame, camera.camera_format, **size), *quantization)
            for frame in frames
        ]
    )


def write_cases(folder, cameras, count):
    """A translation unit per camera, its functions renamed."""
    calls = []
    for n, camera in enumerate(cameras):
        case = folder / f"case{n}"
        case.mkdir()
        for name, text in render_camera(camera, "engine").items():
            # In place of the digest, which two equal cameras would share.
            (case / name).write_text(re.sub(r"(#define (model_\w+) \2)_\w+", rf"\1_{n}", text))
        (folder / f"case{n}.c").write_text(
            f"#define CASE run_case{n}\n#define STATE_BYTES {camera.state_bytes}\n"
            f'#include "case{n}/model_camera.c"\n#include "camera_case.h"\n'
        )
        calls.append(f"run_case{n}({count}U);")
    declared = "".join(f"void run_case{n}(uint32_t count);\n" for n in range(len(cameras)))
    (folder / "cases.h").write_text(
        f"#include <stdint.h>\n{declared}static void run_cases(void) {{\n{' '.join(calls)}\n}}\n"
    )
    return [*sorted(folder.glob("case*.c")), FOLDER / "camera_main.c"]


def compile_all(sources, command, folder):
    def compile_one(source):
        target = folder / f"{source.stem}.o"
        subprocess.run(
            [*command, "-I", FOLDER, "-I", folder, "-c", source, "-o", target], check=True
        )
        return target

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(compile_one, sources))


def run_on_host(sources, folder):
    objects = compile_all(sources, ["gcc", *FLAGS, *SANITIZERS], folder)
    subprocess.run(["gcc", *SANITIZERS, *objects, "-o", folder / "cameras"], check=True)
    subprocess.run([folder / "cameras"], cwd=folder, check=True)


def run_on_qemu(sources, folder):
    board = find_board(BOARD)
    flags = [*core_flags(board), "-O2", "-ffunction-sections", "-fdata-sections", *WARNINGS]
    command = ["arm-none-eabi-gcc", *flags, "-I", BOARD_FOLDER]
    objects = compile_all([*sources, BOARD_FOLDER / "start.c"], command, folder)
    (folder / "link.ld").write_text(link_script(board))
    options = ["--specs=nano.specs", "-nostartfiles", "-Wl,--gc-sections", "-T", folder / "link.ld"]
    linked = ["arm-none-eabi-gcc", *core_flags(board), *options, *objects]
    subprocess.run([*linked, "-o", folder / "firmware.elf"], check=True)
    assert run_qemu(folder, board.qemu_machine) == {"done": 1}


RUNNERS = {"host": run_on_host, "qemu": run_on_qemu}


def check(folder, runner, camera_format, case_count, image_count, seed):
    """Random cameras on random frames: the number of images whose bytes all agree."""
    rng = np.random.default_rng([seed, sorted(CAMERA_FORMATS).index(camera_format)])
    cases = [random_camera(camera_format, rng) for _ in range(case_count)]
    frames = [
        rng.integers(0, 256, (image_count, camera.height * camera.row_bytes)).astype(np.uint8)
        for camera, _ in cases
    ]
    for batch in frames:
        # Extremes, where sums could run over.
        batch[0], batch[-1] = 255, rng.choice([0, 255], batch.shape[1])
    (folder / "inputs.bin").write_bytes(b"".join(batch.tobytes() for batch in frames))
    sources = write_cases(folder, [camera for camera, _ in cases], image_count)
    RUNNERS[runner](sources, folder)
    written = np.frombuffer((folder / "outputs.bin").read_bytes(), np.int8)
    equal = 0
    for (camera, quantization), batch in zip(cases, frames, strict=True):
        expected = expected_bytes(camera, batch, quantization).reshape(image_count, -1)
        taken, written = np.split(written, [image_count * (2 + expected.shape[1])])
        taken = taken.reshape(image_count, -1)
        assert (taken[:, 0] == 1).all(), "each frame completes one input"
        assert (taken[:, 1] == 1).all(), "the state takes what was computed"
        equal += int((taken[:, 2:] == expected).all(axis=1).sum())
    assert written.size == 0
    return equal


@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_on_this_machine_under_sanitizers(host_compiler, tmp_path, camera_format):
    assert check(tmp_path, "host", camera_format, 5, 200, 1) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_on_an_emulated_cortex_m4(arm_compiler, qemu, tmp_path, camera_format):
    assert check(tmp_path, "qemu", camera_format, 10, 100, 2) == 1000


def sizes_of(tool, flags, folder):
    """`.text` and `.rodata` of model_camera.c."""
    target = folder / "camera.o"
    command = [
        f"{tool}gcc",
        *flags,
        "-O2",
        *WARNINGS,
        "-c",
        folder / "model_camera.c",
        "-o",
        target,
    ]
    subprocess.run(command, check=True)
    listing = subprocess.run([f"{tool}size", "-A", target], capture_output=True, text=True).stdout
    return {
        name: sum(int(n) for n in re.findall(rf"^\.{name}\S*\s+(\d+)", listing, re.M))
        for name in ("text", "rodata", "data", "bss")
    }


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_flash_is_what_was_computed(arm_compiler, tmp_path, camera_format, channels):
    """Tables to the byte, code at most, on a small, a middling and a large core."""
    means = [100, 110, 120][:channels]
    for mean in (128, means):
        made = Preprocessing(96, 96, channels, crop=0.9, mean=mean)
        camera = camera_for(model_of(made), camera_format, 160, 120, made)
        for name, text in render_camera(camera, "tflm").items():
            (tmp_path / name).write_text(text)
        for board in ("arduino-zero", "mps2-an386", "mps3-an547"):
            sizes = sizes_of("arm-none-eabi-", core_flags(find_board(board)), tmp_path)
            assert sizes["rodata"] == camera.tables_bytes
            assert sizes["text"] <= CODE_BYTES
            assert sizes["data"] == sizes["bss"] == 0


def test_a_firmware_takes_the_rows_of_a_camera(arm_compiler, qemu, vww, tmp_path):
    """From camera bytes to scores on a Cortex-M4, as Python and LiteRT's kernels compute them."""
    made = Preprocessing(96, 96, 3, crop="square", mean=0, std=255)
    built = edge.build(vww, BOARD, tmp_path, **CAMERA, preprocessing=made)
    assert run_qemu(tmp_path, BOARD)["self_test"] == 1
    camera, graph = built.camera, built.graph
    frames = np.random.default_rng(0).integers(0, 256, (2, 120 * 320)).astype(np.uint8)
    emulation = emulate(built.firmware.elf, BOARD, frames, graph.output.element_count)
    inputs = np.stack([camera.model_input(graph, frame) for frame in frames])
    np.testing.assert_array_equal(emulation.outputs, run_litert(graph, inputs))
    assert emulation.image_bytes == camera.ram_bytes + 288
    assert emulation.ram_bytes <= 16 * 1024


def test_an_export_counts_the_camera(vww, tmp_path):
    made = Preprocessing(96, 96, 3, mean=0, std=255)
    plain = edge.export(vww, "nucleo-f446re", tmp_path / "plain")
    written = edge.export(
        vww,
        "nucleo-f446re",
        tmp_path / "camera",
        camera="yuyv",
        camera_width=160,
        camera_height=120,
        preprocessing=made,
    )
    camera = written.camera
    assert {"vww_96_int8_camera.h", "vww_96_int8_camera.c"} <= set(written.files)
    assert "vww_96_int8_camera.c" in (tmp_path / "camera" / "CMakeLists.txt").read_text()
    assert "camera" not in (tmp_path / "plain" / "CMakeLists.txt").read_text()
    more = written.budget.flash_bytes - plain.budget.flash_bytes
    assert more == camera.tables_bytes + CODE_BYTES
    assert written.budget.ram_bytes - plain.budget.ram_bytes == camera.ram_bytes


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("rgb565", None, 120), "Give the size of the rgb565 camera"),
        ((None, 160, 120), "with a camera only"),
        (("bayer", 160, 120), "camera must be one of"),
        (("yuyv", 161, 120), "even width"),
        (("rgb565", 160, 9000), "sides must be 1 to 8192"),
    ],
)
def test_says_what_is_wrong_with_a_camera(arguments, words):
    with pytest.raises(EdgeError, match=words):
        camera_for(model_of(Preprocessing(8, 8)), *arguments)


def test_a_camera_keeps_no_frame(arm_compiler, vww, tmp_path):
    made = Preprocessing(96, 96, 3)
    with pytest.raises(EdgeError, match="leave out the whole frame"):
        edge.build(vww, BOARD, tmp_path, is_frame=True, **CAMERA, preprocessing=made)


def test_the_command_line_takes_a_camera(arm_compiler, assert_refused, cli, vww, tmp_path):
    options = ["--board", BOARD, "--out", tmp_path, "--camera", "rgb565"]
    assert_refused(cli("build", vww, *options, "--camera-size", "wide"), "WIDTHxHEIGHT")
    done = cli("build", vww, *options, "--camera-size", "160x120")
    assert_refused(done, "--preprocessing FILE")
    (tmp_path / "p.json").write_text(Preprocessing(96, 96, mean=0, std=255).to_json())
    options += ["--camera-size", "160x120", "--preprocessing", tmp_path / "p.json"]
    report = json.loads(cli("build", vww, *options, "--json").stdout)
    assert report["camera"]["format"] == "rgb565"
    assert report["ram_bytes"] > report["camera"]["state_bytes"] + report["state_bytes"]


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize("runner", RUNNERS)
@pytest.mark.parametrize("camera_format", CAMERA_FORMATS)
def test_at_length(arm_compiler, qemu, host_compiler, tmp_path, camera_format, runner):
    assert check(tmp_path, runner, camera_format, 50, 100, 3) == 5000
