"""No file, macro or symbol of a model is another model's, whatever both are called.

What is emitted is looked at, not what a list says of it: all headers and sources of all shapes and
of both runtimes, and what compilers make of them.
"""

import functools
import pathlib
import re
import subprocess

import networks
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from programs import WARNINGS, run

from edge.catalog.boards import find_board
from edge.emit.camera.render import camera_for
from edge.emit.engine.render import KERNEL_FOLDER
from edge.emit.packages.contents import engine_contents, tflm_contents
from edge.emit.packages.names import ENDINGS, FILES, HEADERS, PackageName, package_name
from edge.emit.packages.render import SHAPES, instruction_sets, render_package
from edge.emit.tflm.render import render
from edge.engine.compile import compile_engines
from edge.errors import EdgeError
from edge.firmware.render import render_firmware
from edge.memory.arena import tensor_arena
from edge.tflite.reader import read_graph
from keras_mobilenet.preprocessing.preprocessing import Preprocessing

TFLM = pathlib.Path(__file__).parent / "ecosystems" / "tflm"
RUNTIMES = ("engine", "tflm")
BOARD = "nucleo-f446re"
EMULATED = "mps2-an386"
KERNELS = {path.name for path in KERNEL_FOLDER.iterdir()}


@functools.cache
def graph_and_camera():
    graph = read_graph(networks.small_tflite())
    return graph, camera_for(graph, "rgb565", 16, 12, Preprocessing(8, 8))


@functools.cache
def engines():
    return compile_engines(graph_and_camera()[0], instruction_sets("cmake"))


@functools.cache
def sources(shape, runtime, name):
    """The text of each source file that a program is compiled from, by its name."""
    graph, camera = graph_and_camera()
    if shape == "firmware":
        options = {"camera": camera, "is_profiled": True, "name": name.snake}
        boards = [find_board(board) for board in (BOARD, EMULATED)]
        both = [render_firmware(engines()["dsp"], board, **options) for board in boards]
        return both[0] | both[1]
    if runtime == "engine":
        own = {each: engines()[each] for each in instruction_sets(shape)}
        contents = engine_contents(own, name.snake)
    else:
        board = find_board(BOARD)
        arena = tensor_arena(graph, board)
        texts = render(graph, board, arena, camera=camera, name=name.snake)
        if shape == "cmake":
            return {file: text for file, text in texts.items() if file != "CMakeLists.txt"}
        contents = tflm_contents(graph, texts, flash_bytes=0, ram_bytes=0, name=name.snake)
    files = render_package(shape, name, contents)
    return {
        path.rpartition("/")[2]: text
        for path, text in files.items()
        if path.startswith(("src/", "include/"))
    }


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.S)


def identifiers(shape, runtime, name):
    """All that a model's sources and headers call by its name: macros, functions, types."""
    own = re.compile(rf"\b(?:{name.snake}|{name.snake.upper()})_\w+(?!\.)\b")
    texts = map(without_comments, sources(shape, runtime, name).values())
    # What is in quotes is a file or a message.
    return {found for text in texts for found in own.findall(re.sub(r'"[^"\n]*"', "", text))}


def everything():
    return [(shape, runtime) for shape in SHAPES for runtime in RUNTIMES] + [("firmware", "engine")]


# Which endings there are


def endings_that_collide():
    """What stands between a name and a shorter part, such as `_camera` in `_camera_start`."""
    name, found = package_name("qqq zzz"), set()
    files = {f for each in everything() for f in sources(*each, name) if f.startswith(name.snake)}
    # CMake's: a library's file.
    files |= {f"{name.snake}.a", f"{name.snake}_inference.a"}
    words = {i for each in everything() for i in identifiers(*each, name)}
    macros = {word.lower() for word in words if word.isupper()}
    for group in (files, {word for word in words if not word.isupper()}, macros):
        parts = {word[len(name.snake) :] for word in group}
        found |= {
            long.removesuffix(short)
            for long in parts
            for short in parts
            if long != short and long.endswith(short)
        }
    return found


def test_the_endings_are_those_that_collide():
    found = {ending.lstrip("_") for ending in endings_that_collide()}
    # A name that ends in `_weights_dsp` ends in `_dsp`.
    needed = {e for e in found if not any(e.endswith(f"_{other}") for other in found)}
    assert needed == set(ENDINGS) - {"arduino"}


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_name_that_ends_as_a_file_gets_a_word_more(ending):
    assert package_name(f"door_{ending}").snake == f"door_{ending}_net"
    assert package_name(f"door {ending} 2").snake == f"door_{ending}_2"


def test_no_file_of_a_model_is_one_of_the_kernels_or_of_the_firmware():
    """`depthwise` has no file, but `depthwise_dsp.c` would be its own."""
    name = package_name("qqq")
    files = {file for each in everything() for file in sources(*each, name)}
    own = {file for file in files if file.lower().startswith(name.snake)}
    parts, fixed = {file[len(name.snake) :] for file in own}, (files - own) | KERNELS
    taken = {file.removesuffix(part) for file in fixed for part in parts if file.endswith(part)}
    taken |= {file.rpartition(".")[0] for file in fixed if file.endswith((".c", ".h"))}
    chips = {name for name in taken if name.startswith("chip_")}
    assert chips
    assert taken - chips <= FILES
    assert {package_name(chip).snake for chip in chips} == {f"my_{chip}" for chip in chips}


def test_no_header_of_a_compiler_is_a_models(host_compiler, arm_compiler):
    """The C library's and the compiler's own, of the Arm compiler."""
    command = ["arm-none-eabi-gcc", "-E", "-v", "-x", "c", "-"]
    said = subprocess.run(command, input=b"", capture_output=True).stderr.decode()
    folders = re.findall(r"^ (/\S+)$", said, re.M)
    stems = {path.stem for folder in folders for path in pathlib.Path(folder).glob("*.h")}
    assert {"stdint", "string", "unistd", "arm_neon"} <= stems
    assert [stem for stem in sorted(stems) if package_name(stem).snake == stem] == []


def test_a_taken_name_gets_a_word_in_front():
    for text in HEADERS | FILES:
        name = package_name(text)
        assert name.snake.startswith(f"my_{text}")
        assert name.camel.lower() not in HEADERS
    # Arduino's header would be LiquidCrystal.h.
    assert package_name("liquid crystal").snake == "my_liquid_crystal"


# Pairs

WORDS = st.sampled_from(
    [word for ending in ENDINGS for word in ending.split("_")]
    + ["a", "b", "net", "my", "model", "x1", "1", "2", "12", "state", "t", "start", "run", "input"]
    + ["output", "row", "bytes", "h", "sha256", "tflm", "engine", "conv", "kernels", "string"]
    + ["bB", "Main", "é", "模型"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join) | st.text(max_size=70)


def allowed(text):
    try:
        return package_name(text)
    except EdgeError:
        return None


def files_without_case(shape, runtime, name):
    return {file.lower() for file in sources(shape, runtime, name)}


def assert_disjoint(shape, first, second):
    """`first` and `second` are pairs of a runtime and a name."""
    shared = files_without_case(shape, *first) & files_without_case(shape, *second)
    assert shared <= KERNELS
    for file in shared & {"engine.h", "conv.c", "pool.c"}:
        assert sources(shape, *first)[file] == sources(shape, *second)[file]
    assert identifiers(shape, *first).isdisjoint(identifiers(shape, *second))


@given(
    texts=st.tuples(TEXTS, TEXTS),
    runtimes=st.tuples(*2 * [st.sampled_from(RUNTIMES)]),
    shape=st.sampled_from(SHAPES),
)
@example(texts=("a", "a camera"), runtimes=("tflm", "engine"), shape="cmake")
@example(texts=("a", "a self test"), runtimes=("engine", "engine"), shape="esp-idf")
@example(texts=("person", "person model"), runtimes=("engine", "engine"), shape="arduino")
@example(texts=("person 2", "person2"), runtimes=("engine", "engine"), shape="arduino")
@example(texts=("v1.2", "v12"), runtimes=("engine", "tflm"), shape="arduino")
@settings(deadline=None, max_examples=40)
def test_two_names_share_no_file_and_no_identifier(texts, runtimes, shape):
    names = [allowed(text) for text in texts]
    assume(None not in names)
    first, second = names
    assume(first.snake != second.snake)
    # Arduino knows a library by its name alone: person_detector and persondetector are one there.
    assume(shape != "arduino" or first.camel.lower() != second.camel.lower())
    assert_disjoint(shape, *zip(runtimes, names, strict=True))


def test_the_property_can_fail():
    """Names that did not come from `package_name`."""
    taken = PackageName(("a", "weights"))
    with pytest.raises(AssertionError):
        assert_disjoint("cmake", ("engine", PackageName(("a",))), ("engine", taken))


PAIRS = [
    ("a", "a weights", "a self test"),
    ("a", "a camera", "a camera model"),
    ("a", "a data", "a settings"),
    ("conv", "conv sparse", "depthwise"),
    ("engine", "kernels", "engine conv"),
    ("main", "test", "int"),
    ("a" * 31, "a" * 32, "a" * 50),
    ("door", "door start", "door run"),
]


def compiled(folder, runtime, name):
    """The objects of a model, by the symbols that the linker sees."""
    folder.mkdir()
    for file, text in sources("platformio", runtime, name).items():
        (folder / file).write_text(text)
    objects = []
    for source in sorted(folder.glob("*.c*")):
        is_c = source.suffix == ".c"
        compiler = (
            ["gcc", "-std=c11"] if is_c else ["g++", "-std=c++17", "-fno-exceptions", "-I", TFLM]
        )
        objects.append(source.with_suffix(".o"))
        run(*compiler, *WARNINGS, "-c", source, "-o", objects[-1])
    listing = run("nm", "-g", "--defined-only", *objects).decode()
    found = re.findall(r"^\S+ ([A-Z]) (\S+)$", listing, re.M)
    # Weak are the kernels, and what C++ defines in headers: that of this model counts.
    return objects, {symbol for kind, symbol in found if kind not in "WV" or "_tflm" in symbol}


@pytest.mark.parametrize("texts", PAIRS, ids=lambda texts: "-".join(texts)[:40])
def test_three_names_on_both_runtimes_share_no_symbol(host_compiler, tmp_path, texts):
    """But for the kernels', which are the same; all link into one program."""
    objects, seen = [], set()
    for runtime in RUNTIMES:
        for text in texts:
            folder = tmp_path / f"{runtime} {text}"
            # A name of its own for each: the same for both is refused by their headers.
            name = package_name(text if runtime == "engine" else f"{text} on tflm")
            made, symbols = compiled(folder, runtime, name)
            assert len(symbols) >= 5
            assert symbols.isdisjoint(seen)
            seen |= symbols
            objects += made
    (tmp_path / "main.c").write_text("int main(void) { return 0; }\n")
    run("g++", "-x", "c", tmp_path / "main.c", "-x", "none", *objects, "-o", tmp_path / "app")
