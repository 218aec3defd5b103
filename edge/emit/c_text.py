"""C as text: templates, names and literals."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import jinja2
import numpy as np

DEFAULT_NAME = "model"
"""The name of a model that has none; templates and kernels in C are written for it."""

_NAME = re.compile(r"\bmodel(?=_[a-z])|\bmodel(?=\.(?:h|cc?|cpp)\b)|\bMODEL(?=_)")


def named(text: str, name: str) -> str:
    """Puts a model's name in the place of `model`, in what is written for a model of that name.

    Args:
        text: C, C++ or CMake, or a file's name: `model_start`, `MODEL_ROW_BYTES`, `model.h`.
        name: The model's name in small letters, digits and underscores.

    Returns:
        The text with the model's own names.

    Example:
        >>> named("model_start(&state); /* model.h */", "faces")
        'faces_start(&state); /* faces.h */'
        >>> named("MODEL_ROW_BYTES, a model row, g_model_data", "faces")
        'FACES_ROW_BYTES, a model row, g_model_data'
    """
    return _NAME.sub(lambda found: name.upper() if found[0].isupper() else name, text)


# A template is compiled once, however many models are rendered.
@functools.lru_cache(maxsize=64)
def template(package: str, file: str, name: str = DEFAULT_NAME) -> jinja2.Template:
    """A template of a package's folder `templates`.

    Args:
        package: The package, such as `"edge.emit.tflm"`.
        file: The name of the file that the template makes.
        name: The name of the model, which takes the place of `model` in the template's own text,
            not in what is filled in.

    Returns:
        The template; a value that it uses and does not get is an error.

    Example:
        >>> template("edge.emit.tflm", "model_data.h").name
        'model_data.h.j2'
    """
    environment = jinja2.Environment(
        loader=_NamedLoader(package, name),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(f"{file}.j2")


class _NamedLoader(jinja2.PackageLoader):
    """Templates with the name of the model in them."""

    def __init__(self, package: str, name: str) -> None:
        super().__init__(package)
        self._name = name

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool] | None]:
        source, path, is_current = super().get_source(environment, template)
        return named(source, self._name), path, is_current


def float_literal(value: float) -> str:
    """A float32 as C: nine significant digits give back the same number.

    Args:
        value: The number.

    Returns:
        The literal.

    Example:
        >>> float_literal(0.1), float_literal(2)
        ('0.100000001F', '2.0F')
    """
    text = f"{np.float32(value):.9g}"
    return f"{text}F" if any(c in text for c in ".en") else f"{text}.0F"


def string_literal(text: str) -> str:
    """A C string literal; other than printable ASCII as octal escapes of UTF-8.

    Args:
        text: Any text.

    Returns:
        The literal, quotes included.

    Example:
        >>> string_literal("no")
        '"no"'
    """
    escaped = (
        f"\\{byte:03o}" if byte < 32 or byte > 126 or byte in b'"\\?' else chr(byte)
        for byte in text.encode("utf-8")
    )
    return '"' + "".join(escaped) + '"'
