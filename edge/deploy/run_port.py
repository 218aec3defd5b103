"""Runs a model on a board that is connected by its serial port, beside LiteRT's kernels."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from edge.catalog.boards import Board
from edge.converter.model_source import read_model
from edge.deploy.verify import random_inputs
from edge.emit.camera.render import Camera
from edge.errors import EdgeError
from edge.firmware.serial_link import Device, SerialLink, open_link
from edge.firmware.serial_ports import find_port
from edge.runtimes.interpreters import run_litert
from edge.tflite.graph import Graph

SHOWN_DIGITS = 12


@dataclasses.dataclass(frozen=True)
class PortRun:
    """What a board answered.

    Attributes:
        port: The serial port.
        device: What the firmware told of itself.
        outputs: The outputs of the board, int8 array, (count, output elements).
        expected: The outputs of LiteRT's reference kernels, int8 array of the same shape.
        cycles: The core's cycles of each inference, inside the model.
        labels: The class of each input, (count,); None where it is not known.
    """

    port: str
    device: Device
    outputs: np.ndarray
    expected: np.ndarray
    cycles: np.ndarray
    labels: np.ndarray | None

    @property
    def input_count(self) -> int:
        """How many inputs ran."""
        return len(self.outputs)

    @property
    def equal_count(self) -> int:
        """On how many inputs all output bytes are those of LiteRT's reference kernels."""
        return int((self.outputs == self.expected).all(axis=1).sum())

    @property
    def is_equal(self) -> bool:
        """Whether all bytes of all outputs are those of LiteRT's reference kernels."""
        return self.equal_count == self.input_count

    @property
    def correct_count(self) -> int | None:
        """On how many inputs the board's largest output is the input's class; None without one."""
        if self.labels is None:
            return None
        return int((self.outputs.argmax(axis=1) == self.labels).sum())

    @property
    def median_cycles(self) -> float:
        """The median of the cycles of an inference."""
        return float(np.median(self.cycles))

    @property
    def milliseconds(self) -> float:
        """The median of an inference's time, at the clock that the board has."""
        return self.median_cycles / self.device.clock_hz * 1e3


def run_port(
    model: Any,
    port: str = "auto",
    inputs: np.ndarray | None = None,
    *,
    board: Board | None = None,
    labels: np.ndarray | None = None,
    camera: Camera | None = None,
    count: int = 20,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> PortRun:
    """Sends inputs to a board, and compares what it answers with LiteRT's reference kernels.

    Args:
        model: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's bytes, or a
            `Graph`: the one whose firmware the board runs.
        port: The serial port, or `"auto"` to look for it by the board's USB ids.
        inputs: int8 array, (count, *input shape without the batch); for a firmware with a camera
            the camera's frames, uint8, (count, bytes of a frame). Random bytes if None.
        board: The board to look for, and to expect; any if None.
        labels: The class of each input, an integer array of shape (count,).
        camera: The camera that the firmware was built for, whose frames go over the port: what its
            preprocessing makes of them on the board must be what Python makes of them.
        count: How many random inputs to draw.
        seed: The seed of the random inputs.
        progress: Called after each input with how many there were.

    Returns:
        The `PortRun`.

    Raises:
        EdgeError: If no board answers, or one with another model, or for another board, or one
            whose test of itself failed.

    Example:
        >>> run_port("model.tflite", port).is_equal
        True
    """
    graph = read_model(model)
    if inputs is None:
        inputs = _random(graph, camera, count, seed)
    given = inputs if camera is None else np.stack([camera.model_input(graph, f) for f in inputs])
    expected = run_litert(graph, given.reshape(len(inputs), *graph.input.shape[1:]))
    name = find_port(port, board)
    made, cycles = [], []
    with open_link(name) as link:
        link.synchronize()
        device = link.about()
        _require(device, name, graph, board, inputs[0].nbytes)
        for number, image in enumerate(inputs, 1):
            output, took = _infer(link, device, image)
            made.append(output)
            cycles.append(took)
            if progress is not None:
                progress(number)
    outputs = np.stack(made)
    return PortRun(
        port=name,
        device=device,
        outputs=outputs,
        expected=expected,
        cycles=np.array(cycles),
        labels=labels,
    )


def _random(graph: Graph, camera: Camera | None, count: int, seed: int) -> np.ndarray:
    if camera is None:
        return random_inputs(graph, count, seed)
    shape = (count, camera.height * camera.row_bytes)
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def _infer(link: SerialLink, device: Device, image: np.ndarray) -> tuple[np.ndarray, int]:
    link.load(image.tobytes(), device)
    link.infer()
    return link.outputs()


def _require(
    device: Device, port: str, graph: Graph, board: Board | None, image_bytes: int
) -> None:
    """That what is on the board is what is compared."""
    if board is not None and device.board != board.id:
        raise EdgeError(
            f"The firmware on {port} is that of the {device.board}, not of the {board.id}: "
            f"build and flash with --board {board.id}, or name --board {device.board}."
        )
    if device.sha256 != graph.file_sha256:
        raise EdgeError(
            f"The board on {port} runs another model ({device.sha256[:SHOWN_DIGITS]}..., this is "
            f"{graph.file_sha256[:SHOWN_DIGITS]}...): build and flash this one first."
        )
    if device.self_test != "passed":
        raise EdgeError(
            f"The self-test of the board on {port}: {device.self_test}. Flash it again."
        )
    if device.image_bytes != image_bytes:
        raise EdgeError(
            f"The firmware on {port} takes {device.image_bytes:,} bytes an image, not "
            f"{image_bytes:,}: was it built with the same --camera and --camera-size?"
        )
