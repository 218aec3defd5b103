"""Renders packages: text in memory, nothing is written here."""

from __future__ import annotations

from edge.emit.c_text import template
from edge.emit.engine.render import BANNER, CONDITIONS
from edge.emit.packages.contents import Contents
from edge.emit.packages.names import PackageName

VERSION = "1.0.0"
VENDOR = "keras_mobilenet"
"""Who made a CMSIS-Pack, where its user has put no name of their own."""

TEMPLATES = {
    "arduino": {
        "library.properties": "arduino/library.properties",
        "keywords.txt": "arduino/keywords.txt",
        "src/{arduino_header}": "arduino/header.h",
        "examples/{camel}/{camel}.ino": "arduino/{runtime}_sketch.cpp",
    },
    "esp-idf": {
        "idf_component.yml": "esp-idf/idf_component.yml",
        "CMakeLists.txt": "esp-idf/CMakeLists.txt",
        "examples/{example}/CMakeLists.txt": "esp-idf/example_project.cmake",
        "examples/{example}/main/CMakeLists.txt": "esp-idf/example_main.cmake",
        "examples/{example}/main/idf_component.yml": "esp-idf/example_component.yml",
        "examples/{example}/main/{main}": "{main}",
    },
    "zephyr": {
        "zephyr/module.yml": "zephyr/module.yml",
        "CMakeLists.txt": "zephyr/CMakeLists.txt",
        "Kconfig": "zephyr/Kconfig",
        "samples/{example}/CMakeLists.txt": "zephyr/sample.cmake",
        "samples/{example}/prj.conf": "zephyr/prj.conf",
        "samples/{example}/sample.yaml": "zephyr/sample.yaml",
        "samples/{example}/src/{main}": "{main}",
    },
    "platformio": {
        "library.json": "platformio/library.json",
        "examples/arduino/main.cpp": "arduino/{runtime}_sketch.cpp",
    },
    "cmake": {
        "CMakeLists.txt": "cmake/CMakeLists.txt",
        "example/main.c": "main.c",
    },
    "cmsis-pack": {
        "{vendor}.{camel}.pdsc": "cmsis-pack/package.pdsc",
        "example/{main}": "{main}",
    },
}
"""The templates of each shape, by the path of what they make."""

RUNTIME_TEMPLATES = {
    ("engine", "platformio"): {"examples/{example}/{main}": "{main}"},
    ("tflm", "esp-idf"): {"examples/{example}/sdkconfig.defaults": "esp-idf/sdkconfig.defaults"},
}
"""The templates that are for one runtime only."""

SHAPES = tuple(TEMPLATES)
EXAMPLES = {"engine": ("self_test", "main.c"), "tflm": ("scores", "main.cc")}
"""The name of each runtime's example, and of its program."""


def instruction_sets(shape: str) -> tuple[str, ...]:
    """The instruction sets whose kernels a package of the engine may hold.

    Args:
        shape: One of `SHAPES`.

    Returns:
        Instruction sets; the compiler's target chooses among them.

    Example:
        >>> instruction_sets("arduino"), instruction_sets("esp-idf")
        (('mve', 'dsp', 'portable'), ('portable',))
    """
    return ("portable",) if shape == "esp-idf" else (*CONDITIONS, "portable")


def render_package(shape: str, name: PackageName, contents: Contents) -> dict[str, str]:
    """Renders all files of a package.

    Args:
        shape: One of `SHAPES`; TFLite Micro has no package for `"cmake"`.
        name: The name of the package.
        contents: The runtime's sources, rendered with the name, and what is to be said of them.

    Returns:
        Text by path below the package's folder.

    Example:
        >>> from edge.emit.packages.contents import engine_contents
        >>> from edge.emit.packages.names import package_name
        >>> from edge.engine.compile import compile_engine
        >>> contents = engine_contents({"portable": compile_engine(graph)})
        >>> sorted(render_package("arduino", package_name("faces"), contents))[:2]
        ['README.md', 'examples/Faces/Faces.ino']
    """
    runtime = contents.runtime
    example, main = EXAMPLES[runtime]
    files = _sources(shape, contents)
    values = {
        **contents.values,
        "kind": shape,
        "runtime": runtime,
        "banner": BANNER,
        "camel": name.camel,
        "arduino_header": name.arduino_header,
        "snake": name.snake,
        "version": VERSION,
        "vendor": VENDOR,
        "example": example,
        "main": main,
        "headers": contents.public_headers,
        "sentence": f"The int8 network {name.camel} "
        + (
            "in plain C, without heap or dependencies."
            if runtime == "engine"
            else "for TensorFlow Lite Micro."
        ),
        "sources": sorted(path for path in files if path.endswith((".c", ".cc", ".cpp"))),
        "own_headers": sorted(path for path in files if path.startswith("src/") and ".h" in path),
    }
    layout = {"README.md": "README.md"} | TEMPLATES[shape]
    layout |= RUNTIME_TEMPLATES.get((runtime, shape), {})
    words = {
        "camel": name.camel,
        "vendor": VENDOR,
        "arduino_header": name.arduino_header,
        "runtime": runtime,
        "example": example,
        "main": main,
    }
    for path, file in layout.items():
        text = template("edge.emit.packages", file.format_map(words), name.snake).render(values)
        files[path.format_map(words)] = text
    return files


def _sources(shape: str, contents: Contents) -> dict[str, str]:
    """Arduino takes one folder for all sources, and C++ by the name of `.cpp` only."""
    files = {}
    for file, text in contents.sources.items():
        is_public = file in contents.public_headers
        if shape == "arduino" and file.endswith(".cc"):
            file = f"{file.removesuffix('.cc')}.cpp"
        folder = "include" if is_public and shape != "arduino" else "src"
        files[f"{folder}/{file}"] = text
    return files
