"""How a model's bytes go over a board's serial port."""

from __future__ import annotations

import math

import numpy as np

from edge.emit.c_text import template
from edge.emit.camera.render import Camera
from edge.emit.engine.render import BANNER
from edge.tflite.graph import Graph
from edge.tflite.requantization import scale_of

IMAGE_SCALES = (1 / 255, 2 / 255, 1 / 128, 1.0)
"""What a model of images makes of a step of a pixel: 0 to 1, -1 to 1, or the pixel itself."""

SCALE_TOLERANCE = 0.01
FLIP = 0x80
MANTISSA_BITS = 24


def input_flip(graph: Graph, camera: Camera | None = None) -> int:
    """Finds what lies between the bytes on the serial port and those that the model takes.

    MLPerf Tiny sends images as bytes from 0 to 255, and all else as int8, as the model takes it.

    Args:
        graph: An int8 model.
        camera: The camera whose frames come in its place, as they are; None where there is none.

    Returns:
        What each byte is exclusive-ored with: 128 for images, else 0.

    Example:
        >>> input_flip(graph)
        128
    """
    scale = scale_of(graph.input)
    is_image = any(math.isclose(scale, one, rel_tol=SCALE_TOLERANCE) for one in IMAGE_SCALES)
    return FLIP if is_image and camera is None else 0


def serial_model_header(graph: Graph, name: str, camera: Camera | None = None) -> str:
    """Renders the header with what the protocol knows of a model.

    Args:
        graph: An int8 model.
        name: The model's name.
        camera: The camera whose frames are its inputs, if there is one.

    Returns:
        The text of `serial_model.h`.

    Example:
        >>> '#define SERIAL_MODEL_NAME "vww01"' in serial_model_header(graph, "vww01")
        True
    """
    scale = float(np.float32(scale_of(graph.output)))
    fraction, exponent = math.frexp(scale)
    return template("edge.firmware", "serial_model.h").render(
        banner=BANNER,
        name=name,
        flip=input_flip(graph, camera),
        scale=scale,
        mantissa=int(fraction * (1 << MANTISSA_BITS)),
        exponent=exponent - MANTISSA_BITS,
    )
