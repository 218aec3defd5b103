"""MLPerf Tiny's serial protocol: the firmware's commands here, and on an emulated board."""

import dataclasses
import math
import pathlib
import subprocess

import numpy as np
import pytest
import serial_boards
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.catalog.boards import find_board
from edge.deploy.build import build
from edge.deploy.run_port import run_port
from edge.emit.camera.render import camera_for
from edge.errors import EdgeError
from edge.firmware import serial_link, serial_ports
from edge.firmware.render import BOARD_FOLDER
from edge.firmware.serial_link import LinkError, open_link
from edge.firmware.serial_model import input_flip, serial_model_header
from edge.tflite.quantize import to_int8
from edge.tflite.reader import read_graph

STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
COMMANDS = (
    *("db load 12%", "db load 5%", "db load 4294967296%", "db 00ff%", "db print%", "about%"),
    *("put 3%", "put 12%", "put 4294967295%", "infer 1 0%", "infer 3 2%", "infer%"),
    *("results%", "outputs%", "help%"),
)
F446 = "nucleo-f446re"


@pytest.fixture(scope="module")
def protocol(host_compiler, tmp_path_factory):
    """The firmware's protocol as a program, for which `free` bytes of RAM are left."""
    programs = {}

    def run(sent=b"", *arguments, free=12, flip=0):
        if (free, flip) not in programs:
            folder = tmp_path_factory.mktemp("protocol")
            (folder / "board.h").write_text('#define BOARD_ID "a-board"\n')
            (folder / "model.h").write_text(
                '#define MODEL_SHA256 "abcd"\n#define MODEL_OUTPUT_BYTES 3U\n'
                "#define MODEL_OUTPUT_ZERO_POINT (-128)\n"
            )
            (folder / "serial_model.h").write_text(
                f'#define SERIAL_MODEL_NAME "vww01"\n#define SERIAL_INPUT_FLIP {flip}U\n'
                "#define SERIAL_OUTPUT_MANTISSA 8388608U\n#define SERIAL_OUTPUT_EXPONENT (-31)\n"
            )
            sources = [BOARD_FOLDER / "protocol.c", BOARD_FOLDER / "text.c"]
            host = pathlib.Path(__file__).parent / "protocol_host.c"
            options = [
                *STRICT,
                *SANITIZED,
                f'-DFREE_BYTES="{free}"',
                "-DFIRMWARE_HAS_SEMIHOSTING=0",
            ]
            includes = ["-I", folder, "-I", BOARD_FOLDER]
            command = [host_compiler, *options, *includes, *sources, host]
            subprocess.run([*command, "-o", folder / "program"], check=True)
            programs[free, flip] = folder / "program"
        command = [programs[free, flip], *map(str, arguments)]
        done = subprocess.run(command, input=sent, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("latin-1")

    return run


def answers(said):
    """What follows the text after the reset, one list of lines a command."""
    assert said.endswith("m-ready\r\n")
    return [each.splitlines() for each in said.split("m-ready\r\n")[1:-1]]


def test_the_start_tells_of_the_model_and_its_test(protocol):
    lines = protocol().splitlines()
    assert lines[:2] == ["m-timestamp-mode-performance", "m-lap-us-1"]
    assert lines[-2:] == ["m-init-done", "m-ready"]
    assert {"m-sha256-[abcd]", "m-board-[a-board]", "m-self-test-[passed]"} < set(lines)
    damaged = protocol(b"db load 12%infer 1 0%", "damaged")
    assert "m-self-test-[weights damaged]" in damaged
    assert damaged.count("e-[The weights are damaged: program the board again]") == 2


def test_the_runner_gets_the_answers_of_the_benchmarks_own_api(protocol):
    """As benchmark/api prints them; the runner of MLPerf Tiny matches these lines."""
    sent = b"name%profile%timestamp%db load 12%db 0001fe80%db 000000000a00FF00%db print%infer 2 1%"
    name, profile, time, load, part, last, shown, run = answers(protocol(sent))
    assert name == ["m-name-dut-[a-board]"]
    assert profile == ["m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[vww01]"]
    assert time == ["m-lap-us-2"]
    assert load == ["m-[Expecting 12 bytes]"]
    assert part == []
    assert last == ["m-load-done"]
    assert shown == ["m-buffer-00-01-fe-80-00-00-00-00", "m-buffer-0a-00-ff-00"]
    assert run[:3] == ["m-warmup-start-1", "m-warmup-done", "m-infer-start-2"]
    assert [line[:9] for line in run[3:5]] == ["m-lap-us-"] * 2
    # The sums are 1 - 2 - 128, 0, 10 - 1, of a scale of 1 / 256 and a zero point of -128.
    assert run[5:] == ["m-infer-done", "m-results-[0.996,0.500,0.535]"]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        ("%", []),
        ("\r\nname%", ["m-name-dut-[a-board]"]),
        ("names%", ["e-[Unknown command: names]"]),
        ("db%", ["e-[db: load, print or hex digits?]"]),
        ("db load%", ["e-[db load: how many bytes?]"]),
        ("db load 0%", ["e-[db load: at least one byte]"]),
        ("db load x%", ["e-[db load: at least one byte]"]),
        ("db load 13%", ["e-[db load: at most 12 bytes]"]),
        ("db load 99999999999%", ["e-[db load: at most 12 bytes]"]),
        ("db 123%", ["e-[db: two digits a byte]"]),
        ("db 1g%", ["e-[db: no hex digits: '1g']"]),
        ("db 12%", ["e-[No byte is expected: 'db load' comes first]"]),
        ("infer 0%", ["e-[infer: at least one run]"]),
        ("infer 1 -1%", ["e-[infer: runs to warm up are a number]"]),
        ("infer 1 0%", ["e-[Input db has 0 bytes, expected 12]"]),
        ("results%", ["e-[No result: load an input and infer first]"]),
        ("outputs%", ["e-[No output: load an input and infer first]"]),
        ("put 4%", ["e-[Command 'put' takes 1 to 0 bytes: 'db load' comes first]"]),
        ("x" * 90 + "%", ["e-[Command longer than 79 characters]"]),
    ],
)
def test_a_command_that_cannot_be_done_gets_one_line(protocol, sent, answer):
    assert answers(protocol(sent.encode())) == [answer]


@pytest.mark.parametrize("free", [12, 11])
def test_bytes_as_they_are_give_the_same_output(protocol, free):
    image = bytes([0, 37, 200, 128, 10, 13, 0, 1, 2, 3, 4, 5])
    rows = b"".join(b"put 4%" + image[n : n + 4] for n in range(0, 12, 4))
    _, *ends, run, output = answers(
        protocol(b"db load 12%" + rows + b"infer 1 0%outputs%", free=free)
    )
    assert ends == [[], [], ["m-load-done"]]
    rows_of_four = np.frombuffer(image, np.int8).astype(int).reshape(3, 4)
    expected = rows_of_four.sum(axis=1).astype(np.int8)
    assert output == [f"m-outputs-[{expected.tobytes().hex()}]", "m-cycles-[1234]"]
    assert ("m-[The image ran as it came: its time is the model's alone]" in run) == (free == 11)


def test_without_room_an_image_runs_once(protocol):
    sent = b"db load 12%db 000102030405060708090a0b%infer 5 1%infer 1 0%infer 1 0%db print%"
    *_, often, once, again, shown = answers(protocol(sent, free=11))
    assert "only 'infer 1 0' tells of it" in often[0]
    assert once[-1] == again[-1] == "m-results-[0.523,0.586,0.648]"
    times = [int(line[9:]) for line in once if line.startswith("m-lap-us-")]
    assert times[1] - times[0] == 1234 // 16
    assert shown == ["e-[Rows are not kept: there is no room for the image]"]


def test_an_images_bytes_are_flipped_for_the_model(protocol):
    sent = b"db load 12%db 80808080807f80808000ff80%infer 1 0%outputs%db print%"
    *_, output, shown = answers(protocol(sent, flip=128))
    assert output[0] == "m-outputs-[00ffff]"
    assert shown == ["m-buffer-80-80-80-80-80-7f-80-80", "m-buffer-80-00-ff-80"]


def test_a_sender_that_stops_is_given_up(protocol):
    said = protocol(b"db load 12%put 12%ab" + b"\xff%name%")
    assert answers(said)[-1] == ["m-name-dut-[a-board]"]


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(
        st.one_of(
            st.binary(max_size=100),
            st.sampled_from(COMMANDS).map(str.encode),
        ),
        max_size=30,
    ),
    free=st.sampled_from([12, 11]),
)
def test_no_bytes_break_the_parser(protocol, parts, free):
    """Under the sanitizers; afterwards it answers, once what it may still wait for is given up."""
    said = protocol(b"".join(parts) + b"\xff%%name%", free=free)
    assert said.endswith("m-name-dut-[a-board]\r\nm-ready\r\n")


@pytest.mark.parametrize("scale", [1 / 256, 1.0, 0.36449846625328064, 3.0e-5, 1e-12, 7.25, 1e9])
def test_results_are_those_of_printf(protocol, scale):
    fraction, exponent = math.frexp(float(np.float32(scale)))
    said = protocol(b"", "text", int(fraction * 2**24), exponent - 24).splitlines()
    exact = [float(np.float32(steps) * np.float32(scale)) for steps in range(-255, 256)]
    shown = exact if scale < 1e9 else [max(min(x, 4294967295.0), -4294967295.0) for x in exact]
    assert said == [f"{value:.3f}" for value in shown]


# What a model's bytes mean


def with_scale(graph, scale):
    quantization = dataclasses.replace(graph.input.quantization, scales=(scale,))
    tensors = list(graph.tensors)
    tensors[graph.inputs[0]] = dataclasses.replace(graph.input, quantization=quantization)
    return dataclasses.replace(graph, tensors=tuple(tensors))


@pytest.mark.parametrize(
    ("scale", "flip"), [(1 / 255, 128), (2 / 255, 128), (1.0, 128), (1 / 128, 128), (0.5847, 0)]
)
def test_images_go_as_they_are_and_all_else_as_int8(small_graph, scale, flip):
    """As MLPerf Tiny's reference submissions take VWW and IC, and KWS."""
    graph = with_scale(small_graph, scale)
    assert input_flip(graph) == flip
    header = serial_model_header(graph, "net")
    assert f"SERIAL_INPUT_FLIP {flip}U" in header


@pytest.fixture(scope="module")
def small_graph():
    import networks

    return read_graph(networks.small_tflite())


# On an emulated board


@pytest.fixture(scope="module")
def built(arm_compiler, qemu, tmp_path_factory):
    """Builds a Nucleo-F446RE's firmware once a model; QEMU has a machine with its memory map."""
    folders = {}

    def make(name, content, **options):
        if name not in folders:
            folder = tmp_path_factory.mktemp("built") / "firmware"
            folders[name] = build(content, F446, folder, name=name, **options).firmware.elf
        return folders[name]

    return make


def test_a_hundred_images_get_litert_bytes_and_the_accuracy(built, digits, trained_tflite):
    """A network that was trained on handwritten digits, on 100 that it never saw."""
    graph = read_graph(trained_tflite)
    inputs = to_int8(digits.test_inputs()[:100], graph.input)
    with serial_boards.emulated_board(built("digits", trained_tflite)) as port:
        done = run_port(
            graph, port, inputs, board=find_board(F446), labels=digits.test_labels[:100]
        )
    assert done.input_count == done.equal_count == 100
    assert done.correct_count == int((done.expected.argmax(axis=1) == done.labels).sum()) > 80
    assert done.median_cycles > 0


def test_the_benchmarks_way_of_loading_gives_the_same(built, small_graph):
    inputs = np.random.default_rng(1).integers(-128, 128, (2, 192)).astype(np.int8)
    with (
        serial_boards.emulated_board(built("small", small_graph.content)) as port,
        open_link(port) as link,
    ):
        link.synchronize()
        device = link.about()
        assert device.board == F446
        assert device.keeps_image
        for image in inputs:
            link.load(image.tobytes(), device)
            assert link.infer(3, 1) > 0
            raw = link.outputs()[0]
            link.load_in_hex(image.tobytes(), device)
            link.infer()
            np.testing.assert_array_equal(link.outputs()[0], raw)
        results = link.command("results")
        with pytest.raises(LinkError, match="e-\\[Unknown command: nonsense\\]"):
            link.command("nonsense")
    zero, scale = (
        small_graph.output.quantization.zero_points[0],
        np.float32(small_graph.output.quantization.scales[0]),
    )
    real = [float(np.float32(int(q) - zero) * scale) for q in raw]
    assert results == [f"m-results-[{','.join(f'{value:.3f}' for value in real)}]"]


def test_a_cameras_rows_give_what_python_makes_of_them(built, small_graph):
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

    made = Preprocessing(8, 8)
    camera = camera_for(small_graph, "rgb565", 16, 12, made)
    options = {"camera": "rgb565", "camera_width": 16, "camera_height": 12, "preprocessing": made}
    with serial_boards.emulated_board(built("camera", small_graph.content, **options)) as port:
        done = run_port(small_graph, port, camera=camera, count=20)
        with pytest.raises(EdgeError, match="was it built with the same --camera"):
            run_port(small_graph, port, count=1)
    assert done.is_equal
    assert len({output.tobytes() for output in done.outputs}) > 1


# The client, on a board that only speaks


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("sha256", "0123", r"runs another model \(0123\.\.\., this is .*build and flash this one"),
        ("self-test", "failed", "self-test of the board on .*: failed. Flash it again"),
        ("board", "arduino-zero", "is that of the arduino-zero, not of the nucleo-f446re"),
        ("image-bytes", "9", "takes 9 bytes an image, not 192"),
    ],
)
def test_another_firmware_is_refused(small_graph, name, value, words):
    def changed(line):
        return f"m-{name}-[{value}]" if line.startswith(f"m-{name}-[") else line

    with (
        serial_boards.SpokenBoard(small_graph, change=changed) as board,
        pytest.raises(EdgeError, match=words),
    ):
        run_port(small_graph, board.port, board=find_board(F446), count=1)


def test_rows_that_are_not_kept_go_one_by_one(small_graph):
    with serial_boards.SpokenBoard(small_graph, keeps_image=False) as board:
        assert run_port(small_graph, board.port, count=2).is_equal


def test_a_wrong_output_is_seen(small_graph):
    def spoil(line):
        return "m-outputs-[0000]" if line.startswith("m-outputs") else line

    with serial_boards.SpokenBoard(small_graph, change=spoil) as board:
        done = run_port(small_graph, board.port, count=2)
    assert not done.is_equal


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: None, "Nothing on"),
        (lambda line: line if "clock" not in line else None, "does not tell of itself"),
        (lambda line: line if "lap" not in line else None, "tells no times"),
        (lambda line: line.replace("outputs-[", "outputs-[zz"), "is garbled"),
        (lambda line: line.replace("m-[Expecting", "e-[Expecting"), "answers 'db load"),
    ],
)
def test_a_board_that_answers_otherwise_is_one_line(small_graph, monkeypatch, change, words):
    monkeypatch.setattr(serial_link, "LINE_LIMIT_S", 0.5)
    with (
        serial_boards.SpokenBoard(small_graph, change=change) as board,
        pytest.raises(LinkError, match=words),
    ):
        run_port(small_graph, board.port, count=1)


# Ports


@pytest.mark.parametrize(
    ("ports", "words"),
    [
        ({}, "No serial port of the Nucleo-F446RE"),
        ({"/dev/ttyS0": ""}, "ports: /dev/ttyS0"),
        ({"A": "0483:374b", "B": "0483:374b"}, "2 serial ports of the Nucleo-F446RE"),
    ],
)
def test_a_port_that_is_not_found_is_one_line(monkeypatch, ports, words):
    monkeypatch.setattr(serial_ports, "connected_ports", lambda: ports)
    with pytest.raises(EdgeError, match=words):
        serial_ports.find_port("auto", find_board(F446))


def test_the_port_is_found_by_its_usb_ids(monkeypatch):
    ports = {"/dev/ttyS0": "", "/dev/ttyACM3": "0483:374b", "/dev/ttyUSB0": "1a86:7523"}
    monkeypatch.setattr(serial_ports, "connected_ports", lambda: ports)
    assert serial_ports.find_port("auto", find_board(F446)) == "/dev/ttyACM3"
    assert serial_ports.find_port("auto") == "/dev/ttyACM3"
