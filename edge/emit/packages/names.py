"""One name, spelled as each ecosystem wants it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from edge.errors import EdgeError

MAX_CHARACTERS = 63
"""Arduino library specification, `name`."""

HEADERS = frozenset(
    {"arduino", "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646"}
    | {"limits", "locale", "math", "setjmp", "signal", "stdalign", "stdarg", "stdatomic"}
    | {"stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "strings"}
    | {"tgmath", "threads", "time", "uchar", "unistd", "wchar", "wctype"}
)
"""C's own headers: `string.h` would be the model's."""

FILES = frozenset(
    {"add_mve", "conv", "conv_dsp", "conv_dsp_tiles", "conv_mve", "conv_sparse_dsp"}
    | {"depthwise_dsp", "depthwise_mve", "dsp", "elementwise", "engine", "fully_connected_dsp"}
    | {"fully_connected_mve", "pool", "softmax"}
    | {"main", "profile", "semihosting", "start"}
)
"""The files of the kernels and of the firmware, which bear no model's name."""


@dataclasses.dataclass(frozen=True)
class PackageName:
    """The name of a package.

    Attributes:
        words: The words of ASCII letters and digits; the first begins with a letter.
    """

    words: tuple[str, ...]

    @property
    def camel(self) -> str:
        """The name for Arduino and PlatformIO, such as `PersonDetector`."""
        return "".join(word[0].upper() + word[1:] for word in self.words)

    @property
    def arduino_header(self) -> str:
        """The header that a sketch includes; the model's own is `snake`, and case may not tell."""
        return f"{self.camel}Model.h" if self.camel.lower() == self.snake else f"{self.camel}.h"

    @property
    def snake(self) -> str:
        """The name for ESP-IDF, Zephyr, CMake and all names in C, such as `person_detector`."""
        return "_".join(self.words).lower()


def package_name(text: str) -> PackageName:
    """Makes a name that every ecosystem takes.

    Accents are dropped, what is no letter or digit separates words, and `model` or `my` goes before
    a name that begins with a digit, that Arduino keeps for itself, or that a C header or a kernel
    has.

    Args:
        text: The name that somebody gave the model.

    Returns:
        The `PackageName`.

    Raises:
        EdgeError: If nothing of it is left, or it is too long.

    Example:
        >>> package_name("2 Füße (v1.3)").camel, package_name("person-detector").snake
        ('Model2FueV13', 'person_detector')
        >>> package_name("string").camel
        'MyString'
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    words = tuple(re.findall(r"[A-Za-z0-9]+", ascii_text))
    if not re.search("[A-Za-z]", ascii_text):
        raise EdgeError(
            f"Cannot name a package {text!r}: it has no letter from A to Z. "
            "Choose one with --name, such as person_detector."
        )
    if "_".join(words).lower() in HEADERS | FILES:
        words = ("my", *words)
    elif words[0][0].isdigit() or words[0].lower().startswith("arduino"):
        words = ("model", *words)
    name = PackageName(words)
    if len(name.snake) > MAX_CHARACTERS:
        raise EdgeError(
            f"Cannot name a package {text!r}: {name.snake} is longer than {MAX_CHARACTERS} "
            "characters. Choose a shorter one with --name."
        )
    return name
