"""Programs of several models: each pushes the rows of all models in turn, and writes the scores."""

import dataclasses
import functools
import pathlib
import subprocess
import tempfile

import numpy as np

from edge.emit.packages.names import PackageName
from edge.firmware.host import SANITIZERS
from edge.tflite.graph import Graph
from edge.tflite.reference import run_reference

WARNINGS = ["-Wall", "-Wextra", "-Werror"]
CHECKED = ("-O1", *SANITIZERS)
IMAGES = 2


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout


@dataclasses.dataclass(frozen=True, eq=False)
class Packaged:
    folder: pathlib.Path
    name: PackageName
    graph: Graph

    @property
    def sources(self):
        return sorted((self.folder / "src").glob("*.c*"))

    @property
    def includes(self):
        return self.folder / ("include" if (self.folder / "include").is_dir() else "src")


def program(packages, head="int main(void) {", tail="return 0;", angle=False, is_mixed=False):
    """C that C++ takes too: all headers in one file, and the rows of all models in turn.

    A mixed program asks `intact_program`, which is compiled in the other language, as well.
    """
    lines = ["#include <stdio.h>"]
    for package in packages:
        header = package.name.arduino_header if angle else f"{package.name.snake}_self_test.h"
        lines.append(f"#include <{header}>" if angle else f'#include "{header}"')
        if not angle:
            lines.append(f'#include "{package.name.snake}.h"')
    for name, upper in both_cases(packages):
        lines += [
            f"static {name}_state_t {name}_state;",
            f"static int8_t {name}_frame[{upper}_INPUT_BYTES];",
        ]
    if is_mixed:
        lines += ["#ifdef __cplusplus", 'extern "C"', "#endif", "int are_all_intact(void);"]
    more = " && (are_all_intact() == 1)" if is_mixed else ""
    loop = f"for (int image = 0; (image < {IMAGES}){more}; ++image) {{"
    lines += [head, loop, "uint32_t rows = 0U;"]
    for name, upper in both_cases(packages):
        lines += [
            f"const int8_t *{name}_scores = NULL;",
            f"if (fread({name}_frame, 1, sizeof({name}_frame), stdin) == 0U) {{ break; }}",
            f"rows = ({upper}_INPUT_HEIGHT > rows) ? {upper}_INPUT_HEIGHT : rows;",
            f"{name}_start(&{name}_state);",
        ]
    lines.append("for (uint32_t row = 0U; row < rows; ++row) {")
    for name, upper in both_cases(packages):
        lines.append(
            f"if (row < {upper}_INPUT_HEIGHT) {{ {name}_scores = "
            f"{name}_push_row(&{name}_state, &{name}_frame[row * {upper}_ROW_BYTES]); }}"
        )
    lines.append("}")
    for name, upper in both_cases(packages):
        lines += [
            f"(void)fwrite({name}_scores, 1, {upper}_OUTPUT_BYTES, stdout);",
            f"(void)fputc({name}_self_test(&{name}_state, {name}_frame), stdout);",
        ]
    return "\n".join([*lines, "}", tail, "}", ""])


def intact_program(packages):
    """A second source, in C or C++, that calls all models too."""
    lines = [f'#include "{package.name.snake}.h"' for package in packages]
    lines += ["#ifdef __cplusplus", 'extern "C"', "#endif", "int are_all_intact(void);"]
    each = " && ".join(f"{package.name.snake}_is_intact()" for package in packages)
    return "\n".join([*lines, f"int are_all_intact(void) {{ return ({each}) ? 1 : 0; }}", ""])


def write_mixed(packages, folder, language, **options):
    """Writes the program in one language and its second source in the other; their names."""
    first, second = ("main.c", "second.cpp") if language == "c" else ("main.cpp", "second.c")
    (folder / first).write_text(program(packages, is_mixed=True, **options))
    (folder / second).write_text(intact_program(packages))
    return first, second


def both_cases(packages):
    return [(package.name.snake, package.name.snake.upper()) for package in packages]


def inputs_and_outputs(packages):
    """What goes into a program, and what comes out: scores, and that the self-test passed."""
    rng = np.random.default_rng(3)
    given, expected = [], []
    for _ in range(IMAGES):
        frames = [rng.integers(-128, 128, (1, *p.graph.input.shape[1:])) for p in packages]
        given += [frame.astype(np.int8).tobytes() for frame in frames]
        for package, frame in zip(packages, frames, strict=True):
            expected += [run_reference(package.graph, frame.astype(np.int8)).tobytes(), b"\1"]
    return b"".join(given), b"".join(expected)


def check(app, packages):
    given, expected = inputs_and_outputs(packages)
    assert run(app, input=given) == expected


@functools.cache
def objects_of(package, flags=CHECKED, includes=()):
    """Beside the package's folder; compiled once for all tests."""
    target = pathlib.Path(tempfile.mkdtemp(prefix="objects", dir=package.folder.parent))
    made = []
    for source in package.sources:
        compiler = ["gcc", "-std=c11"] if source.suffix == ".c" else ["g++", "-std=c++17"]
        made.append(target / f"{source.stem}.o")
        paths = [f"-I{path}" for path in includes or [package.includes]]
        run(*compiler, *flags, *WARNINGS, *paths, "-c", source, "-o", made[-1])
    return made


def library_of(package, folder, **options):
    library = folder / f"lib{package.name.snake}.a"
    run("ar", "rcs", library, *objects_of(package, **options))
    return library


def linked(packages, folder, language, *what):
    """The program in C or C++ with a part in the other language, strictly compiled."""
    made = []
    for name in write_mixed(packages, folder, language):
        is_c = name.endswith(".c")
        command = ["gcc", "-std=c11"] if is_c else ["g++", "-std=c++17", "-Wpedantic"]
        paths = [f"-I{package.includes}" for package in packages]
        made.append(folder / f"{name}.o")
        run(*command, *CHECKED, *WARNINGS, *paths, "-c", folder / name, "-o", made[-1])
    run("g++", *CHECKED, *made, *what, "-o", folder / "app")
    return folder / "app"
