"""Renders the code between a camera and a model: plain C11 in integers, text in memory."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from edge.emit.c_text import DEFAULT_NAME, named, template
from edge.errors import EdgeError
from edge.tflite.graph import Graph
from edge.tflite.preprocessing import read_preprocessing
from edge.tflite.requantization import scale_of, zero_point_of

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing
    from keras_mobilenet.preprocessing.resize import Taps

FILES = ("model_camera.h", "model_camera.c")
CODE_BYTES = 800
"""The most flash that `.text` of camera.c takes with arm-none-eabi-gcc 12.2 `-O2`, any format, on
Cortex-M0+ to M55."""

SPAN_BYTES = 6
COUNTER_BYTES = 6


@dataclasses.dataclass(frozen=True)
class Span:
    """The camera pixels or rows that an output pixel or row reads, and their weights.

    Attributes:
        first: The first pixel of a camera row, or the first camera row.
        count: The number of pixels or rows.
        weights: The place in the table where their weights begin, which other spans may share.
    """

    first: int
    count: int
    weights: int


@dataclasses.dataclass(frozen=True, eq=False)
class Camera:
    """A camera in front of a model, planned, before it is C.

    Attributes:
        camera_format: The pixel format, one of
            `keras_mobilenet.preprocessing.camera.CAMERA_FORMATS`.
        width: The width of a frame, in pixels.
        height: The height of a frame, in pixels.
        preprocessing: The preprocessing that the model was trained with.
        row_bytes: The size of a camera row, in bytes.
        channels: The number of channels that are resized, 1 where model or camera are gray.
        columns: The pixels of a camera row that each pixel of a model row reads.
        rows: The rows of the frame that each model row reads.
        weights: The weights of all spans, in 22-bit fixed point.
        values: int8 array, (1 or channels, 256): what each pixel value becomes.
    """

    camera_format: str
    width: int
    height: int
    preprocessing: Preprocessing
    row_bytes: int
    channels: int
    columns: tuple[Span, ...]
    rows: tuple[Span, ...]
    weights: tuple[int, ...]
    values: np.ndarray

    @property
    def line_count(self) -> int:
        """The number of resized camera rows that are kept for the model rows in progress."""
        most, last = 0, 0
        for span in self.rows:
            last = max(last, span.first + span.count)
            most = max(most, last - span.first)
        return most

    @property
    def line_bytes(self) -> int:
        """The size of one resized camera row, in bytes."""
        return self.preprocessing.width * self.channels

    @property
    def state_bytes(self) -> int:
        """The RAM that the state takes, which the caller provides, in bytes."""
        lines = self.line_count * self.line_bytes
        return lines + lines % 2 + COUNTER_BYTES

    @property
    def ram_bytes(self) -> int:
        """The RAM that the state and a row from the camera take, in bytes."""
        return self.state_bytes + self.row_bytes

    @property
    def tables_bytes(self) -> int:
        """The flash that the tables take, in bytes."""
        spans = SPAN_BYTES * (len(self.columns) + len(self.rows))
        return 4 * len(self.weights) + spans + self.values.size

    def model_input(self, graph: Graph, frame: np.ndarray) -> np.ndarray:
        """Computes in Python what the emitted code makes of a frame.

        Args:
            graph: The model.
            frame: uint8 array, (height * row_bytes,).

        Returns:
            int8 array of the model's (height, width, channels).

        Example:
            >>> from keras_mobilenet.preprocessing.preprocessing import Preprocessing
            >>> camera = camera_for(graph, "rgb565", 16, 12, Preprocessing(8, 8))
            >>> frame = np.zeros(camera.height * camera.row_bytes, np.uint8)
            >>> camera.model_input(graph, frame).shape
            (8, 8, 3)
        """
        from keras_mobilenet.preprocessing.camera import camera_pixels

        made = self.preprocessing
        pixels = camera_pixels(
            frame,
            self.camera_format,
            height=self.height,
            width=self.width,
            channels=made.channels,
        )
        return made.quantize(pixels, scale_of(graph.input), zero_point_of(graph.input))


def camera_for(
    graph: Graph,
    camera_format: str | None,
    width: int | None,
    height: int | None,
    preprocessing: Preprocessing | None = None,
) -> Camera | None:
    """Plans the code between a camera and a model.

    Args:
        graph: An int8 model of gray or RGB images.
        camera_format: The pixel format, one of `CAMERA_FORMATS`; None for no camera.
        width: The width of the camera's frames, in pixels.
        height: The height of the camera's frames, in pixels.
        preprocessing: The preprocessing of a model that does not say what it was trained with.

    Returns:
        The `Camera`; None if no camera is asked for.

    Raises:
        EdgeError: If there is no such camera, its size is not given, or the model's preprocessing
            is not known or another.

    Example:
        >>> from keras_mobilenet.preprocessing.preprocessing import Preprocessing
        >>> camera_for(graph, "rgb565", 16, 12, Preprocessing(8, 8)).state_bytes
        78
    """
    if camera_format is None:
        if (width, height, preprocessing) != (None, None, None):
            raise EdgeError(
                "A camera's size, or a preprocessing, is of use with a camera only: give its "
                "pixel format, for example rgb565."
            )
        return None
    if width is None or height is None:
        raise EdgeError(
            f"Give the size of the {camera_format} camera's frames, for example 160x120."
        )
    from keras_mobilenet.preprocessing.camera import check_camera

    try:
        check_camera(camera_format, height, width)
    except ValueError as error:
        raise EdgeError(str(error)) from error
    made = read_preprocessing(graph, preprocessing)
    values = made.int8_values(scale_of(graph.input), zero_point_of(graph.input))
    return _camera(camera_format, width, height, made, values)


def _camera(
    camera_format: str, width: int, height: int, made: Preprocessing, values: np.ndarray
) -> Camera:
    from keras_mobilenet.preprocessing.camera import CAMERA_FORMATS
    from keras_mobilenet.preprocessing.resize import bilinear_taps

    top, left, kept_height, kept_width = made.crop_box(height, width)
    weights = _Weights()
    columns = weights.spans(bilinear_taps(kept_width, made.width), left)
    rows = weights.spans(bilinear_taps(kept_height, made.height), top)
    return Camera(
        camera_format=camera_format,
        width=width,
        height=height,
        preprocessing=made,
        row_bytes=width * CAMERA_FORMATS[camera_format],
        channels=1 if camera_format == "grayscale" else made.channels,
        columns=columns,
        rows=rows,
        weights=tuple(weights.table),
        values=values[:1] if (values == values[0]).all() else values,
    )


class _Weights:
    """One table; pixels at the same place between camera pixels share their weights."""

    def __init__(self) -> None:
        self.table: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}

    def spans(self, taps: Sequence[Taps], offset: int) -> tuple[Span, ...]:
        spans = []
        for tap in taps:
            if tap.weights not in self._places:
                self._places[tap.weights] = len(self.table)
                self.table += tap.weights
            spans.append(Span(tap.first + offset, len(tap.weights), self._places[tap.weights]))
        return tuple(spans)


def render_camera(
    camera: Camera, runtime: Literal["engine", "tflm"], name: str = DEFAULT_NAME
) -> dict[str, str]:
    """Renders the source files.

    Args:
        camera: The camera.
        runtime: The runtime of the model, for the usage that the header shows.
        name: The name of the model, in small letters, digits and underscores.

    Returns:
        Text by file name.

    Example:
        >>> from keras_mobilenet.preprocessing.preprocessing import Preprocessing
        >>> camera = camera_for(graph, "rgb565", 16, 12, Preprocessing(8, 8))
        >>> sorted(render_camera(camera, "engine"))
        ['model_camera.c', 'model_camera.h']
    """
    made = camera.preprocessing
    top, left, height, width = made.crop_box(camera.height, camera.width)
    values = {
        "banner": f"Written by keras-mobilenet {'build' if runtime == 'engine' else 'export'}; "
        "do not edit.",
        "runtime": runtime,
        "camera": camera,
        "preprocessing": made,
        "json": made.to_json(),
        "crop": {"top": top, "left": left, "height": height, "width": width},
        "columns": _lines([_span(span) for span in camera.columns], 5),
        "rows": _lines([_span(span) for span in camera.rows], 5),
        "weights": _lines([f"{weight}U," for weight in camera.weights], 8),
        "values": [
            _lines([f"{value}," for value in table], 16) for table in camera.values.tolist()
        ],
    }
    texts = [value for key, value in values.items() if key not in ("camera", "preprocessing")]
    frame = (camera.camera_format, camera.width, camera.height)
    values["digest"] = hashlib.sha256(repr((frame, texts)).encode()).hexdigest()[:8]
    return {
        named(file, name): template("edge.emit.camera", file, name).render(values) for file in FILES
    }


def _span(span: Span) -> str:
    return f"{{{span.first}U, {span.count}U, {span.weights}U}},"


def _lines(items: Sequence[str], per_line: int) -> list[str]:
    return [" ".join(items[at : at + per_line]) for at in range(0, len(items), per_line)]
