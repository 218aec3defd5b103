"""From a model to the engine's sources in an ecosystem's shape."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

from edge.converter.model_source import read_model
from edge.emit.packages.names import PackageName, package_name
from edge.emit.packages.render import KINDS, instruction_sets, render_package
from edge.engine.compile import Engine, compile_engines
from edge.errors import EdgeError
from edge.system.files import write_files
from edge.tflite.graph import Graph
from edge.tflite.validate import require_int8


@dataclasses.dataclass(frozen=True)
class Package:
    """A package that was written.

    Attributes:
        kind: Its ecosystem, one of `KINDS`.
        name: Its name.
        graph: The int8 model, as the file has it.
        engines: Schedule, memory plan and packed weights by instruction set.
        folder: Where the files are.
        files: Their paths below the folder.
    """

    kind: str
    name: PackageName
    graph: Graph
    engines: dict[str, Engine]
    folder: pathlib.Path
    files: tuple[str, ...]


def package(
    model_or_tflite: Any,
    kind: str,
    out_dir: str | os.PathLike | None = None,
    name: str | None = None,
) -> Package:
    """Writes the engine's sources as a library, component or module.

    Args:
        model_or_tflite: A Keras model, a path to a `.keras` or int8 `.tflite` file, a .tflite's
            bytes, or a `Graph`.
        kind: `"arduino"`, `"esp-idf"`, `"zephyr"`, `"platformio"` or `"cmake"`.
        out_dir: The package's own folder; made if it is not there, its other files stay. The
            package's name if None.
        name: The package's name; the model's, or its file's, if None.

    Returns:
        The `Package`.

    Raises:
        EdgeError: If the engine has no kernel for an operator, there is no such kind, the name has
            no letter, or the folder cannot be written.

    Example:
        >>> package("model.tflite", "arduino").files[0]
        'src/model_mve.c'
    """
    if kind == "stm32cube":
        raise EdgeError("STM32CubeIDE takes the package of `cmake`; its README.md says how.")
    if kind not in KINDS:
        raise EdgeError(f"Unknown kind of package {kind!r}; there are {', '.join(KINDS)}.")
    if name is None:
        is_path = isinstance(model_or_tflite, (str, os.PathLike))
        name = pathlib.Path(model_or_tflite).stem if is_path else _own_name(model_or_tflite)
    spelled = package_name(name)
    graph = read_model(model_or_tflite)
    require_int8(graph)
    engines = compile_engines(graph, instruction_sets(kind))
    texts = render_package(kind, spelled, engines)
    default = spelled.camel if kind in ("arduino", "platformio") else spelled.snake
    folder = pathlib.Path(default if out_dir is None else out_dir)
    write_files(folder, {path: text.encode("utf-8") for path, text in texts.items()})
    return Package(kind, spelled, graph, engines, folder, tuple(texts))


def _own_name(model: Any) -> str:
    own = getattr(model, "name", None)
    return own if isinstance(own, str) else "model"
