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

import networks
import pytest
from programs import (
    CHECKED,
    WARNINGS,
    Packaged,
    check,
    inputs_and_outputs,
    library_of,
    linked,
    objects_of,
    program,
    run,
    write_mixed,
)

from edge.emit.engine.render import kernel_version, render_engine
from edge.emit.packages.contents import engine_contents
from edge.emit.packages.names import package_name
from edge.emit.packages.render import instruction_sets, render_package
from edge.engine.compile import compile_engine, compile_engines
from edge.system.files import write_files

ECOSYSTEMS = pathlib.Path(__file__).parent / "ecosystems"
# One word and several, and names that begin with another's name or with `model`.
SEEDS = {"person": 7, "person detector": 8, "model 2": 12}
COUNTS = (2, 3)
IN_ECOSYSTEMS = (pytest.param(2, marks=pytest.mark.exhaustive), 3)
LANGUAGES = (pytest.param("c", marks=pytest.mark.exhaustive), "cpp")


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


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("way", ["add_subdirectory", "find_package"])
@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_cmake_project(
    host_compiler, arm_compiler, packaged, tmp_path, count, way, language
):
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
    files = write_mixed(packages, tmp_path, language)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\nproject(app C CXX)\n"
        + "\n".join([*lines, f"add_executable(app {' '.join(files)})"])
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
    main, second = write_mixed(
        packages, tmp_path, "cpp", head=head, tail='Serial.print("");', angle=True
    )
    text = (tmp_path / main).read_text()
    (tmp_path / "sketch.cpp").write_text(f"#include <Arduino.h>\n{text}")
    paths = [f"-I{i}" for i in (ECOSYSTEMS / "arduino", *includes)]
    run("gcc", *CHECKED, *WARNINGS, *paths, "-c", second, "-o", "second.o", cwd=tmp_path)
    run("g++", *CHECKED, *WARNINGS, *paths, ECOSYSTEMS / "arduino" / "main.cpp",
        "sketch.cpp", "second.o", *objects, "-o", "app", cwd=tmp_path)  # fmt: skip
    check(tmp_path / "app", packages)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_platformio_project(host_compiler, packaged, tmp_path, count, language):
    """PlatformIO makes each library an archive; both folders of all of them are included."""
    packages = packaged("platformio", count)
    folders = ("include", "src")
    includes = tuple(p.folder / folder for p in packages for folder in folders)
    libraries = [library_of(package, tmp_path, includes=includes) for package in packages]
    check(linked(packages, tmp_path, language, *libraries), packages)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_esp_idf_project(host_compiler, arm_compiler, packaged, tmp_path, count, language):
    packages = packaged("esp-idf", count)
    main = tmp_path / "main"
    main.mkdir()
    head = ('extern "C" ' if language == "cpp" else "") + "void app_main(void) {"
    files = " ".join(f'"{f}"' for f in write_mixed(packages, main, language, head=head, tail=""))
    (main / "CMakeLists.txt").write_text(f'idf_component_register(SRCS {files} INCLUDE_DIRS ".")\n')
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


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("count", IN_ECOSYSTEMS)
def test_in_one_zephyr_program(host_compiler, arm_compiler, packaged, tmp_path, count, language):
    import kconfiglib

    packages = packaged("zephyr", count)
    symbols = [f"KERAS_MOBILENET_{package.name.snake.upper()}" for package in packages]
    (tmp_path / "Kconfig").write_text(
        "".join(f'source "{package.folder / "Kconfig"}"\n' for package in packages)
    )
    kconfig = kconfiglib.Kconfig(str(tmp_path / "Kconfig"), warn_to_stderr=False)
    assert kconfig.warnings == []
    assert set(symbols) <= set(kconfig.syms)
    modules = " ".join(f"[[{package.folder}]]" for package in packages)
    files = write_mixed(packages, tmp_path, language)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.20)\n"
        f"list(APPEND EXTRA_ZEPHYR_MODULES {modules})\n"
        "find_package(Zephyr REQUIRED)\nproject(models)\n"
        f"target_sources(app PRIVATE {' '.join(files)})\n"
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
