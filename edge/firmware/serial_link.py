"""Talks to a firmware over its serial port, in the words of MLPerf Tiny's protocol."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.errors import EdgeError

BAUD = 115_200
END = "%"
READY = "m-ready"
COMMAND_BYTES = 79
"""The longest command that a firmware takes."""

HEX_BYTES = (COMMAND_BYTES - len("db ")) // 2
LINE_LIMIT_S = 20.0
"""How long a firmware may say nothing; a whole inference may lie in between."""

RAW_PAUSE_S = 5.5
"""After this pause a firmware gives up waiting for the bytes of an image."""

POLL_S = 0.05


class LinkError(EdgeError):
    """A board did not answer, or answered that it could not."""


@dataclasses.dataclass(frozen=True)
class Device:
    """What a firmware tells of itself.

    Attributes:
        sha256: The digest of the .tflite that it runs.
        board: The id of the board that it was built for.
        clock_hz: The core's clock, as it came up.
        image_bytes: The size of an input.
        part_bytes: The size of the parts in which the model takes it: rows, or all of it.
        input_flip: What each byte on the port is exclusive-ored with before the model takes it.
        keeps_image: Whether there is room for a whole input, so that it can run again.
        self_test: What the firmware's test of itself gave: "passed".
    """

    sha256: str
    board: str
    clock_hz: int
    image_bytes: int
    part_bytes: int
    input_flip: int
    keeps_image: bool
    self_test: str


class SerialLink:
    """A serial port with a firmware behind it.

    Every wait ends: after `LINE_LIMIT_S` without a line there is an error.

    Args:
        port: An open port of pyserial, with a short timeout.
        name: What a message calls it.
    """

    def __init__(self, port: Any, name: str):
        self._port, self._name = port, name
        self._waiting = bytearray()

    def synchronize(self, limit_s: float | None = None) -> None:
        """Ends what the firmware may be in the middle of, and waits until it is ready.

        Args:
            limit_s: The seconds to wait; `LINE_LIMIT_S` if None.

        Raises:
            LinkError: If nothing answers as this firmware does.

        Example:
            >>> link.synchronize()
        """
        limit_s = LINE_LIMIT_S if limit_s is None else limit_s
        end = time.monotonic() + limit_s
        for turn in itertools.count():
            if (left := end - time.monotonic()) <= 0:
                break
            # A command of this turn's own, which no firmware knows: what came before is not taken
            # for its answer.
            self._write(f"{END}turn{turn}{END}".encode())
            if self._hears(f"e-[Unknown command: turn{turn}]", READY, min(left, RAW_PAUSE_S)):
                return
        raise LinkError(
            f"Nothing on {self._name} answers within {limit_s:g} s: is it the board's port, and "
            "was the firmware of `keras-mobilenet build` flashed? Press its reset button."
        )

    def command(self, text: str, limit_s: float = LINE_LIMIT_S) -> list[str]:
        """Sends a command and takes the answer.

        Args:
            text: The command without its end, at most `COMMAND_BYTES` characters.
            limit_s: The seconds to wait for each line.

        Returns:
            The lines of the answer, without the last one, which says that the firmware is ready.

        Raises:
            LinkError: If no answer comes, or it is an error.

        Example:
            >>> link.command("profile")[1]
            'm-model-[model]'
        """
        self._write(f"{text}{END}".encode("ascii"))
        return self._answer(text, limit_s)

    def about(self) -> Device:
        """Asks which model runs on which board.

        Returns:
            The `Device`.

        Raises:
            LinkError: If no answer comes, or it lacks something.

        Example:
            >>> link.about().self_test
            'passed'
        """
        said = dict(_figures(self.command("about")))
        try:
            return Device(
                sha256=said["sha256"],
                board=said["board"],
                clock_hz=int(said["clock-hz"]),
                image_bytes=int(said["image-bytes"]),
                part_bytes=int(said["part-bytes"]),
                input_flip=int(said["input-flip"]),
                keeps_image=said["keeps-image"] == "1",
                self_test=said["self-test"],
            )
        except (KeyError, ValueError) as error:
            raise LinkError(
                f"The firmware on {self._name} does not tell of itself: {error}; flash one that "
                "this version builds."
            ) from error

    def load(self, image: bytes, device: Device) -> None:
        """Sends an input, as bytes; rows that the firmware cannot keep go through the model.

        Args:
            image: The bytes as the model takes them, `device.image_bytes` of them.
            device: What the firmware told of itself.

        Raises:
            LinkError: If the firmware does not take them.

        Example:
            >>> link.load(bytes(device.image_bytes), device)
        """
        sent = bytes(np.frombuffer(image, np.uint8) ^ np.uint8(device.input_flip))
        self.command(f"db load {len(sent)}")
        # While rows run, the port is not read: what has come by then is lost.
        step = len(sent) if device.keeps_image else device.part_bytes
        for start in range(0, len(sent), step):
            part = sent[start : start + step]
            self._write(f"put {len(part)}{END}".encode() + part)
            self._answer("put", LINE_LIMIT_S + len(part) * 10 / BAUD)

    def load_in_hex(self, image: bytes, device: Device) -> None:
        """Sends an input in the way of MLPerf Tiny's runner, two digits a byte.

        Args:
            image: The bytes as the model takes them, `device.image_bytes` of them.
            device: What the firmware told of itself.

        Raises:
            LinkError: If the firmware does not take them.

        Example:
            >>> link.load_in_hex(bytes(device.image_bytes), device)
        """
        sent = bytes(np.frombuffer(image, np.uint8) ^ np.uint8(device.input_flip))
        self.command(f"db load {len(sent)}")
        for start in range(0, len(sent), HEX_BYTES):
            self.command(f"db {sent[start : start + HEX_BYTES].hex()}")

    def infer(self, count: int = 1, warm_ups: int = 0) -> int:
        """Runs the model on the input that was loaded.

        Args:
            count: How often, for the time.
            warm_ups: How often before that.

        Returns:
            The microseconds that all `count` runs took, by the board's clock.

        Raises:
            LinkError: If the firmware cannot, or no times are in its answer.

        Example:
            >>> link.load(bytes(device.image_bytes), device)
            >>> link.infer() > 0
            True
        """
        lines = self.command(f"infer {count} {warm_ups}", LINE_LIMIT_S * (count + warm_ups))
        times = [int(line[9:]) for line in lines if re.fullmatch(r"m-lap-us-\d+", line)]
        if len(times) != 2:
            raise LinkError(f"The firmware on {self._name} tells no times: {lines}.")
        return (times[1] - times[0]) % (1 << 32)

    def outputs(self) -> tuple[np.ndarray, int]:
        """Asks for the bytes that the model made.

        Returns:
            The output, int8, and the core's cycles of that inference inside the model.

        Raises:
            LinkError: If there is none, or the answer is garbled.

        Example:
            >>> link.load(bytes(device.image_bytes), device)
            >>> microseconds = link.infer()
            >>> link.outputs()[0].shape
            (2,)
        """
        said = dict(_figures(self.command("outputs")))
        try:
            made = np.frombuffer(bytes.fromhex(said["outputs"]), np.int8)
            return made, int(said["cycles"])
        except (KeyError, ValueError) as error:
            raise LinkError(f"The answer on {self._name} is garbled: {said}.") from error

    def lines(self) -> Iterator[str]:
        """Waits for what the firmware says, a line after the other.

        Yields:
            Each line, without its end; an empty one after each wait in which nothing came.

        Raises:
            LinkError: If the port is gone.

        Example:
            >>> next(link.lines())
            ''
        """
        while True:
            yield self._line(POLL_S) or ""

    def _answer(self, asked: str, limit_s: float) -> list[str]:
        lines: list[str] = []
        while True:
            line = self._line(limit_s)
            if line is None:
                raise LinkError(
                    f"No answer to {asked!r} on {self._name} within {limit_s:.0f} s; the last line "
                    f"was {lines[-1] if lines else 'none'!r}."
                )
            if line == READY:
                break
            lines.append(line)
        errors = [line for line in lines if line.startswith(("e-[", "fault "))]
        if errors:
            raise LinkError(f"The firmware on {self._name} answers {asked!r} with {errors[0]}")
        return lines

    def _hears(self, first: str, then: str, limit_s: float) -> bool:
        """Whether both lines come, one after the other, and whatever before them."""
        end, waited = time.monotonic() + limit_s, [then, first]
        while waited and (left := end - time.monotonic()) > 0:
            if self._line(left) == waited[-1]:
                waited.pop()
        return not waited

    def _line(self, limit_s: float) -> str | None:
        end = time.monotonic() + limit_s
        while b"\n" not in self._waiting:
            with self._failing():
                self._waiting += self._port.read(max(1, self._port.in_waiting))
            if b"\n" not in self._waiting and time.monotonic() > end:
                return None
        line, _, rest = self._waiting.partition(b"\n")
        self._waiting = bytearray(rest)
        return line.decode("ascii", "replace").strip("\r\0")

    def _write(self, content: bytes) -> None:
        with self._failing():
            self._port.write(content)
            self._port.flush()

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LinkError(f"The port {self._name} is gone: {error}.") from error


@contextlib.contextmanager
def open_link(port: str) -> Iterator[SerialLink]:
    """Opens a serial port.

    Args:
        port: The port's name, `/dev/ttyACM0` or `COM3`, a terminal's end, or an address of pyserial
            such as `socket://localhost:5555`.

    Yields:
        The `SerialLink`, open until the block ends.

    Raises:
        LinkError: If the port cannot be opened.

    Example:
        >>> with open_link("/dev/no-such-port") as link:
        ...     pass
        Traceback (most recent call last):
        edge.firmware.serial_link.LinkError: Cannot open /dev/no-such-port...
    """
    import serial

    try:
        # What a program sends to a board that is not there must end, too.
        opened = serial.serial_for_url(port, BAUD, timeout=POLL_S, write_timeout=LINE_LIMIT_S)
    except (OSError, ValueError) as error:
        hint = (
            " Add yourself to the group of the port (Debian: dialout), and log in again."
            if isinstance(error, OSError) and "ermission" in str(error)
            else ""
        )
        raise LinkError(f"Cannot open {port}: {error}.{hint}") from error
    try:
        yield SerialLink(opened, port)
    finally:
        opened.close()


def _figures(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        found = re.fullmatch(r"m-([a-z0-9-]+)-\[([^]]*)\]", line)
        if found is not None:
            yield found[1], found[2]
