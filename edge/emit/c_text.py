"""C as text: templates and literals."""

from __future__ import annotations

import jinja2
import numpy as np


def template(package: str, name: str) -> jinja2.Template:
    """A template of a package's folder `templates`.

    Args:
        package: The package, such as `"edge.emit.tflm"`.
        name: The name of the file that the template makes.

    Returns:
        The template; a name that it uses and does not get is an error.

    Example:
        >>> template("edge.emit.tflm", "model_data.h").name
        'model_data.h.j2'
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    return environment.get_template(f"{name}.j2")


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
