"""Two and three models in one program: each answers with its own bytes, whatever links them.

All programs read an image for each model from standard input, push the rows of all models in turn,
and write the scores. gcc's sanitizers look on; the expected bytes are the NumPy oracle's.
"""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import tempfile

import networks
import numpy as np
import pytest

import edge
from edge.emit.engine.render import kernel_version, render_engine
from edge.emit.packages.contents import engine_contents
from edge.emit.packages.names import PackageName, package_name
from edge.emit.packages.render import instruction_sets, render_package
from edge.engine.compile import compile_engine, compile_engines
from edge.firmware.host import SANITIZERS
from edge.system.files import write_files
from edge.tflite.graph import Graph
from edge.tflite.reference import run_reference

ECOSYSTEMS = pathlib.Path(__file__).parent / "ecosystems"
TFLM = ECOSYSTEMS / "tflm"
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
CHECKED = ("-O1", *SANITIZERS)
# One word and several, and names that begin with another's name or with `model`.
SEEDS = {"person": 7, "person detector": 8, "model 2": 12}
COUNTS = (2, 3)
IN_ECOSYSTEMS = (pytest.param(2, marks=pytest.mark.slow), 3)
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


@pytest.fixture(scope="session")
def engines():
    sets = instruction_sets("cmake")
    return {
        text: compile_engines(networks.random_graph(seed), sets) for text, seed in SEEDS.items()
    }


@pytest.fixture(scope="session")
def packaged(engines, tmp_path_factory):
    """The first models of `SEEDS` as packages of a shape, each written the first time."""

    @functools.cache
    def one(shape, text):
        own = {each: engines[text][each] for each in instruction_sets(shape)}
        name = package_name(text)
        texts = render_package(shape, name, engine_contents(own, name.snake))
        folder = tmp_path_factory.mktemp("models") / name.snake
        write_files(folder, {path: text.encode() for path, text in texts.items()})
        return Packaged(folder, name, own["portable"].network.graph)

    return lambda shape, count: [one(shape, text) for text in list(SEEDS)[:count]]


def program(packages, head="int main(void) {", tail="return 0;", angle=False):
    """C that C++ takes too: all headers in one file, and the rows of all models in turn."""
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
    lines += [head, f"for (int image = 0; image < {IMAGES}; ++image) {{", "uint32_t rows = 0U;"]
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
    """The program in C or C++, strictly compiled."""
    source = folder / ("main.c" if language == "c" else "main.cpp")
    source.write_text(program(packages))
    command = ["gcc", "-std=c11"] if language == "c" else ["g++", "-std=c++17", "-Wpedantic"]
    paths = [f"-I{package.includes}" for package in packages]
    run(*command, *CHECKED, *WARNINGS, *paths, source, *what, "-o", folder / "app")
    return folder / "app"


# By hand


@pytest.mark.parametrize("language", ["c", "cpp"])
@pytest.mark.parametrize("count", COUNTS)
def test_as_objects(host_compiler, packaged, tmp_path, count, language):
    packages = packaged("cmake", count)
    objects = [each for package in packages for each in objects_of(package)]
    app = linked(packages, tmp_path, language, *objects)
    check(app, packages)
    symbols = run("nm", app).decode()
    found = re.findall(r" W (engine_\w+)", symbols)
    assert len(found) == len(set(found)) >= 3
    assert all(symbol.endswith(f"_{kernel_version()}") for symbol in found)


@pytest.mark.parametrize("language", ["c", "cpp"])
@pytest.mark.parametrize("count", COUNTS)
def test_as_static_libraries(host_compiler, packaged, tmp_path, count, language):
    """In both orders, and whole, as Zephyr links."""
    packages = packaged("cmake", count)
    libraries = [library_of(package, tmp_path) for package in packages]
    whole = ["-Wl,--whole-archive", *libraries, "-Wl,--no-whole-archive"]
    for what in (libraries, libraries[::-1], whole):
        check(linked(packages, tmp_path, language, *what), packages)


def test_no_external_name_lacks_the_models(host_compiler, packaged, tmp_path):
    """But for the kernels', which carry their version and may be there twice."""
    for package in packaged("cmake", 2):
        listing = run("nm", "-g", "--defined-only", *objects_of(package, flags=("-O1",)))
        strong = re.findall(r"^\S+ ([A-VX-Z]) (\S+)$", listing.decode(), re.M)
        assert strong
        assert all(name.startswith(f"{package.name.snake}_") for _, name in strong)
        weak = re.findall(r" W (\S+)$", listing.decode(), re.M)
        assert all(name.endswith(f"_{kernel_version()}") for name in weak)


@pytest.mark.parametrize("shape", ["cmake", "arduino"])
def test_no_macro_of_a_public_header_lacks_the_models(packaged, shape):
    for package in packaged(shape, 3):
        own = f"{package.name.snake.upper()}_"
        for header in package.includes.glob(f"{package.name.snake}*.h"):
            for macro in re.findall(r"^#define (\w+)", header.read_text(), re.M):
                assert macro.startswith((own, own.lower())), (header.name, macro)


def test_the_sources_of_all_models_go_into_one_folder(host_compiler, tmp_path):
    """As `edge.build` writes them: kernels replace kernels, and are the same."""
    names = ["person", "keyword"]
    graphs = [networks.random_graph(seed) for seed in (7, 8)]
    for name, graph in zip(names, graphs, strict=True):
        for file, text in render_engine(compile_engine(graph), name).items():
            path = tmp_path / file
            assert not path.exists() or path.read_text() == text
            path.write_text(text)
    run("gcc", *CHECKED, *WARNINGS, "-c", *sorted(tmp_path.glob("*.c")), cwd=tmp_path)
    (tmp_path / "main.c").write_text(
        '#include "keyword.h"\n#include "person.h"\n'
        "int main(void) { return (person_is_intact() && keyword_is_intact()) ? 0 : 1; }\n"
    )
    run("gcc", *CHECKED, *WARNINGS, "main.c", *tmp_path.glob("*.o"), "-o", "app", cwd=tmp_path)
    run(tmp_path / "app")


# Versions


def of_another_version(package, folder):
    """The same package with kernels that compute something else, and so another version."""
    other = "0badc0de"
    assert other != kernel_version()
    for path in sorted(package.folder.rglob("*.[ch]")):
        text = path.read_text().replace(kernel_version(), other)
        text = text.replace("? high : raised;", "? high : (raised ^ 1);")
        target = folder / path.relative_to(package.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return dataclasses.replace(package, folder=folder)


@pytest.mark.parametrize("first", [0, 1])
def test_kernels_of_another_version_are_the_other_models_own(
    host_compiler, packaged, tmp_path, first
):
    """Whichever library comes first: neither model runs on kernels of the other's version."""
    packages = packaged("cmake", 2)
    mixed = [packages[0], of_another_version(packages[1], tmp_path / "other")]
    libraries = [library_of(package, tmp_path) for package in mixed]
    app = linked(mixed, tmp_path, "c", *(libraries if first == 0 else libraries[::-1]))
    given, expected = inputs_and_outputs(packages)
    found = run(app, input=given)
    sizes = [package.graph.output.element_count + 1 for package in packages]
    assert found[: sizes[0]] == expected[: sizes[0]]
    assert found[sizes[0] : sum(sizes)] != expected[sizes[0] : sum(sizes)]


def test_a_header_of_another_version_does_not_compile(host_compiler, packaged, tmp_path):
    (package,) = packaged("esp-idf", 1)
    other = of_another_version(package, tmp_path)
    source = tmp_path / "mixed.c"
    source.write_text((package.folder / "src" / f"{package.name.snake}.c").read_text())
    command = ["gcc", "-fsyntax-only", "-I", other.folder / "src", "-I", package.includes, source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "write all models with one version of keras-mobilenet" in done.stderr


# Ecosystems

SANITIZED = {"CFLAGS": " ".join(CHECKED), "CXXFLAGS": " ".join(CHECKED)}


@pytest.mark.parametrize("way", ["add_subdirectory", "find_package"])
@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_cmake_project(host_compiler, arm_compiler, packaged, tmp_path, count, way):
    packages = packaged("cmake", count)
    environment = os.environ | SANITIZED
    lines, prefix = [], tmp_path / "prefix"
    for package in packages:
        snake = package.name.snake
        if way == "find_package":
            build = tmp_path / f"build {snake}"
            run("cmake", "-S", package.folder, "-B", build, "--install-prefix", prefix,
                env=environment)  # fmt: skip
            run("cmake", "--build", build, "--target", "install")
            lines.append(f"find_package({snake} REQUIRED CONFIG)")
        else:
            lines.append(f"add_subdirectory([[{package.folder}]] {snake})")
    libraries = " ".join(f"keras_mobilenet::{package.name.snake}" for package in packages)
    (tmp_path / "main.c").write_text(program(packages))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app C)\n"
        + "\n".join([*lines, "add_executable(app main.c)"])
        + f"\ntarget_link_libraries(app PRIVATE {libraries})\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}",
        env=environment)  # fmt: skip
    run("cmake", "--build", tmp_path / "build")
    check(tmp_path / "build" / "app", packages)


@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_arduino_sketch(host_compiler, packaged, tmp_path, count):
    """Arduino compiles all files of all libraries, with the folders of all of them to include."""
    packages = packaged("arduino", count)
    includes = tuple(package.includes for package in packages)
    objects = [o for package in packages for o in objects_of(package, includes=includes)]
    head = "void setup() {}\nvoid loop() {"
    text = program(packages, head=head, tail='Serial.print("");', angle=True)
    (tmp_path / "sketch.cpp").write_text(f"#include <Arduino.h>\n{text}")
    run("g++", *CHECKED, *WARNINGS, "-I", ECOSYSTEMS / "arduino", *(f"-I{i}" for i in includes),
        ECOSYSTEMS / "arduino" / "main.cpp", tmp_path / "sketch.cpp", *objects,
        "-o", tmp_path / "app")  # fmt: skip
    check(tmp_path / "app", packages)


@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_platformio_project(host_compiler, packaged, tmp_path, count):
    """PlatformIO makes each library an archive; both folders of all of them are included."""
    packages = packaged("platformio", count)
    folders = ("include", "src")
    includes = tuple(p.folder / folder for p in packages for folder in folders)
    libraries = [library_of(package, tmp_path, includes=includes) for package in packages]
    check(linked(packages, tmp_path, "cpp", *libraries), packages)


@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_esp_idf_project(host_compiler, arm_compiler, packaged, tmp_path, count):
    packages = packaged("esp-idf", count)
    main = tmp_path / "main"
    main.mkdir()
    (main / "main.c").write_text(program(packages, head="void app_main(void) {", tail=""))
    (main / "CMakeLists.txt").write_text('idf_component_register(SRCS "main.c" INCLUDE_DIRS ".")\n')
    (main / "idf_component.yml").write_text(
        "dependencies:\n"
        + "".join(
            f'  {package.name.snake}:\n    version: "*"\n    path: {package.folder}\n'
            for package in packages
        )
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\n"
        "include($ENV{IDF_PATH}/tools/cmake/project.cmake)\nproject(models)\n"
    )
    environment = os.environ | SANITIZED | {"IDF_PATH": str(ECOSYSTEMS / "idf")}
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", env=environment)
    run("cmake", "--build", tmp_path / "build", env=environment)
    check(tmp_path / "build" / "app", packages)


@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_zephyr_program(host_compiler, arm_compiler, packaged, tmp_path, count):
    import kconfiglib

    packages = packaged("zephyr", count)
    symbols = [package.name.snake.upper() for package in packages]
    (tmp_path / "Kconfig").write_text(
        "".join(f'source "{package.folder / "Kconfig"}"\n' for package in packages)
    )
    kconfig = kconfiglib.Kconfig(str(tmp_path / "Kconfig"), warn_to_stderr=False)
    assert kconfig.warnings == []
    assert set(symbols) <= set(kconfig.syms)
    modules = " ".join(f"[[{package.folder}]]" for package in packages)
    (tmp_path / "main.c").write_text(program(packages))
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\n"
        f"list(APPEND EXTRA_ZEPHYR_MODULES {modules})\n"
        "find_package(Zephyr REQUIRED)\nproject(models)\ntarget_sources(app PRIVATE main.c)\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DKCONFIG_ON={';'.join(symbols)}",
        f"-DZephyr_DIR={ECOSYSTEMS / 'zephyr'}", env=os.environ | SANITIZED)  # fmt: skip
    run("cmake", "--build", tmp_path / "build")
    check(tmp_path / "build" / "app", packages)


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m55"])
def test_on_cores_with_kernels_of_their_own(arm_compiler, packaged, tmp_path, core):
    packages = packaged("cmake", 3)
    flags = [f"-mcpu={core}", "-mthumb", "-O2", *WARNINGS]
    objects = []
    for package in packages:
        for source in package.sources:
            objects.append(tmp_path / f"{package.name.snake} {source.stem}.o")
            run("arm-none-eabi-gcc", *flags, "-I", package.includes, "-c", source,
                "-o", objects[-1])  # fmt: skip
    (tmp_path / "main.c").write_text(program(packages))
    run("arm-none-eabi-gcc", *flags, "--specs=nosys.specs",
        *(f"-I{package.includes}" for package in packages), tmp_path / "main.c", *objects,
        "-Wl,--no-warnings", "-o", tmp_path / "app")  # fmt: skip
    kernels = re.findall(r" [WT] (engine_\w+)", run("arm-none-eabi-nm", tmp_path / "app").decode())
    assert len(kernels) == len(set(kernels)) >= 3


# TFLite Micro: a stand-in, whose output bytes are the sum of the input's, plus their place


@pytest.fixture(scope="session")
def tflm_packaged(tmp_path_factory):
    """The small network twice, under two names and with labels of its own each."""

    @functools.cache
    def get(shape):
        made = []
        for text, labels in (("person", ["no", "yes"]), ("key word", ["up", "model_down"])):
            folder = tmp_path_factory.mktemp("tflm models") / text
            content = networks.small_tflite()
            board = "nucleo-f446re"
            written = edge.export(
                content, board, folder, shape=shape, name=text, labels=labels
            )  # fmt: skip
            made.append(Packaged(written.folder, written.name, written.graph))
        return made

    return get


TFLM_PROGRAM = """
#include <cstdio>
#include <cstring>
HEADERS
static_assert(person_tflm::kInputLength == key_word_tflm::kInputLength, "the same network");
int main() {
  if ((person_init() != PERSON_OK) || (key_word_init() != KEY_WORD_OK)) return 1;
  std::memset(person_input(), 1, person_tflm::kInputLength);
  std::memset(key_word_input(), 2, key_word_tflm::kInputLength);
  if ((person_invoke() != PERSON_OK) || (key_word_invoke() != KEY_WORD_OK)) return 2;
  if (person_input() == key_word_input()) return 3;
  if (&person_tflm::g_model_data[0] == &key_word_tflm::g_model_data[0]) return 4;
  std::printf("%s %d\\n", person_tflm::kLabels[1], person_output()[0]);
  std::printf("%s %d\\n", key_word_tflm::kLabels[1], key_word_output()[0]);
  return 0;
}
"""


@pytest.mark.parametrize("is_library", [False, True], ids=["objects", "libraries"])
@pytest.mark.parametrize("shape", ["arduino", "esp-idf", "zephyr", "platformio", "cmake"])
def test_two_of_tflite_micro(host_compiler, tflm_packaged, tmp_path, shape, is_library):
    packages = tflm_packaged(shape)
    if shape == "cmake":
        sources = [sorted(p.folder.glob("*.cc")) for p in packages]
        includes = [p.folder for p in packages]
    else:
        sources = [p.sources for p in packages]
        includes = [p.includes for p in packages]
    paths = [f"-I{path}" for path in (*includes, TFLM)]
    flags = ["-std=c++17", "-fno-rtti", "-fno-exceptions", *CHECKED, *WARNINGS]
    what = []
    for package, own in zip(packages, sources, strict=True):
        objects = [tmp_path / f"{source.stem}.o" for source in own]
        for source, target in zip(own, objects, strict=True):
            run("g++", *flags, *paths, "-c", source, "-o", target)
        library = tmp_path / f"lib{package.name.snake}.a"
        run("ar", "rcs", library, *objects)
        what += [library] if is_library else objects
    headers = [f"{p.name.snake}{end}.h" for p in packages for end in ("", "_settings", "_data")]
    text = "\n".join(f'#include "{header}"' for header in headers)
    (tmp_path / "main.cc").write_text(TFLM_PROGRAM.replace("HEADERS", text))
    run("g++", *flags, *paths, tmp_path / "main.cc", *what, "-o", tmp_path / "app")
    length = packages[0].graph.input.element_count
    scores = [(n * length + 128) % 256 - 128 for n in (1, 2)]
    assert run(tmp_path / "app").decode() == f"yes {scores[0]}\nmodel_down {scores[1]}\n"
    (tmp_path / "all.c").write_text(
        '#include "person.h"\n#include "key_word.h"\n'
        "int main(void) { return (int)person_init() + (int)key_word_init(); }\n"
    )
    run("gcc", "-std=c11", *WARNINGS, *paths, "-fsyntax-only", tmp_path / "all.c")


def test_two_of_tflite_micro_in_one_cmake_project(arm_compiler, tflm_packaged, tmp_path):
    """For a Cortex-M4, up to the libraries: there is no TFLite Micro to link with here."""
    (tmp_path / "tflm").symlink_to(TFLM)
    library = tmp_path / "with library"
    library.mkdir()
    (library / "tensorflow").symlink_to(TFLM / "tensorflow")
    run("arm-none-eabi-ar", "rcs", library / "libtflm.a")
    lines = [f"add_subdirectory([[{p.folder}]] {p.name.snake})" for p in tflm_packaged("cmake")]
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nset(CMAKE_SYSTEM_NAME Generic)\n"
        "set(CMAKE_C_COMPILER arm-none-eabi-gcc)\nset(CMAKE_CXX_COMPILER arm-none-eabi-g++)\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\nproject(app C CXX)\n"
        + "\n".join(lines)
        + "\nadd_library(app STATIC main.cc)\n"
        "target_link_libraries(app PRIVATE person_inference key_word_inference)\n"
    )
    headers = '#include "person_settings.h"\n#include "key_word_settings.h"\n'
    (tmp_path / "main.cc").write_text(f'{headers}#include "person.h"\n#include "key_word.h"\n')
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DTFLM_DIR={library}")
    run("cmake", "--build", tmp_path / "build")
    assert {path.name for path in (tmp_path / "build").rglob("*_inference.a")} == {
        "libperson_inference.a",
        "libkey_word_inference.a",
    }
