"""Two models of one name, such as two files `model.tflite`: never one in the other's place.

A program can include only one of their headers, and calls that model then, whatever else is linked.
"""

import dataclasses
import functools
import pathlib
import subprocess

import networks
import pytest
from programs import WARNINGS, Packaged, check, library_of, linked, objects_of, run

import edge

TFLM = pathlib.Path(__file__).parent / "ecosystems" / "tflm"
MODELS = {"first": 7, "second": 8}


@pytest.fixture(scope="session")
def packaged(tmp_path_factory):
    @functools.cache
    def one(which, runtime):
        folder = tmp_path_factory.mktemp("same name") / which / "model"
        graph = networks.random_graph(MODELS[which]) if runtime == "engine" else None
        content = networks.small_tflite(MODELS[which]) if graph is None else graph
        written = edge.export(content, None, folder, runtime=runtime, shape="platformio")
        return Packaged(written.folder, written.name, written.graph)

    return one


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("own", MODELS)
def test_a_program_runs_the_model_whose_header_it_includes(
    host_compiler, packaged, tmp_path, own, order
):
    """With a library of the other in front or behind, or with all of both."""
    packages = {which: packaged(which, "engine") for which in MODELS}
    assert {package.name.snake for package in packages.values()} == {"model"}
    libraries = []
    for which, package in packages.items():
        (tmp_path / which).mkdir()
        libraries.append(library_of(package, tmp_path / which))
    check(linked([packages[own]], tmp_path, "c", *libraries[::order]), [packages[own]])
    everything = ["-Wl,--whole-archive", *libraries[::order], "-Wl,--no-whole-archive"]
    check(linked([packages[own]], tmp_path, "cpp", *everything), [packages[own]])


def test_a_library_of_the_other_model_alone_does_not_link(host_compiler, packaged, tmp_path):
    first, second = (packaged(which, "engine") for which in MODELS)
    with pytest.raises(AssertionError, match="undefined reference to `model_"):
        linked([first], tmp_path, "c", *objects_of(second))


def test_the_same_model_for_another_core_is_another(host_compiler, packaged, tmp_path):
    """Its self-test would write beyond a smaller state."""
    package = packaged("first", "engine")
    folder = tmp_path / "model"
    graph, board = networks.random_graph(MODELS["first"]), "arduino-zero"
    edge.export(graph, board, folder, runtime="engine", shape="platformio")
    other = dataclasses.replace(package, folder=folder)
    with pytest.raises(AssertionError, match="undefined reference to `model_self_test_"):
        linked([package], tmp_path, "c", *objects_of(other))


@pytest.mark.parametrize("runtimes", [("engine", "engine"), ("tflm", "tflm"), ("engine", "tflm")])
@pytest.mark.parametrize("language", ["c", "cpp"])
def test_both_headers_in_one_file_are_refused_in_one_line(
    host_compiler, packaged, tmp_path, runtimes, language
):
    packages = [packaged(*pair) for pair in zip(MODELS, runtimes, strict=True)]
    source = tmp_path / f"main.{language}"
    # By their paths, as an editor may write them: by its name alone the first one is found twice.
    headers = [package.includes / "model.h" for package in packages]
    source.write_text("".join(f'#include "{path}"\n' for path in headers))
    done = subprocess.run(["gcc", "-fsyntax-only", source], capture_output=True, text=True)
    assert done.returncode != 0
    errors = [line for line in done.stderr.splitlines() if "error" in line and "^" not in line]
    assert "is called model.h, too: give one of them another name with --name" in errors[0]
    source.write_text(f'#include "{headers[0]}"\n#include "{headers[0]}"\n')
    run("gcc", "-fsyntax-only", source)


@pytest.mark.parametrize("own", MODELS)
def test_tflite_micro_runs_the_model_whose_header_it_includes(
    host_compiler, packaged, tmp_path, own
):
    packages = {which: packaged(which, "tflm") for which in MODELS}
    objects = []
    for which, package in packages.items():
        (tmp_path / which).mkdir()
        for source in package.sources:
            objects.append(tmp_path / which / f"{source.stem}.o")
            paths = ["-I", package.includes, "-I", TFLM]
            run("g++", "-std=c++17", *WARNINGS, *paths, "-c", source, "-o", objects[-1])
    (tmp_path / "main.cc").write_text(
        '#include <cstdio>\n#include <cstring>\n#include "model.h"\n#include "model_data.h"\n'
        "int main() { if (model_init() != MODEL_OK || model_invoke() != MODEL_OK) return 1;\n"
        'std::printf("%s %d", model_tflm::kModelSha256, model_output()[0]);\n'
        "return model_tflm::g_model_data[4] == 'T' ? 0 : 2; }\n"
    )
    app, includes = tmp_path / "app", packages[own].includes
    run("g++", "-std=c++17", *WARNINGS, "-I", includes, tmp_path / "main.cc", *objects, "-o", app)
    graph = packages[own].graph
    first = (sum(graph.content[:512]) + 128) % 256 - 128
    assert run(app).decode() == f"{graph.sha256} {first}"
