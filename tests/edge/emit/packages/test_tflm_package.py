"""TFLite Micro's packages: what each ecosystem's builder says, and what the examples print.

TFLite Micro itself is a stand-in here, `ecosystems/tflm`: it has the interfaces that the emitted
sources use, and an arithmetic of its own.
"""

import functools
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import yaml

import edge
from edge.emit.engine.self_test import self_test_image
from keras_mobilenet.preprocessing.preprocessing import Preprocessing

ECOSYSTEMS = pathlib.Path(__file__).parent / "ecosystems"
TFLM = ECOSYSTEMS / "tflm"
STRICT = ["-O1", "-Wall", "-Wextra", "-Werror"]
SHAPES = ["arduino", "esp-idf", "zephyr", "platformio"]
LABELS = ["nobody", "person"]


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout


@pytest.fixture(scope="session")
def packaged(vww, tmp_path_factory):
    """The person detector as a package of a shape, written the first time that it is asked for."""

    @functools.cache
    def get(shape):
        folder = tmp_path_factory.mktemp("tflm packages") / "person detector"
        return edge.export(
            vww, None, folder, shape=shape, name="person_detector", labels=LABELS
        )  # fmt: skip

    return get


@pytest.fixture(scope="session")
def expected_scores(packaged):
    """What the examples print with the stand-in: the sum of the image's bytes, plus the place."""
    package = packaged("zephyr")
    image = self_test_image(package.graph.input.element_count).view(np.uint8)
    first = (int(image.sum()) + sum(package.graph.content[:512])) % 256
    scores = [(first + n + 128) % 256 - 128 for n in range(2)]
    size = arena_size(package)
    lines = [f"score {label}: {score}\n" for label, score in zip(LABELS, scores, strict=True)]
    return ("".join(lines) + f"arena: {size - 16} of {size}\n").encode()


def arena_size(package):
    (path,) = package.folder.rglob("*_settings.h")
    return int(re.search(r"kTensorArenaSize = (\d+)U", path.read_text())[1])


def includes_of(package):
    folders = ["src"] if package.shape == "arduino" else ["include", "src"]
    return [f"-I{package.folder / folder}" for folder in folders] + [f"-I{TFLM}"]


def compiled(package, target, compiler="g++"):
    objects = []
    for source in sorted((package.folder / "src").glob("*.c*")):
        objects.append(target / f"{source.stem}.o")
        flags = ["-std=c++17", "-fno-rtti", "-fno-exceptions", *STRICT]
        run(compiler, *flags, *includes_of(package), "-c", source, "-o", objects[-1])
    return objects


# What every package holds


@pytest.mark.parametrize("shape", SHAPES)
def test_tflm_package_says_what_it_is(packaged, shape):
    package = packaged(shape)
    text = (package.folder / "README.md").read_text()
    assert package.graph.sha256 in text
    assert f"real = {package.graph.output.quantization.scales[0]:.9g}" in text
    assert f"export --runtime tflm --shape {shape}" in text
    assert "nothing here states one" in text
    source = {
        "arduino": "Chirale_TensorFLowLite",
        "esp-idf": "espressif/esp-tflite-micro",
        "zephyr": "tflite-micro",
        "platformio": "spaziochirale/Chirale_TensorFLowLite",
    }[shape]
    assert source in text
    for path in package.files:
        assert (package.folder / path).is_file()
        if path.endswith((".properties", ".json", ".yml", ".yaml")):
            assert "license" not in (package.folder / path).read_text().lower()


@pytest.mark.parametrize("shape", SHAPES)
def test_tflm_package_has_the_sources_of_the_cmake_project(packaged, vww, tmp_path, shape):
    """Byte for byte, but for the arena, which has room for larger records."""
    package = packaged(shape)
    plain = edge.export(vww, "nucleo-f446re", tmp_path, name="person_detector", labels=LABELS)
    for name in plain.files:
        if name == "CMakeLists.txt":
            continue
        text = (tmp_path / name).read_text()
        wanted = name.replace(".cc", ".cpp") if shape == "arduino" else name
        (path,) = (path for path in package.files if path.split("/")[-1] == wanted)
        found = (package.folder / path).read_text()
        if name == "person_detector_settings.h":
            found = re.sub(r"// \d+ bytes on top: .*\n", "", found)
            larger = arena_size(package) - plain.budget.arena.bytes
            assert 0 < larger < 1024
            found = found.replace(f"= {arena_size(package)}U", f"= {plain.budget.arena.bytes}U")
            assert package.budget.ram_bytes == plain.budget.ram_bytes + larger
        assert found == text


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("shape", ["arduino", "zephyr"])
def test_tflm_package_compiles_for_arm(arm_compiler, packaged, shape, core):
    package = packaged(shape)
    flags = [f"-mcpu={core}", "-mthumb", "-std=c++17", "-fsyntax-only", *STRICT]
    for source in sorted((package.folder / "src").glob("*.c*")):
        run("arm-none-eabi-g++", *flags, *includes_of(package), source)


def test_tflm_package_interface_is_plain_c(host_compiler, packaged, tmp_path):
    package = packaged("zephyr")
    (tmp_path / "main.c").write_text(
        '#include "person_detector.h"\nint main(void) { return (int)person_detector_init(); }\n'
    )
    run("gcc", "-std=c11", *STRICT, *includes_of(package), "-c", tmp_path / "main.c", "-o",
        tmp_path / "main.o")  # fmt: skip
    run("g++", tmp_path / "main.o", *compiled(package, tmp_path), "-o", tmp_path / "main")
    run(tmp_path / "main")


def test_tflm_package_takes_a_camera(host_compiler, vww, tmp_path):
    package = edge.export(
        vww,
        None,
        tmp_path,
        shape="zephyr",
        camera="rgb565",
        camera_width=160,
        camera_height=120,
        preprocessing=Preprocessing(96, 96),
    )
    assert {"include/vww_96_int8_camera.h", "src/vww_96_int8_camera.c"} <= set(package.files)
    assert "src/vww_96_int8_camera.c" in (package.folder / "CMakeLists.txt").read_text()
    source = package.folder / "src" / "vww_96_int8_camera.c"
    run("gcc", "-std=c11", "-fsyntax-only", *STRICT, *includes_of(package), source)


# Arduino


def test_tflm_arduino_library_keeps_to_the_specification(packaged):
    package = packaged("arduino")
    lines = (package.folder / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category"}
    assert fields.keys() == required | {"url", "architectures", "includes", "depends"}
    assert all(fields.values())
    assert fields["depends"] == "Chirale_TensorFLowLite"
    assert fields["includes"] == f"{fields['name']}.h"
    header = (package.folder / "src" / fields["includes"]).read_text()
    # Arduino looks for a library by a header of its top folder.
    assert header.index("<Chirale_TensorFlowLite.h>") < header.index('"person_detector.h"')
    assert not list((package.folder / "src").glob("*.cc"))
    keywords = (package.folder / "keywords.txt").read_text().splitlines()
    assert all(re.fullmatch(r"\w+\t(KEYWORD1|KEYWORD2|LITERAL1)", line) for line in keywords)
    headers = "".join(p.read_text() for p in (package.folder / "src").glob("*.h"))
    for line in keywords[1:]:
        assert re.search(rf"\b{line.split()[0]}\b", headers), line


def test_tflm_arduino_sketch_prints_the_scores(host_compiler, packaged, expected_scores, tmp_path):
    package = packaged("arduino")
    (sketch,) = package.folder.glob("examples/*/*.ino")
    (tmp_path / "sketch.cpp").write_text(f"#include <Arduino.h>\n{sketch.read_text()}")
    run("g++", *STRICT, "-I", ECOSYSTEMS / "arduino", *includes_of(package),
        ECOSYSTEMS / "arduino" / "main.cpp", tmp_path / "sketch.cpp",
        *compiled(package, tmp_path), "-o", tmp_path / "sketch")  # fmt: skip
    assert run(tmp_path / "sketch") == expected_scores


# ESP-IDF


def test_tflm_esp_idf_manifests_are_valid(packaged, tmp_path):
    folder = packaged("esp-idf").folder
    compote = [pathlib.Path(sys.executable).with_name("compote")]
    assert run(*compote, "manifest", "lint", folder) == b""
    run(*compote, "component", "pack", "--name", "person_detector", "--project-dir", folder,
        "--dest-dir", tmp_path)  # fmt: skip
    assert (tmp_path / "person_detector_1.0.0.tgz").is_file()
    manifest = yaml.safe_load((folder / "idf_component.yml").read_text())
    assert manifest["dependencies"].keys() == {"idf", "espressif/esp-tflite-micro"}
    assert manifest["examples"] == [{"path": "examples/scores"}]


def test_tflm_esp_idf_example_prints_the_scores(host_compiler, packaged, expected_scores, tmp_path):
    """Beside the documented functions, on this machine: the real ones need an ESP-IDF."""
    example = packaged("esp-idf").folder / "examples" / "scores"
    environment = os.environ | {"IDF_PATH": str(ECOSYSTEMS / "idf"), "CXXFLAGS": f"-I{TFLM}"}
    run("cmake", "-S", example, "-B", tmp_path, env=environment)
    run("cmake", "--build", tmp_path, env=environment)
    assert run(tmp_path / "app") == expected_scores


# Zephyr


def test_tflm_zephyr_module_depends_on_tflite_micro(packaged):
    folder = packaged("zephyr").folder
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert module["build"].keys() == {"cmake", "kconfig", "depends"}
    assert module["build"]["depends"] == ["tflite-micro"]
    (path,) = folder.glob("samples/*/sample.yaml")
    sample = yaml.safe_load(path.read_text())
    assert sample.keys() == {"sample", "tests"}
    (test,) = sample["tests"].values()
    assert test["min_ram"] * 1024 > packaged("zephyr").budget.ram_bytes
    (regex,) = test["harness_config"]["regex"]
    assert re.fullmatch(regex, f"arena: 100 of {arena_size(packaged('zephyr'))}")


ZEPHYR_KCONFIG = """
config CPP
	bool "C++"
choice
	prompt "C++ standard"
config STD_CPP11
	bool "C++ 11"
config STD_CPP17
	bool "C++ 17"
endchoice
config REQUIRES_FULL_LIBCPP
	bool "Full C++ library"
config TENSORFLOW_LITE_MICRO
	bool "TensorFlow Lite Micro Support"
config MAIN_STACK_SIZE
	int "Stack"
"""


def kconfig_of(folder, work):
    import kconfiglib

    (work / "Kconfig").write_text(f'{ZEPHYR_KCONFIG}source "{folder / "Kconfig"}"\n')
    kconfig = kconfiglib.Kconfig(str(work / "Kconfig"), warn_to_stderr=False)
    kconfig.load_config(str(folder / "samples" / "scores" / "prj.conf"))
    assert kconfig.warnings == []
    return [name for name, symbol in kconfig.syms.items() if symbol.str_value == "y"]


def test_tflm_zephyr_sample_prints_the_scores(host_compiler, packaged, expected_scores, tmp_path):
    """Beside the documented functions, on this machine: the real ones need a Zephyr."""
    folder = packaged("zephyr").folder
    on = kconfig_of(folder, tmp_path)
    own = "KERAS_MOBILENET_PERSON_DETECTOR"
    assert {"CPP", "STD_CPP17", "TENSORFLOW_LITE_MICRO", own} <= set(on)
    run("cmake", "-S", folder / "samples" / "scores", "-B", tmp_path,
        f"-DZephyr_DIR={ECOSYSTEMS / 'zephyr'}", f"-DKCONFIG_ON={';'.join(on)}",
        env=os.environ | {"CXXFLAGS": f"-I{TFLM}"})  # fmt: skip
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "app") == expected_scores


def test_tflm_zephyr_module_needs_cpp_and_tflm(packaged, tmp_path):
    """Without them its option cannot be set, and the build says so before the compiler does."""
    import kconfiglib

    kconfig = kconfiglib.Kconfig(str(packaged("zephyr").folder / "Kconfig"), warn_to_stderr=False)
    symbol = kconfig.syms["KERAS_MOBILENET_PERSON_DETECTOR"]
    symbol.set_value(2)
    assert symbol.str_value == "n"


# PlatformIO


def test_tflm_platformio_packs_the_library(packaged, tmp_path):
    folder = packaged("platformio").folder
    environment = os.environ | {
        "PLATFORMIO_CORE_DIR": str(tmp_path / "core"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
    }
    run(sys.executable, "-m", "platformio", "pkg", "pack", folder, cwd=tmp_path, env=environment)
    assert (tmp_path / "PersonDetector-1.0.0.tar.gz").is_file()
    manifest = json.loads((folder / "library.json").read_text())
    assert manifest["dependencies"].keys() == {"spaziochirale/Chirale_TensorFLowLite"}
    for header in manifest["headers"]:
        assert (folder / "include" / header).is_file()
    for example in manifest["examples"]:
        for file in example["files"]:
            assert (folder / example["base"] / file).is_file()


def test_tflm_platformio_example_prints_the_scores(
    host_compiler, packaged, expected_scores, tmp_path
):
    package = packaged("platformio")
    example = package.folder / "examples" / "arduino" / "main.cpp"
    run("g++", *STRICT, "-I", ECOSYSTEMS / "arduino", *includes_of(package), example,
        ECOSYSTEMS / "arduino" / "main.cpp", *compiled(package, tmp_path),
        "-o", tmp_path / "app")  # fmt: skip
    assert run(tmp_path / "app") == expected_scores
