"""What a runtime puts into a package: its sources, and what manifests and README say of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from edge.emit.c_text import DEFAULT_NAME, named
from edge.emit.engine.render import engines_digest, render_engines
from edge.emit.engine.self_test import render_self_test
from edge.engine.compile import Engine
from edge.tflite.graph import Graph
from edge.tflite.requantization import scale_of, zero_point_of

ENGINE_HEADERS = ("model.h", "model_self_test.h")
TFLM_HEADERS = ("model.h", "model_settings.h", "model_data.h", "model_camera.h")
FLASH_TO_SPARE_KIB = 64
RAM_TO_SPARE_KIB = 8


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a runtime puts into a package.

    Attributes:
        runtime: `"engine"` or `"tflm"`.
        sources: The text of each source file by its name.
        public_headers: The names of the headers that a program includes.
        values: What templates say of the model.
    """

    runtime: str
    sources: Mapping[str, str]
    public_headers: tuple[str, ...]
    values: Mapping[str, object]


def engine_contents(engines: Mapping[str, Engine], name: str = DEFAULT_NAME) -> Contents:
    """What the engine puts into a package.

    Args:
        engines: The model's engine for each instruction set that the package supports.
        name: The name of the model, in small letters, digits and underscores.

    Returns:
        The `Contents`.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> engine_contents({"portable": compile_engine(graph)}).public_headers
        ('model.h', 'model_self_test.h')
    """
    *_, engine = engines.values()
    network = engine.network
    state_bytes = max(each.state_bytes for each in engines.values())
    weights_bytes = max(each.weights_bytes for each in engines.values())
    return Contents(
        runtime="engine",
        sources=render_engines(engines, name)
        | render_self_test(engine, name=name, digest=engines_digest(engines.values())),
        public_headers=tuple(named(file, name) for file in ENGINE_HEADERS),
        values=_model_values(network.graph)
        | {
            "input": network.rows[network.input],
            "output_bytes": network.rows[network.output].bytes,
            "engines": engines,
            "flash_kib": weights_bytes // 1024 + FLASH_TO_SPARE_KIB,
            "ram_kib": state_bytes // 1024 + RAM_TO_SPARE_KIB,
        },
    )


def tflm_contents(
    graph: Graph,
    sources: Mapping[str, str],
    *,
    flash_bytes: int,
    ram_bytes: int,
    name: str = DEFAULT_NAME,
) -> Contents:
    """What TFLite Micro puts into a package.

    Args:
        graph: The model.
        sources: The text of each file that `edge.emit.tflm.render` makes.
        flash_bytes: The flash that model and runtime take.
        ram_bytes: The RAM that model and runtime take.
        name: The name of the model that the sources were rendered with.

    Returns:
        The `Contents`, which leave out the CMake project that stands alone.

    Example:
        >>> tflm_contents(graph, {"model.h": ""}, flash_bytes=0, ram_bytes=0).public_headers
        ('model.h',)
    """
    headers = [named(file, name) for file in TFLM_HEADERS]
    return Contents(
        runtime="tflm",
        sources={file: text for file, text in sources.items() if file != "CMakeLists.txt"},
        public_headers=tuple(file for file in headers if file in sources),
        values=_model_values(graph)
        | {
            "input_shape": graph.input.shape,
            "output_bytes": graph.output.element_count,
            "is_camera": named("model_camera.h", name) in sources,
            "flash_kib": flash_bytes // 1024 + FLASH_TO_SPARE_KIB,
            "ram_kib": ram_bytes // 1024 + RAM_TO_SPARE_KIB,
        },
    )


def _model_values(graph: Graph) -> dict[str, object]:
    return {
        "sha256": graph.file_sha256,
        "input_scale": f"{scale_of(graph.input):.9g}",
        "input_zero_point": zero_point_of(graph.input),
        "output_scale": f"{scale_of(graph.output):.9g}",
        "output_zero_point": zero_point_of(graph.output),
        "macs": f"{graph.total_macs():,}",
    }
