"""Boards to talk with over a serial port: an emulated one, and one that only speaks."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import select
import subprocess
import threading
import time
import tty
from collections.abc import Iterator

import numpy as np

from edge.firmware.serial_model import input_flip
from edge.tflite.reference import run_reference

PTY = re.compile(r"redirected to (\S+)")
START_LIMIT_S = 30.0


@contextlib.contextmanager
def emulated_board(elf: pathlib.Path, machine: str = "netduinoplus2", serial: int = 1) -> Iterator:
    """Runs an image on QEMU, and gives the pty that one of its serial ports is behind."""
    # Time goes by instructions: on a busy machine, too, the firmware loses no patience.
    silent = [option for _ in range(serial) for option in ("-serial", "null")]
    command = ["qemu-system-arm", "-M", machine, "-display", "none", "-monitor", "none"]
    command += ["-icount", "shift=0", *silent]
    process = subprocess.Popen(
        [*command, "-serial", "pty", "-kernel", str(elf)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert select.select([process.stdout], [], [], START_LIMIT_S)[0]
        found = PTY.search(process.stdout.readline())
        assert found is not None
        yield found[1]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class SpokenBoard:
    """Answers on a pty as a firmware does, by the reference in NumPy; `change` spoils a line."""

    def __init__(self, graph, board="nucleo-f446re", *, keeps_image=True, change=lambda line: line):
        self._graph, self._change = graph, change
        self._master, self._slave = os.openpty()
        tty.setraw(self._master)
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._about = {
            "sha256": graph.file_sha256,
            "board": board,
            "clock-hz": 180_000_000,
            "image-bytes": graph.input.element_count,
            "part-bytes": graph.input.element_count // graph.input.shape[1],
            "input-flip": input_flip(graph),
            "keeps-image": int(keeps_image),
            "self-test": "passed",
        }
        self._image, self._left, self._output = bytearray(), 0, np.zeros(1, np.int8)
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()
        os.close(self._master)
        os.close(self._slave)

    def say_later(self, line, seconds):
        """Says a line again and again, for who comes to listen."""

        def say():
            while not self._ends.wait(seconds):
                self._say(line)

        threading.Thread(target=say, daemon=True).start()

    def _say(self, *lines):
        for line in lines:
            if (said := self._change(line)) is not None:
                os.write(self._master, f"{said}\r\n".encode())

    def _serve(self):
        command = bytearray()
        while not self._ends.is_set():
            if not select.select([self._master], [], [], 0.02)[0]:
                continue
            for byte in os.read(self._master, 4096):
                if self._left:
                    self._image.append(byte)
                    self._left -= 1
                    if not self._left:
                        self._say("m-ready")
                elif byte == ord("%"):
                    self._run(command.decode().split())
                    command.clear()
                else:
                    command.append(byte)

    def _run(self, words):
        if words[:1] == ["put"]:
            self._left = int(words[1])
            return
        if words[:1] == ["about"]:
            self._say(*(f"m-{name}-[{value}]" for name, value in self._about.items()))
        elif words[:1] == ["profile"]:
            self._say("m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[model]")
        elif words[:2] == ["db", "load"]:
            self._image.clear()
            self._say(f"m-[Expecting {words[2]} bytes]")
        elif words[:1] == ["db"]:
            self._image += bytes.fromhex(words[1])
        elif words[:1] == ["infer"]:
            flipped = np.frombuffer(bytes(self._image), np.uint8) ^ self._about["input-flip"]
            shape = (1, *self._graph.input.shape[1:])
            inputs = flipped.astype(np.uint8).view(np.int8).reshape(shape)
            self._output = run_reference(self._graph, inputs)[0]
            now = int(time.monotonic() * 1e6) % 10**9
            self._say(f"m-lap-us-{now}", f"m-lap-us-{now + 1500}")
        elif words[:1] == ["outputs"]:
            self._say(f"m-outputs-[{self._output.tobytes().hex()}]", "m-cycles-[270000]")
        elif words:
            self._say(f"e-[Unknown command: {words[0]}]")
        self._say("m-ready")
