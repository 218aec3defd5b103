"""Renders packages: text in memory, nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping

from edge.emit.c_text import template
from edge.emit.engine.render import BANNER, CONDITIONS, render_engines
from edge.emit.engine.self_test import render_self_test
from edge.emit.packages.names import PackageName
from edge.engine.compile import Engine
from edge.tflite.requantization import scale_of, zero_point_of

VERSION = "1.0.0"
PUBLIC_HEADERS = ("model.h", "self_test.h")
FLASH_BESIDE_WEIGHTS_KIB = 64
RAM_BESIDE_STATE_KIB = 8

TEMPLATES = {
    "arduino": {
        "library.properties": "arduino/library.properties",
        "keywords.txt": "arduino/keywords.txt",
        "src/{camel}.h": "arduino/header.h",
        "examples/{camel}/{camel}.ino": "arduino/sketch.cpp",
    },
    "esp-idf": {
        "idf_component.yml": "esp-idf/idf_component.yml",
        "CMakeLists.txt": "esp-idf/CMakeLists.txt",
        "examples/self_test/CMakeLists.txt": "esp-idf/example_project.cmake",
        "examples/self_test/main/CMakeLists.txt": "esp-idf/example_main.cmake",
        "examples/self_test/main/idf_component.yml": "esp-idf/example_component.yml",
        "examples/self_test/main/main.c": "main.c",
    },
    "zephyr": {
        "zephyr/module.yml": "zephyr/module.yml",
        "CMakeLists.txt": "zephyr/CMakeLists.txt",
        "Kconfig": "zephyr/Kconfig",
        "samples/self_test/CMakeLists.txt": "zephyr/sample.cmake",
        "samples/self_test/prj.conf": "zephyr/prj.conf",
        "samples/self_test/sample.yaml": "zephyr/sample.yaml",
        "samples/self_test/src/main.c": "main.c",
    },
    "platformio": {
        "library.json": "platformio/library.json",
        "examples/self_test/main.c": "main.c",
        "examples/arduino/main.cpp": "arduino/sketch.cpp",
    },
    "cmake": {
        "CMakeLists.txt": "cmake/CMakeLists.txt",
        "example/main.c": "main.c",
    },
}
"""Of each kind of package the templates, by the path of what they make."""

KINDS = tuple(TEMPLATES)


def instruction_sets(kind: str) -> tuple[str, ...]:
    """Whose kernels a package holds.

    Args:
        kind: One of `KINDS`.

    Returns:
        Instruction sets; the compiler's target chooses among them.

    Example:
        >>> instruction_sets("arduino"), instruction_sets("esp-idf")
        (('mve', 'dsp', 'portable'), ('portable',))
    """
    return ("portable",) if kind == "esp-idf" else (*CONDITIONS, "portable")


def render_package(kind: str, name: PackageName, engines: Mapping[str, Engine]) -> dict[str, str]:
    """Renders all files of a package.

    Args:
        kind: One of `KINDS`.
        name: The package's.
        engines: The model's engine for each of the `instruction_sets`.

    Returns:
        Text by path below the package's folder.

    Example:
        >>> from edge.engine.compile import compile_engines
        >>> from edge.emit.packages.names import package_name
        >>> engines = compile_engines(graph, instruction_sets("arduino"))
        >>> sorted(render_package("arduino", package_name("faces"), engines))[:2]
        ['README.md', 'examples/Faces/Faces.ino']
    """
    engine = engines["portable"]
    sources = render_engines(engines) | render_self_test(engine)
    includes = "src" if kind == "arduino" else "include"
    files = {
        f"{includes if file in PUBLIC_HEADERS else 'src'}/{file}": text
        for file, text in sources.items()
    }
    values = _values(kind, name, engines) | {
        "sources": sorted(path for path in files if path.endswith(".c"))
    }
    for path, file in ({"README.md": "README.md"} | TEMPLATES[kind]).items():
        text = template("edge.emit.packages", file).render(values)
        files[path.format(camel=name.camel, snake=name.snake)] = text
    return files


def _values(kind: str, name: PackageName, engines: Mapping[str, Engine]) -> dict[str, object]:
    network = engines["portable"].network
    graph = network.graph
    largest = max(engines.values(), key=lambda engine: engine.state_bytes)
    weights_bytes = max(engine.weights_bytes for engine in engines.values())
    return {
        "kind": kind,
        "banner": BANNER,
        "camel": name.camel,
        "snake": name.snake,
        "version": VERSION,
        "sha256": graph.sha256,
        "input": network.rows[network.input],
        "output": network.rows[network.output],
        "input_scale": f"{scale_of(graph.input):.9g}",
        "input_zero_point": zero_point_of(graph.input),
        "output_scale": f"{scale_of(graph.output):.9g}",
        "output_zero_point": zero_point_of(graph.output),
        "macs": f"{graph.total_macs():,}",
        "engines": engines,
        "flash_kib": weights_bytes // 1024 + FLASH_BESIDE_WEIGHTS_KIB,
        "ram_kib": largest.state_bytes // 1024 + RAM_BESIDE_STATE_KIB,
        "sentence": f"The int8 network {name.camel} in plain C, without heap or dependencies.",
    }
