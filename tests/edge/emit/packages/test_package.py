"""Packages: what each ecosystem's linter, builder or specification says, and LiteRT's bytes."""

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
from edge.catalog.boards import core_flags, find_board
from edge.deploy.export import Export
from edge.emit.c_text import named
from edge.emit.engine.self_test import self_test_image
from edge.emit.packages.contents import engine_contents
from edge.emit.packages.names import package_name
from edge.emit.packages.render import SHAPES, instruction_sets, render_package
from edge.engine.compile import compile_engines
from edge.errors import EdgeError
from edge.firmware.emulate import emulate
from edge.firmware.host import HOST_MAIN
from edge.firmware.render import BOARD_FOLDER, link_script
from edge.runtimes.interpreters import run_litert
from edge.system.files import write_files
from edge.tflite.reader import read_graph

ECOSYSTEMS = pathlib.Path(__file__).parent / "ecosystems"
STRICT = ["-O1", "-Wall", "-Wextra", "-Werror"]
CORES = {"portable": "mps2-an385", "dsp": "mps2-an386", "mve": "mps3-an547"}


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, **options)
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout


@pytest.fixture(scope="session")
def packaged(vww, tmp_path_factory):
    """The person detector as a package of a kind; planned once for all, written the first time."""
    graph, name = read_graph(vww), package_name("person_detector")
    engines = compile_engines(graph, instruction_sets("cmake"))

    @functools.cache
    def get(kind):
        folder = tmp_path_factory.mktemp("packages") / "person detector"
        own = {each: engines[each] for each in instruction_sets(kind)}
        texts = render_package(kind, name, engine_contents(own, name.snake))
        write_files(folder, {path: text.encode() for path, text in texts.items()})
        return Export(
            graph=graph,
            folder=folder,
            files=tuple(texts),
            runtime="engine",
            shape=kind,
            engines=own,
            name=name,
        )

    return get


@pytest.fixture(scope="session")
def by_litert(vww, random_inputs):
    """Inputs and LiteRT's outputs: the image of the self-test, then random ones."""
    graph = read_graph(vww)
    image = self_test_image(graph.input.element_count).reshape(1, *graph.input.shape[1:])
    inputs = np.concatenate([image, random_inputs(graph, 4)])
    return inputs, run_litert(graph, inputs)


@pytest.fixture(scope="session")
def expected_self_test(by_litert):
    """What the examples print, by LiteRT."""
    lines = [f"score {n}: {score}\n" for n, score in enumerate(by_litert[1][0])]
    return ("".join(lines) + "self-test: passed\n").encode()


def sources_of(folder):
    return sorted((folder / "src").glob("*.c"))


# What every package holds


@pytest.mark.parametrize("kind", SHAPES)
def test_says_what_it_is(packaged, kind):
    package = packaged(kind)
    text = (package.folder / "README.md").read_text()
    assert package.graph.sha256 in text
    assert f"real = {package.graph.output.quantization.scales[0]:.9g}" in text
    for engine in package.engines.values():
        assert f"| {engine.weights_bytes:,} | {engine.state_bytes:,} |" in text
    written = {p.relative_to(package.folder).as_posix() for p in package.folder.rglob("*.*")}
    assert {path for path in written if (package.folder / path).is_file()} >= {
        path for path in package.files if "." in path
    }


@pytest.mark.parametrize("kind", SHAPES)
def test_claims_no_license_for_the_model(packaged, kind):
    package = packaged(kind)
    for path in package.files:
        if path.endswith((".properties", ".json", ".yml", ".yaml", ".pdsc")):
            assert "license" not in (package.folder / path).read_text().lower()
    assert "nothing here states one" in (package.folder / "README.md").read_text()


@pytest.mark.parametrize("kind", SHAPES)
def test_headers_are_cpp_too(host_compiler, packaged, tmp_path, kind):
    """Linked from C++: a declaration without extern "C" is not found."""
    folder = packaged(kind).folder
    includes = folder / ("src" if kind == "arduino" else "include")
    (tmp_path / "main.cpp").write_text(
        '#include "person_detector_self_test.h"\n#include "person_detector.h"\n'
        "static person_detector_state_t state;\nstatic int8_t row[PERSON_DETECTOR_ROW_BYTES];\n"
        "int main() { return person_detector_self_test(&state, row) ? 0 : 1; }\n"
    )
    objects = compiled(["gcc", "-std=c11", *STRICT], folder, tmp_path)
    run("g++", *STRICT, "-Wpedantic", "-I", includes, tmp_path / "main.cpp", *objects, "-o",
        tmp_path / "main")  # fmt: skip
    run(tmp_path / "main")


def compiled(command, folder, target):
    objects = []
    for source in sources_of(folder):
        objects.append(target / f"{source.stem}.o")
        run(*command, "-I", folder / "include", "-c", source, "-o", objects[-1])
    return objects


# Which kernels


@pytest.mark.parametrize(
    ("kernels", "flags"),
    [
        ("portable", ["-O2"]),
        ("dsp", ["-O2"]),
        ("mve", ["-O2"]),
        ("dsp", ["-O0", "-fno-omit-frame-pointer"]),
        ("mve", ["-O0", "-fno-omit-frame-pointer"]),
    ],
)
def test_the_core_chooses_the_kernels(
    arm_compiler, qemu, packaged, by_litert, tmp_path, kernels, flags
):
    """LiteRT's bytes on each core; also in a debug build, which leaves assembly few registers."""
    package, board = packaged("cmake"), find_board(CORES[kernels])
    core = ["arm-none-eabi-gcc", *core_flags(board), "-std=c11", "-ffunction-sections"]
    objects = compiled([*core, *flags, "-Wall", "-Wextra", "-Werror"], package.folder, tmp_path)
    symbols = run("arm-none-eabi-nm", *objects).decode()
    starts = re.findall(r"T person_detector_start_(\w+)_[0-9a-f]{8}$", symbols, re.M)
    assert starts == [kernels]
    assert len(re.findall(r"R person_detector_weights", symbols)) == 1
    (tmp_path / "link.ld").write_text(link_script(board))
    for file in ("measure.c", "image_part.h"):
        text = (BOARD_FOLDER / file).read_text()
        (tmp_path / file).write_text(named(text, "person_detector"))
    elf = tmp_path / "firmware.elf"
    run(
        *(*core, "-O2", "-DFIRMWARE_HAS_SEMIHOSTING=1", "--specs=nano.specs", "-nostartfiles"),
        *("-Wl,--gc-sections", "-T", tmp_path / "link.ld", "-I", package.folder / "include"),
        *(
            "-I",
            BOARD_FOLDER,
            tmp_path / "measure.c",
            BOARD_FOLDER / "start.c",
            *objects,
            "-o",
            elf,
        ),
    )
    inputs, outputs = (values[:2] for values in by_litert)
    emulation = emulate(elf, board.qemu_machine, inputs, outputs.shape[1])
    np.testing.assert_array_equal(emulation.outputs, outputs)
    assert emulation.state_bytes == package.engines[kernels].state_bytes


def test_a_mixture_of_cores_does_not_link(arm_compiler, packaged, tmp_path):
    """Else the caller's state would be too small for the kernels."""
    folder = packaged("cmake").folder
    command = ["arm-none-eabi-gcc", "-mthumb", "-I", folder / "include"]
    (tmp_path / "main.c").write_text(
        '#include "person_detector.h"\nstatic person_detector_state_t state;\n'
        "int main(void) { person_detector_start(&state); }\n"
    )
    objects = []
    for core, source in (
        ("m3", tmp_path / "main.c"),
        ("m4", folder / "src" / "person_detector_dsp.c"),
    ):
        objects.append(tmp_path / f"{core}.o")
        run(*command, f"-mcpu=cortex-{core}", "-c", source, "-o", objects[-1])
    linked = subprocess.run(
        ["arm-none-eabi-gcc", "-nostdlib", *objects, "-o", tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert "undefined reference to `person_detector_start_portable_" in linked.stderr


def test_a_core_of_16_bits_is_told_so(host_compiler, packaged):
    source = packaged("arduino").folder / "src" / "conv.c"
    command = ["gcc", "-fsyntax-only", "-U__INT_MAX__", "-D__INT_MAX__=32767", source]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "needs a core with an int of 32 bits" in done.stderr


# CMake


@pytest.mark.parametrize("way", ["add_subdirectory", "find_package"])
def test_cmake_links_and_gives_litert_bytes(
    host_compiler, arm_compiler, packaged, by_litert, tmp_path, way
):
    package = packaged("cmake")
    find = f"add_subdirectory([[{package.folder}]] model)"
    options = []
    if way == "find_package":
        prefix = tmp_path / "prefix"
        run("cmake", "-S", package.folder, "-B", tmp_path / "model", "--install-prefix", prefix)
        run("cmake", "--build", tmp_path / "model")
        assert b"100% tests passed" in run("ctest", "--test-dir", tmp_path / "model")
        run("cmake", "--install", tmp_path / "model")
        find = "find_package(person_detector 1.0 REQUIRED CONFIG)"
        options = [f"-DCMAKE_PREFIX_PATH={prefix}"]
    host_main = tmp_path / "main.c"
    host_main.write_text(named(HOST_MAIN.read_text(), "person_detector"))
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.20)\nproject(app C)\n{find}\n"
        f"add_executable(app [[{host_main}]])\n"
        "target_link_libraries(app PRIVATE keras_mobilenet::person_detector)\n"
    )
    run("cmake", "-S", tmp_path, "-B", tmp_path / "build", *options)
    run("cmake", "--build", tmp_path / "build")
    inputs, outputs = by_litert
    printed = run(tmp_path / "build" / "app", input=inputs.tobytes())
    actual = np.frombuffer(printed, np.int8).reshape(outputs.shape)
    np.testing.assert_array_equal(actual, outputs)


# Arduino


def test_arduino_library_keeps_to_the_specification(packaged):
    """Arduino's library specification and the rules of its linter, at their strictest."""
    package = packaged("arduino")
    lines = (package.folder / "library.properties").read_text().splitlines()
    fields = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category"}
    assert fields.keys() == required | {"url", "architectures", "includes"}
    assert all(fields.values())
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,31}", fields["name"])
    assert not re.search("arduino|library", fields["name"] + fields["maintainer"], re.I)
    assert re.fullmatch(r"\d+\.\d+\.\d+", fields["version"])
    assert fields["sentence"] not in fields["paragraph"]
    assert fields["category"] == "Data Processing"
    assert fields["url"].startswith("https://")
    assert (package.folder / "src" / f"{fields['name']}.h").is_file()
    assert fields["includes"] == f"{fields['name']}.h"
    examples = package.folder / "examples" / fields["name"]
    assert (examples / f"{examples.name}.ino").is_file()
    assert not list(package.folder.glob("*.ino"))
    keywords = (package.folder / "keywords.txt").read_text().splitlines()
    assert all(re.fullmatch(r"\w+\t(KEYWORD1|KEYWORD2|LITERAL1)", line) for line in keywords)


def test_keywords_are_names_of_the_library(packaged):
    package = packaged("arduino")
    headers = [p.read_text() for p in (package.folder / "src").glob("*.h")]
    for line in (package.folder / "keywords.txt").read_text().splitlines()[1:]:
        assert re.search(rf"\b{line.split()[0]}\b", "".join(headers)), line


def sketch_as_cpp(package, folder):
    """What the Arduino builder makes of a sketch."""
    (path,) = package.folder.glob("examples/*/*.ino")
    (folder / "sketch.cpp").write_text(f"#include <Arduino.h>\n{path.read_text()}")
    return folder / "sketch.cpp"


def arduino_program(package, folder, objects):
    command = ["g++", *STRICT, "-I", ECOSYSTEMS / "arduino", "-I", package.folder / "src"]
    sketch = sketch_as_cpp(package, folder)
    run(*command, ECOSYSTEMS / "arduino" / "main.cpp", sketch, *objects, "-o", folder / "sketch")
    return folder / "sketch"


def test_arduino_sketch_prints_the_scores(host_compiler, packaged, expected_self_test, tmp_path):
    package = packaged("arduino")
    objects = compiled(["gcc", "-std=gnu11", *STRICT], package.folder, tmp_path)
    assert run(arduino_program(package, tmp_path, objects)) == expected_self_test


@pytest.mark.parametrize(
    "broken", ["person_detector_weights_portable", "person_detector_self_test"]
)
def test_arduino_sketch_finds_what_is_wrong(host_compiler, packaged, tmp_path, broken):
    """A flipped bit of the weights, and an output that is off by one."""
    package = packaged("arduino")
    command = ["gcc", "-std=gnu11", *STRICT]
    objects = compiled(command, package.folder, tmp_path)
    source = (package.folder / "src" / f"{broken}.c").read_text()
    if broken == "person_detector_self_test":
        changed = source.replace(
            "uint32_t seed = PERSON_DETECTOR_SELF_TEST_SEED", "uint32_t seed = 1U"
        )
    else:
        first = re.search(r"0x([0-9a-f]{8}),", source)[0]
        changed = source.replace(first, f"{first[:-1]} ^ 0x100U,", 1)
    assert changed != source
    (tmp_path / "changed.c").write_text(changed)
    run(*command, "-I", package.folder / "src", "-c", tmp_path / "changed.c", "-o",
        tmp_path / f"{broken}.o")  # fmt: skip
    printed = run(arduino_program(package, tmp_path, objects))
    assert printed.endswith(b"self-test: FAILED\n")


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4"])
def test_arduino_library_compiles_for_arm(arm_compiler, packaged, tmp_path, core):
    package = packaged("arduino")
    flags = [f"-mcpu={core}", "-mthumb", "-Os", "-Wall", "-Wextra", "-Werror"]
    compiled(["arm-none-eabi-gcc", "-std=gnu11", *flags], package.folder, tmp_path)
    sketch = sketch_as_cpp(package, tmp_path)
    includes = ["-I", ECOSYSTEMS / "arduino", "-I", package.folder / "src"]
    run("arm-none-eabi-g++", *flags, *includes, "-c", sketch, "-o", tmp_path / "sketch.o")


# ESP-IDF


def test_esp_idf_manifests_are_valid(packaged, tmp_path):
    folder = packaged("esp-idf").folder
    compote = [pathlib.Path(sys.executable).with_name("compote")]
    assert run(*compote, "manifest", "lint", folder) == b""
    run(*compote, "component", "pack", "--name", "person_detector", "--project-dir", folder,
        "--dest-dir", tmp_path)  # fmt: skip
    assert (tmp_path / "person_detector_1.0.0.tgz").is_file()


@pytest.mark.parametrize(
    "compiler",
    [
        ["riscv64-unknown-elf-gcc", "-march=rv32imc", "-mabi=ilp32"],
        ["xtensa-lx106-elf-gcc"],
    ],
    ids=["riscv", "xtensa"],
)
def test_esp_idf_component_compiles_for_other_cores(tool, packaged, tmp_path, compiler):
    tool(compiler[0])
    folder = packaged("esp-idf").folder
    flags = ["-std=gnu17", "-O2", "-ffreestanding", "-Wall", "-Wextra", "-Werror"]
    library = ["-isystem", ECOSYSTEMS / "freestanding"]
    assert len(compiled([*compiler, *flags, *library], folder, tmp_path)) > 3


def test_esp_idf_component_has_no_arm_code(packaged):
    names = [path.name for path in (packaged("esp-idf").folder / "src").iterdir()]
    assert not [name for name in names if "dsp" in name or "mve" in name]


def test_esp_idf_example_prints_the_scores(
    host_compiler, arm_compiler, packaged, expected_self_test, tmp_path
):
    """Beside the documented functions, on this machine: the real ones need an ESP-IDF."""
    example = packaged("esp-idf").folder / "examples" / "self_test"
    environment = os.environ | {"IDF_PATH": str(ECOSYSTEMS / "idf")}
    run("cmake", "-S", example, "-B", tmp_path, env=environment)
    run("cmake", "--build", tmp_path, env=environment)
    assert run(tmp_path / "app") == expected_self_test


# Zephyr


def test_zephyr_module_and_sample_are_described(packaged):
    """The keys of Zephyr's documentation: modules, and the test runner's sample.yaml."""
    folder = packaged("zephyr").folder
    module = yaml.safe_load((folder / "zephyr" / "module.yml").read_text())
    assert module.keys() == {"name", "build", "samples"}
    assert module["build"].keys() == {"cmake", "kconfig"}
    assert (folder / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (folder / module["build"]["kconfig"]).is_file()
    (samples,) = (folder / path for path in module["samples"])
    (path,) = samples.rglob("sample.yaml")
    sample = yaml.safe_load(path.read_text())
    assert sample.keys() == {"sample", "tests"}
    (test,) = sample["tests"].values()
    assert test["harness"] == "console"
    assert test["harness_config"]["type"] == "one_line"
    assert test["min_ram"] * 1024 > packaged("zephyr").engines["portable"].state_bytes


def kconfig_of(folder):
    import kconfiglib

    kconfig = kconfiglib.Kconfig(str(folder / "Kconfig"), warn_to_stderr=False)
    assert kconfig.warnings == []
    kconfig.load_config(str(folder / "samples" / "self_test" / "prj.conf"))
    return [name for name, symbol in kconfig.syms.items() if symbol.str_value == "y"]


def test_zephyr_sample_prints_the_scores(
    host_compiler, arm_compiler, packaged, expected_self_test, tmp_path
):
    """Beside the documented functions, on this machine: the real ones need a Zephyr."""
    folder = packaged("zephyr").folder
    symbols = ";".join(kconfig_of(folder))
    find = f"-DZephyr_DIR={ECOSYSTEMS / 'zephyr'}"
    run("cmake", "-S", folder / "samples" / "self_test", "-B", tmp_path, find,
        f"-DKCONFIG_ON={symbols}")  # fmt: skip
    run("cmake", "--build", tmp_path)
    assert run(tmp_path / "app") == expected_self_test


# PlatformIO


def test_platformio_packs_the_library(packaged, tmp_path):
    environment = os.environ | {
        "PLATFORMIO_CORE_DIR": str(tmp_path / "core"),
        "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
        "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
    }
    run(sys.executable, "-m", "platformio", "pkg", "pack", packaged("platformio").folder,
        cwd=tmp_path, env=environment)  # fmt: skip
    assert (tmp_path / "PersonDetector-1.0.0.tar.gz").is_file()


@pytest.mark.parametrize("example", ["self_test/main.c", "arduino/main.cpp"])
def test_platformio_examples_print_the_scores(
    host_compiler, packaged, expected_self_test, tmp_path, example
):
    folder = packaged("platformio").folder
    objects = compiled(["gcc", *STRICT], folder, tmp_path)
    sources = [folder / "examples" / example]
    if example.endswith(".cpp"):
        sources.append(ECOSYSTEMS / "arduino" / "main.cpp")
    run("g++" if example.endswith(".cpp") else "gcc", *STRICT, "-I", folder / "include",
        "-I", ECOSYSTEMS / "arduino", *sources, *objects, "-o", tmp_path / "app")  # fmt: skip
    assert run(tmp_path / "app") == expected_self_test


# Names, and what is refused


@pytest.mark.parametrize(
    ("text", "camel", "snake"),
    [
        ("vww_96_int8", "Vww_96Int8", "vww_96_int8"),
        ("Größe 2", "Groe_2", "groe_2"),
        ("3D net", "Model_3DNet", "model_3d_net"),
        ("arduino-thing", "ModelArduinoThing", "model_arduino_thing"),
        ("model", "Model", "model"),
        ("engine", "MyEngine", "my_engine"),
        ("conv", "MyConv", "my_conv"),
        ("main", "MyMain", "my_main"),
        ("string", "MyString", "my_string"),
        ("Liquid Crystal", "MyLiquidCrystal", "my_liquid_crystal"),
        ("aux", "MyAux", "my_aux"),
        ("person_camera", "PersonCameraNet", "person_camera_net"),
        ("class", "Class", "class"),
        ("../../etc/passwd", "EtcPasswd", "etc_passwd"),
        ('a"; rm -rf $(HOME)\n', "ARmRfHOME", "a_rm_rf_home"),
    ],
)
def test_spells_a_name_for_all(text, camel, snake):
    name = package_name(text)
    assert (name.camel, name.snake) == (camel, snake)


@pytest.mark.parametrize("text", ["", "数字", "42", "x" * 64])
def test_refuses_a_name_of_which_nothing_is_left(text):
    with pytest.raises(EdgeError, match="Cannot name a package"):
        package_name(text)


def test_the_command_says_what_it_wrote(cli, vww, tmp_path):
    options = ["--runtime", "engine", "--shape", "esp-idf", "--name", "7 seas", "--json"]
    done = cli("export", vww, *options, "-o", tmp_path / "a")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["name"] == "Model_7Seas"
    assert report["kernels"].keys() == {"portable"}
    for path in report["files"]:
        assert (tmp_path / "a" / path).is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--shape", "makefile"],
            "not one of 'cmake', 'arduino', 'esp-idf', 'zephyr', 'platformio'",
        ),
        (["--shape", "stm32cube"], "'stm32cube' is not one of 'cmake'"),
        (["--shape", "cmake", "--name", "数字"], "no letter from A to Z"),
    ],
)
def test_refuses_in_one_line(assert_refused, cli, vww, tmp_path, arguments, words):
    assert_refused(
        cli("export", vww, "--runtime", "engine", *arguments, "-o", tmp_path / "out"), words
    )
    assert not (tmp_path / "out").exists()


def test_any_network_may_be_packaged(host_compiler, random_graph, tmp_path):
    """Other operators than a MobileNet's; the self-test is by the NumPy oracle here."""
    package = edge.export(random_graph(7), None, tmp_path / "net", runtime="engine", shape="cmake")
    assert package.name.camel == "Model"
    objects = compiled(["gcc", "-std=c11", *STRICT], package.folder, tmp_path)
    main = package.folder / "example" / "main.c"
    run("gcc", "-I", package.folder / "include", main, *objects, "-o", tmp_path / "app")
    assert run(tmp_path / "app").endswith(b"self-test: passed\n")


def test_the_users_files_stay(random_graph, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "mine.c").write_text("int mine;\n")
    for _ in range(2):
        edge.export(random_graph(7), None, tmp_path, runtime="engine", shape="esp-idf")
    assert (tmp_path / "src" / "mine.c").read_text() == "int mine;\n"
    assert not list(tmp_path.glob(".keras-mobilenet-*"))


def test_a_folder_in_a_files_place_leaves_all_as_it_was(random_graph, tmp_path):
    (tmp_path / "README.md").mkdir()
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "model.h").write_text("/* mine */\n")
    with pytest.raises(EdgeError, match=r"README.md is a folder"):
        edge.export(random_graph(7), None, tmp_path, runtime="engine", shape="esp-idf")
    left = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*"))
    assert left == ["README.md", "include", "include/model.h"]
    assert (tmp_path / "include" / "model.h").read_text() == "/* mine */\n"
