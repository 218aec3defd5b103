"""Other ways to run the same model, on the same emulated core, under the same measure.c."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import subprocess
import tempfile

import numpy as np

import edge
from edge.catalog.boards import Board, core_flags
from edge.engine.compile import compile_engine
from edge.firmware.cycles import PIPELINES, Cost, blocks_of, weigh
from edge.firmware.emulate import Emulation, emulate
from edge.firmware.instructions import disassemble, functions
from edge.firmware.render import link_script, render_firmware
from edge.firmware.step_counts import passages_of_call
from edge.firmware.trace import trace
from edge.tflite.graph import Graph

HERE = pathlib.Path(__file__).parent
STACK_SECTION_BYTES = 16384
"""More than an engine's firmware has: CMSIS-NN and TFLite Micro need some kilobytes."""


@dataclasses.dataclass(frozen=True)
class PeerRun:
    """What a peer did.

    Attributes:
        emulation: Its run.
        flash_bytes: The flash that the image takes.
        cost: Its instructions and estimated cycles, by the models that estimate the engine's.
    """

    emulation: Emulation
    flash_bytes: int
    cost: Cost


def run_bakenn(graph: Graph, board: Board, inputs: np.ndarray) -> PeerRun:
    """A model compiled by bakenn, with the kernels of CMSIS-NN.

    Args:
        graph: A model that bakenn accepts.
        board: A board that QEMU knows.
        inputs: int8 array, (count, *input shape without the batch).

    Returns:
        The `PeerRun`.
    """
    import bakenn

    options = bakenn.CBackendOptions(
        kernel_policy=bakenn.KernelPolicy.STATIC_PRIORITY,
        enable_cmsis_nn=True,
        target=bakenn.CORTEX_M4,
    )
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        (folder / "model.tflite").write_bytes(graph.content)
        made = bakenn.compile_tflite(
            str(folder / "model.tflite"), str(folder / "peer"), name="peer", backend_options=options
        )
        arena_bytes = int(made.memory_report.arena_bytes)
        peer = folder / "peer"
        includes = [peer, *peer.glob("third_party/*/Include")]
        sources = [HERE / "bakenn_model.c", *sorted(peer.rglob("*.c"))]
        flags = ["-DBAKENN_CMSIS_NN_BUILTIN_MEMORY"]
        return _run(graph, board, inputs, folder, arena_bytes, includes, sources, flags)


def run_tflm(graph: Graph, board: Board, inputs: np.ndarray, library: str) -> PeerRun | None:
    """A model on TFLite Micro, from the sources that export writes.

    Args:
        graph: A model that TFLite Micro can run.
        board: A board that QEMU knows.
        inputs: int8 array, (count, *input shape without the batch).
        library: `libtflm.a` or `libtflm_cmsis_nn.a`, built for the board's core, in `TFLM_DIR`.

    Returns:
        The `PeerRun`; None where there is no such library.
    """
    root = pathlib.Path(os.environ.get("TFLM_DIR", "/nowhere"))
    if not (root / library).is_file():
        return None
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        edge.export(graph.content, board.id, folder / "export", name="tflm", offline_plan=False)
        third = root / "third_party"
        system = [root, third / "flatbuffers/include", third / "gemmlowp", third / "ruy"]
        export = folder / "export"
        sources = [HERE / "tflm_model.cc", export / "tflm.cc", export / "tflm_data.cc"]
        flags = [
            *(f"-isystem{path}" for path in system),
            *("-DTF_LITE_STATIC_MEMORY", "-DTF_LITE_STRIP_ERROR_STRINGS"),
        ]
        sources.append(root / library)
        # The arena is tflm.cc's own, and the input lies in it: a camera writes there.
        run = _run(graph, board, inputs, folder, 16, [export], sources, flags)
        emulation = dataclasses.replace(run.emulation, image_bytes=0)
        return dataclasses.replace(run, emulation=emulation)


def _run(
    graph: Graph,
    board: Board,
    inputs: np.ndarray,
    folder: pathlib.Path,
    arena_bytes: int,
    includes: list[pathlib.Path],
    sources: list[pathlib.Path],
    flags: list[str],
) -> PeerRun:
    """Compiles and runs; the static RAM stands in for the state."""
    ours = render_firmware(compile_engine(graph), board, is_frame=True)
    headers = ("image_part.h", "clock.h", "chip.h", "start.h", "semihosting.h", "model_self_test.h")
    for name in ("measure.c", "start.c", *headers):
        (folder / name).write_text(ours[name], "utf-8")
    (folder / "link.ld").write_text(link_script(board, STACK_SECTION_BYTES), "utf-8")
    (folder / "model.h").write_text((HERE / "peer_model.h").read_text("utf-8"), "utf-8")
    shape = graph.input.shape
    defines = {
        "PEER_INPUT_HEIGHT": shape[1],
        "PEER_INPUT_BYTES": graph.input.element_count,
        "PEER_OUTPUT_BYTES": graph.output.element_count,
        "PEER_ARENA_BYTES": arena_bytes,
    }
    common = [
        *core_flags(board),
        *("-O2", "-ffunction-sections", "-fdata-sections"),
        *("-DFIRMWARE_FRAME", "-DFIRMWARE_HAS_SEMIHOSTING=1"),
        *(f"-D{name}={value}U" for name, value in defines.items()),
        *(f"-I{path}" for path in (folder, *includes)),
        *flags,
    ]
    objects = []
    for number, source in enumerate([folder / "measure.c", folder / "start.c", *sources]):
        if source.suffix == ".a":
            objects.append(str(source))
            continue
        target = str(folder / f"{number}.o")
        is_cpp = source.suffix == ".cc"
        compiler = "arm-none-eabi-g++" if is_cpp else "arm-none-eabi-gcc"
        language = ["-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"]
        command = [compiler, *common, *(language if is_cpp else ["-std=c11"])]
        subprocess.run([*command, "-c", source, "-o", target], check=True)
        objects.append(target)
    elf = folder / "peer.elf"
    link = ["--specs=nano.specs", "--specs=nosys.specs", "-nostartfiles", "-Wl,--gc-sections"]
    command = ["arm-none-eabi-g++", *core_flags(board), *link, "-T", str(folder / "link.ld")]
    subprocess.run([*command, *objects, "-lc", "-lm", "-o", elf], check=True, capture_output=True)
    listing = subprocess.run(
        ["arm-none-eabi-size", str(elf)], check=True, capture_output=True, text=True
    ).stdout.split()
    text, data, bss = (int(n) for n in listing[6:9])
    assert board.qemu_machine is not None
    emulation = emulate(elf, board.qemu_machine, inputs, graph.output.element_count)
    # The firmware's own buffers: the frame and the outputs; the stack section is in bss.
    static = data + bss - STACK_SECTION_BYTES - emulation.image_bytes
    emulation = dataclasses.replace(emulation, state_bytes=static)
    return PeerRun(emulation, text + data, _cost(elf, board, inputs))


def _cost(elf: pathlib.Path, board: Board, inputs: np.ndarray) -> Cost:
    """Follows one call of `model_run`, whatever it calls."""
    assert board.qemu_machine is not None
    elf = elf.rename(elf.with_name("firmware.elf"))
    (elf.parent / "inputs.bin").write_bytes(inputs[:1].tobytes())
    traced = trace(elf.parent, board.qemu_machine)
    counted = passages_of_call(traced, functions(elf), "model_run")
    blocks = blocks_of(traced, disassemble(elf, board.core))
    return weigh(counted, blocks, PIPELINES[board.core])[0]
