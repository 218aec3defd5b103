"""An image that a chip makes for itself, and what the model must make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edge.emit.c_text import DEFAULT_NAME, named, template
from edge.emit.engine.render import BANNER, engines_digest
from edge.engine.compile import Engine
from edge.tflite.reference import run_reference

if TYPE_CHECKING:
    from edge.emit.camera.render import Camera

SELF_TEST_SEED = 2_463_534_242
FILES = ("model_self_test.h", "model_self_test.c")


def render_self_test(
    engine: Engine,
    camera: Camera | None = None,
    name: str = DEFAULT_NAME,
    digest: str | None = None,
) -> dict[str, str]:
    """Renders the self-test of a model.

    Args:
        engine: The model's engine, for any instruction set.
        camera: If given, the image is a frame of it.
        name: The name of the model, in small letters, digits and underscores.
        digest: What `engines_digest` says of all engines that come along; of this one if None.

    Returns:
        Text by file name: `model_self_test.h` makes the image and has the output,
        `model_self_test.c` compares; the model's name is in the place of `model`.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> sorted(render_self_test(compile_engine(graph)))
        ['model_self_test.c', 'model_self_test.h']
    """
    outputs = _self_test_output(engine, camera)
    own = engines_digest([engine]) if digest is None else digest
    values = {"banner": BANNER, "seed": SELF_TEST_SEED, "outputs": outputs, "digest": own}
    return {
        named(file, name): template("edge.emit.engine", file, name).render(values) for file in FILES
    }


def self_test_image(count: int) -> np.ndarray:
    """The image, as `model_self_test_fill` in C makes it.

    Args:
        count: Bytes of the model's input, or of a camera's frame.

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


def _self_test_output(engine: Engine, camera: Camera | None = None) -> list[int]:
    """What a model makes of the image that the chip makes for itself.

    Args:
        engine: The model's engine.
        camera: If given, the image is a frame of it.

    Returns:
        int8 values.
    """
    graph = engine.network.graph
    if camera is None:
        inputs = self_test_image(graph.input.element_count)
    else:
        frame = self_test_image(camera.height * camera.row_bytes).view(np.uint8)
        inputs = camera.model_input(graph, frame)
    return run_reference(graph, inputs.reshape(1, *graph.input.shape[1:]))[0].tolist()
