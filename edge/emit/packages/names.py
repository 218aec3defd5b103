"""One name, spelled as each ecosystem wants it."""

from __future__ import annotations

import dataclasses
import re
import unicodedata

from edge.errors import EdgeError

MAX_CHARACTERS = 63
"""Arduino library specification, `name`."""

C_HEADERS = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbit stdbool stdckdint stddef stdfix stdint stdio stdlib stdnoreturn string
tgmath threads time uchar wchar wctype
"""

SYSTEM_HEADERS = """
aio alloca ar argz arm_acle arm_bf16 arm_cde arm_cmse arm_fp16 arm_math arm_mve arm_mve_types
arm_neon byteswap cpio devctl dirent dlfcn elf endian envlock envz err error fastmath fcntl
features fmtmsg fnmatch ftw gcov getopt glob grp iconv ieeefp intrinsics langinfo libgen link
malloc memory mmintrin monetary mqueue ndbm netdb newlib nl_types nss paths poll pthread pwd
reent regdef regex sched search semaphore spawn stdio_ext strings stropts syslimits syslog tar
termios trace ulimit unctrl unistd unwind utime utmp utmpx values varargs wait wordexp
"""
"""POSIX's, and those of the C libraries and compilers of microcontrollers."""

ARDUINO_HEADERS = """
arduino binary client eeprom ethernet hardwareserial ipaddress keyboard liquidcrystal mouse
print printable sd server servo softwareserial spi stepper stream udp usbapi wcharacter wifi
wire wstring
"""
"""Arduino's core and its best known libraries; their capitals do not count everywhere."""

WINDOWS_DEVICES = (
    "aux",
    "con",
    "nul",
    "prn",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
)
"""No file can bear these names on Windows."""

ALL_HEADERS = f"{C_HEADERS} {SYSTEM_HEADERS} {ARDUINO_HEADERS}"
HEADERS = frozenset([*ALL_HEADERS.split(), *WINDOWS_DEVICES])
"""Headers of others, which an `#include` would no longer find."""

FILE_NAMES = """
add add_dsp add_mve board boot2 chip clock conv conv_dsp conv_dsp_tiles conv_int4 conv_int4_dsp
conv_int4_mve conv_mve conv_mve_rows conv_sparse conv_sparse_dsp conv_sparse_mve conv_tiles
cortex_m7 dense_output depthwise depthwise_3x3 depthwise_3x3_mve depthwise_any depthwise_any_dsp
depthwise_dsp depthwise_mve dsp elementwise engine fault fully_connected fully_connected_dsp
fully_connected_mve image_part imxrt1062_boot inference main measure mve pool profile protocol rp2
semihosting serial_model softmax start stm32 stm32_over_drive table text
"""
FILES = frozenset(FILE_NAMES.split())
"""The files of the kernels and of the firmware, with and without an ending of a model's file."""

ENDING_NAMES = """
arduino camera camera_model data dsp inference mve op_resolver portable self_test settings
weights
"""
ENDINGS = tuple(ENDING_NAMES.split())
"""What follows a model's name in a file's or a macro's: `door_camera.h` is that of `door`."""


@dataclasses.dataclass(frozen=True)
class PackageName:
    """The name of a package.

    Attributes:
        words: The words of ASCII letters and digits; the first begins with a letter.
    """

    words: tuple[str, ...]

    @property
    def camel(self) -> str:
        """The name for Arduino and PlatformIO, such as `PersonDetector`; `1.2` is not `12`."""
        return "".join("_" * word[0].isdigit() + word[0].upper() + word[1:] for word in self.words)

    @property
    def arduino_header(self) -> str:
        """The header that a sketch includes; the model's own is `snake`, and case may not tell."""
        ending = "_Arduino" if self.camel.lower() == self.snake else ""
        return f"{self.camel}{ending}.h"

    @property
    def snake(self) -> str:
        """The name for ESP-IDF, Zephyr, CMake and all names in C, such as `person_detector`."""
        return "_".join(self.words).lower()


def package_name(text: str) -> PackageName:
    """Makes a name that every ecosystem takes, and whose files and macros are no other name's.

    Accents are dropped, and what is no letter or digit separates words. `model` or `my` goes before
    a name that begins with a digit, that Arduino keeps for itself, or that a header of others or a
    kernel has; `net` goes behind a name that ends as the files of another model do.

    Args:
        text: The name that somebody gave the model.

    Returns:
        The `PackageName`.

    Raises:
        EdgeError: If nothing of it is left, or it is too long.

    Example:
        >>> package_name("2 Füße (v1.3)").camel, package_name("person-detector").snake
        ('Model_2FueV1_3', 'person_detector')
        >>> package_name("string").camel, package_name("door_camera").snake
        ('MyString', 'door_camera_net')
    """
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    words = tuple(re.findall(r"[A-Za-z0-9]+", ascii_text))
    if not re.search("[A-Za-z]", ascii_text):
        raise EdgeError(
            f"Cannot name a package {text!r}: it has no letter from A to Z. "
            "Choose one with --name, such as person_detector."
        )
    # Arduino's header and library have no underscores.
    snake = "_".join(words).lower()
    if {snake, "".join(words).lower()} & (HEADERS | FILES) or snake.startswith("chip_"):
        words = ("my", *words)
    elif words[0][0].isdigit() or words[0].lower().startswith("arduino"):
        words = ("model", *words)
    if "_".join(words).lower().endswith(tuple(f"_{ending}" for ending in ENDINGS)):
        words = (*words, "net")
    name = PackageName(words)
    if len(name.snake) > MAX_CHARACTERS:
        raise EdgeError(
            f"Cannot name a package {text!r}: {name.snake} is longer than {MAX_CHARACTERS} "
            "characters. Choose a shorter one with --name."
        )
    return name
