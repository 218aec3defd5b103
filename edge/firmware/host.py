"""Runs an engine on this machine under gcc's sanitizers."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np

from edge.emit.engine.render import render_engine
from edge.engine.compile import Engine
from edge.firmware.build import BuildError, require_tool
from edge.firmware.emulate import EmulationError
from edge.system.subprocesses import run_tool

HOST_MAIN = pathlib.Path(__file__).parent / "host" / "main.c"
FLAGS = ("-std=c11", "-O1", "-g", "-Wall", "-Wextra", "-Werror")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def run_on_host(engine: Engine, inputs: np.ndarray) -> np.ndarray:
    """Compiles an engine for this machine and runs it, row by row and by whole frames.

    Args:
        engine: The engine, compiled for the instruction set `"portable"`.
        inputs: An int8 array of shape (count, *input shape without the batch).

    Returns:
        The outputs, an int8 array of shape (count, output elements).

    Raises:
        MissingToolError: If gcc is not installed.
        BuildError: If gcc refuses the sources.
        EmulationError: If a sanitizer finds a fault, or rows and frames differ.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> run_on_host(compile_engine(graph), np.zeros((1, 8, 8, 3), "int8"))
        array([[ 113, -113]], dtype=int8)
    """
    require_tool("gcc")
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        folder = pathlib.Path(name)
        for file, text in render_engine(engine).items():
            (folder / file).write_text(text, "utf-8")
        sources = [str(path) for path in sorted(folder.glob("*.c"))]
        program = str(folder / "model")
        command = ["gcc", *FLAGS, *SANITIZERS, "-I", name, str(HOST_MAIN), *sources, "-o", program]
        built = run_tool(command, text=True, errors="replace")
        if built.returncode != 0:
            raise BuildError(f"gcc failed: {built.stderr.splitlines()[0]}")
        done = run_tool([program], input=inputs.tobytes())
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").splitlines() or [f"exit {done.returncode}"]
        raise EmulationError(f"The engine failed on this machine: {said[0]}")
    return np.frombuffer(done.stdout, np.int8).reshape(len(inputs), -1)
