"""An image that a chip makes for itself, and what the model must make of it."""

from __future__ import annotations

import numpy as np

from edge.emit.c_text import template
from edge.emit.engine.sources import BANNER, Engine
from edge.reference import run_reference

SELF_TEST_SEED = 2_463_534_242
FILES = ("self_test.h", "self_test.c")


def render_self_test(engine: Engine) -> dict[str, str]:
    """Renders the self-test of a model.

    Args:
        engine: The model's engine, for any instruction set.

    Returns:
        Text by file name: `self_test.h` makes the image and has the output, `self_test.c` compares.

    Example:
        >>> sorted(render_self_test(engine))  # doctest: +SKIP
        ['self_test.c', 'self_test.h']
    """
    values = {"banner": BANNER, "seed": SELF_TEST_SEED, "outputs": self_test_output(engine)}
    return {name: template("edge.emit.engine", name).render(values) for name in FILES}


def self_test_image(count: int) -> np.ndarray:
    """The image, as `self_test_fill` in C makes it.

    Args:
        count: Bytes of the model's input.

    Returns:
        int8 array, (count,).

    Example:
        >>> self_test_image(4).tolist()
        [43, -108, 123, 119]
    """
    image, state = np.empty(count, np.int8), SELF_TEST_SEED
    for n in range(count):
        state ^= (state << 13) & 0xFFFFFFFF
        state ^= state >> 17
        state ^= (state << 5) & 0xFFFFFFFF
        image[n] = np.uint8(state >> 24).astype(np.int8)
    return image


def self_test_output(engine: Engine) -> list[int]:
    """What a model makes of the image that the chip makes for itself.

    Args:
        engine: The model's engine.

    Returns:
        int8 values.
    """
    graph = engine.network.graph
    image = self_test_image(graph.input.element_count)
    return run_reference(graph, image.reshape(1, *graph.input.shape[1:]))[0].tolist()
