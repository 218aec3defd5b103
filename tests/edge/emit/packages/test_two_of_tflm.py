"""Two and three models on TFLite Micro in one program, and beside models on the engine.

TFLite Micro is a stand-in, whose output bytes are the sum of the input's bytes and of the model's
first ones, plus their place: `test_firmware.py` runs the real one.
"""

import functools
import pathlib
import tempfile

import networks
import numpy as np
import pytest
from programs import CHECKED, WARNINGS, Packaged, run

import edge
from edge.tflite.reference import run_reference

TFLM = pathlib.Path(__file__).parent / "ecosystems" / "tflm"
SHAPES = ("arduino", "esp-idf", "zephyr", "platformio", "cmake")
BOARD = "nucleo-f446re"
# Each with labels of its own, one of them like a name in C.
LABELS = {"person": ["no", "yes"], "key word": ["up", "model_down"], "model 3": ["3", "4"]}
CPP = ("g++", "-std=c++17", "-fno-rtti", "-fno-exceptions", *CHECKED, *WARNINGS)
C = ("gcc", "-std=c11", *CHECKED, *WARNINGS)


@pytest.fixture(scope="session")
def contents():
    """Three models, of which no two have the same bytes."""
    return dict(zip(LABELS, map(networks.small_tflite, (0, 1, 2)), strict=True))


@pytest.fixture(scope="session")
def tflm_packaged(contents, tmp_path_factory):
    @functools.cache
    def one(shape, text):
        folder = tmp_path_factory.mktemp("tflm models") / text
        written = edge.export(
            contents[text], BOARD, folder, shape=shape, name=text, labels=LABELS[text]
        )
        return Packaged(written.folder, written.name, written.graph)

    return lambda shape, count: [one(shape, text) for text in list(LABELS)[:count]]


def sources_of(package, shape):
    return sorted(package.folder.glob("*.cc")) if shape == "cmake" else package.sources


def includes_of(package, shape):
    return package.folder if shape == "cmake" else package.includes


@functools.cache
def objects_of(package, shape, paths):
    """Beside the package's folder; compiled once for all tests."""
    target = pathlib.Path(tempfile.mkdtemp(prefix="objects", dir=package.folder.parent))
    objects = [target / f"{source.stem}.o" for source in sources_of(package, shape)]
    for source, made in zip(sources_of(package, shape), objects, strict=True):
        run(*CPP, *paths, "-c", source, "-o", made)
    return objects


def compiled(packages, shape, folder, is_library):
    """What the models are linked from, and the options that find all their headers."""
    paths = tuple(f"-I{path}" for path in (*(includes_of(p, shape) for p in packages), TFLM))
    what = []
    for package in packages:
        objects = objects_of(package, shape, paths)
        library = folder / f"lib{package.name.snake}.a"
        run("ar", "rcs", library, *objects)
        what += [library] if is_library else objects
    return what, paths


def calls(packages):
    """C that C++ takes too: runs each model on an input of its own, and prints two bytes."""
    lines = ["#include <stdio.h>", "#include <string.h>"]
    lines += [f'#include "{package.name.snake}.h"' for package in packages]
    lines += ["#ifdef __cplusplus", 'extern "C"', "#endif", "int run_all(void);"]
    lines.append("int run_all(void) {")
    # All begin before one runs, and all run before one is read.
    names = [(n + 1, p.name.snake, p.graph.input.element_count) for n, p in enumerate(packages)]
    lines += [f"if ({own}_init() != {own.upper()}_OK) {{ return 1; }}" for _, own, _ in names]
    lines += [f"memset({own}_input(), {n}, {length}U);" for n, own, length in names]
    lines += [f"if ({own}_invoke() != {own.upper()}_OK) {{ return 2; }}" for _, own, _ in names]
    lines += [
        f'printf("%d %d\\n", (int){own}_output()[0], (int){own}_output()[1]);'
        for _, own, _ in names
    ]
    return "\n".join([*lines, "return 0;", "}", ""])


def expected_calls(packages):
    """What `calls` prints with the stand-in."""
    lines = []
    for n, package in enumerate(packages, 1):
        first = n * package.graph.input.element_count + sum(package.graph.content[:512])
        lines.append(" ".join(str((first + place + 128) % 256 - 128) for place in (0, 1)))
    return "".join(f"{line}\n" for line in lines)


def main_program(packages):
    """In C++: the constants and arrays of all models, and then the calls."""
    headers = [f"{p.name.snake}{end}.h" for p in packages for end in ("_settings", "_data")]
    lines = ["#include <cstdio>", *(f'#include "{header}"' for header in headers)]
    lines += ['extern "C" int run_all(void);', "int main() {"]
    arrays = [f"&{package.name.snake}_tflm::g_model_data[0]" for package in packages]
    for package, array in zip(packages, arrays, strict=True):
        scope = f"{package.name.snake}_tflm"
        others = "".join(f" || ({array} == {other})" for other in arrays if other != array)
        lines += [
            f"static_assert({scope}::kModelDataLength == {package.graph.model_bytes}U, "
            '"its own length");',
            f"if ((({array})[4] != 'T'){others}) return 3;",
            f'std::printf("%s\\n", {scope}::kLabels[1]);',
        ]
    return "\n".join([*lines, "return run_all();", "}", ""])


@pytest.mark.parametrize("is_library", [False, True], ids=["objects", "libraries"])
@pytest.mark.parametrize("count", [pytest.param(2, marks=pytest.mark.exhaustive), 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_models_on_tflite_micro(host_compiler, tflm_packaged, tmp_path, shape, count, is_library):
    """Called from C and from C++, the libraries in both orders."""
    packages = tflm_packaged(shape, count)
    assert len({sum(package.graph.content[:512]) % 256 for package in packages}) == count
    what, paths = compiled(packages, shape, tmp_path, is_library)
    (tmp_path / "main.cc").write_text(main_program(packages))
    expected = "".join(f"{LABELS[text][1]}\n" for text in list(LABELS)[:count])
    for compiler, name in ((C, "calls.c"), (CPP, "calls.cc")):
        (tmp_path / name).write_text(calls(packages))
        run(*compiler, *paths, "-c", name, "-o", "calls.o", cwd=tmp_path)
        for ordered in (what, what[::-1]):
            run(*CPP, *paths, "main.cc", "calls.o", *ordered, "-o", "app", cwd=tmp_path)
            assert run(tmp_path / "app").decode() == expected + expected_calls(packages)


def test_models_on_tflite_micro_in_one_cmake_project(arm_compiler, tflm_packaged, tmp_path):
    """For a Cortex-M4, up to the libraries: there is no TFLite Micro to link with here."""
    packages = tflm_packaged("cmake", 3)
    library = tmp_path / "with library"
    library.mkdir()
    (library / "tensorflow").symlink_to(TFLM / "tensorflow")
    run("arm-none-eabi-ar", "rcs", library / "libtflm.a")
    targets = [f"{package.name.snake}_inference" for package in packages]
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nset(CMAKE_SYSTEM_NAME Generic)\n"
        "set(CMAKE_C_COMPILER arm-none-eabi-gcc)\nset(CMAKE_CXX_COMPILER arm-none-eabi-g++)\n"
        "set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)\nproject(app C CXX)\n"
        + "".join(f"add_subdirectory([[{p.folder}]] {p.name.snake})\n" for p in packages)
        + f"add_library(app STATIC main.cc calls.c)\n"
        f"target_link_libraries(app PRIVATE {' '.join(targets)})\n"
    )
    (tmp_path / "main.cc").write_text(main_program(packages))
    (tmp_path / "calls.c").write_text(calls(packages))
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", f"-DTFLM_DIR={library}")
    run("cmake", "--build", tmp_path / "build")
    made = {path.name for path in (tmp_path / "build").rglob("*_inference.a")}
    assert made == {f"lib{target}.a" for target in targets}


# Beside the engine

ON_ENGINE = 7
"""The seed of the network that the engine runs."""


@pytest.fixture(scope="session")
def on_engine(tmp_path_factory):
    @functools.cache
    def get(shape, text):
        graph = networks.random_graph(ON_ENGINE)
        folder = tmp_path_factory.mktemp("on engine") / "package"
        written = edge.export(graph, None, folder, runtime="engine", shape=shape, name=text)
        return Packaged(written.folder, written.name, written.graph)

    return get


def engine_objects(package, folder):
    objects = []
    for source in package.sources:
        objects.append(folder / f"engine {source.stem}.o")
        run(*C, "-I", package.includes, "-c", source, "-o", objects[-1])
    return objects


@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_on_tflite_micro_beside_two_on_the_engine(
    host_compiler, tflm_packaged, on_engine, tmp_path, shape
):
    """`door` and `person` may be mistaken for each other's parts: neither is."""
    (tflm,) = tflm_packaged(shape, 1)
    engines = [on_engine(shape, text) for text in ("door", "person self test")]
    what, paths = compiled([tflm], shape, tmp_path, is_library=True)
    what += [o for package in engines for o in engine_objects(package, tmp_path)]
    paths += tuple(f"-I{package.includes}" for package in engines)
    image = np.random.default_rng(1).integers(-128, 128, engines[0].graph.input.shape)
    (tmp_path / "image.bin").write_bytes(image.astype(np.int8).tobytes())
    lines = ["#include <stdio.h>", *(f'#include "{package.name.snake}.h"' for package in engines)]
    for package in engines:
        lines.append(f"static {package.name.snake}_state_t {package.name.snake};")
    first, second = (package.name.snake for package in engines)
    lines += [
        'extern "C" int run_all(void);',
        f"static int8_t image[{first.upper()}_INPUT_BYTES];",
        "int main() {",
        f"int8_t scores[{first.upper()}_OUTPUT_BYTES];",
        "if (fread(image, 1, sizeof(image), stdin) != sizeof(image) || run_all() != 0) return 4;",
        f"{first}_run(&{first}, image, scores);",
        "fwrite(scores, 1, sizeof(scores), stdout);",
        f"{second}_run(&{second}, image, scores);",
        "fwrite(scores, 1, sizeof(scores), stdout);",
        "return 0;",
        "}",
    ]
    (tmp_path / "main.cc").write_text("\n".join(lines) + "\n")
    (tmp_path / "calls.c").write_text(calls([tflm]))
    run(*C, *paths, "-c", "calls.c", "-o", "calls.o", cwd=tmp_path)
    run(*CPP, *paths, "main.cc", "calls.o", *what, "-o", "app", cwd=tmp_path)
    scores = run_reference(engines[0].graph, image.astype(np.int8)).tobytes()
    given = (tmp_path / "image.bin").read_bytes()
    assert run(tmp_path / "app", input=given) == expected_calls([tflm]).encode() + 2 * scores
