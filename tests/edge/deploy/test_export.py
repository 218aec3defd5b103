"""Sources are written whole, for a model that fits, or not at all."""

import pytest

import edge
from edge.errors import DoesNotFitError, EdgeError, ModelError
from edge.system.files import write_files


def test_writes_the_sources_of_a_model_of_another_maker(vww, tmp_path):
    written = edge.export(vww, "nucleo-f446re", tmp_path / "firmware")
    assert sorted(path.name for path in (tmp_path / "firmware").iterdir()) == sorted(written.files)
    header = (tmp_path / "firmware" / "vww_96_int8_data.h").read_text()
    assert written.graph.sha256 in header
    assert f"kModelDataLength = {written.graph.model_bytes}U" in header
    assert "kInputZeroPoint = -128" in header
    settings = (tmp_path / "firmware" / "vww_96_int8_settings.h").read_text()
    assert "kTensorArenaSize = 82288U" in settings
    assert "kInputShape[kInputRank] = {1, 96, 96, 3}" in settings


def test_the_array_holds_the_model_and_its_scales(vww, tmp_path):
    import re

    import numpy as np

    written = edge.export(vww, "nucleo-f446re", tmp_path, offline_plan=False)
    text = (tmp_path / "vww_96_int8_data.cc").read_text()
    emitted = bytes(int(byte, 16) for byte in re.findall(r"0x([0-9a-f]{2}),", text))
    assert emitted == vww.read_bytes()
    scale = re.search(r"kInputScale = (\S+)F;", (tmp_path / "vww_96_int8_data.h").read_text())
    assert np.float32(scale[1]) == np.float32(written.graph.input.quantization.scales[0])


def test_a_smaller_plan_is_the_default_and_can_be_left_out(vww, tmp_path):
    planned = edge.export(vww, "nucleo-f446re", tmp_path)
    plain = edge.export(vww, "nucleo-f446re", tmp_path, offline_plan=False)
    assert plain.graph.content == vww.read_bytes()
    assert (plain.budget.arena.bytes, planned.budget.arena.bytes) == (100_720, 82_288)


def test_a_plan_for_the_reference_kernels_says_so_in_the_sources(vww, tmp_path):
    from edge.memory.offline_plan import planned_model
    from edge.tflite.reader import read_graph

    overlapping = planned_model(read_graph(vww), may_overlap=True).graph
    edge.export(overlapping.content, "nucleo-f446re", tmp_path)
    settings = (tmp_path / "model_settings.h").read_text()
    assert "link TFLite Micro's reference kernels" in settings
    assert "kTensorArenaSize = 63840U" in settings


def test_registers_the_operators_of_the_model_and_no_others(vww, tmp_path):
    edge.export(vww, "nucleo-f446re", tmp_path)
    resolver = (tmp_path / "vww_96_int8_op_resolver.h").read_text()
    assert "MicroMutableOpResolver<6>" in resolver
    assert resolver.count("resolver.Add") == 6


def test_writes_the_sources_of_a_keras_model(trained, digits, tmp_path):
    written = edge.export(
        trained.model, "nucleo-f446re", tmp_path, name="digits", labels=digits.class_names
    )
    assert written.budget.fits
    assert '"7",' in (tmp_path / "digits_settings.h").read_text()


def test_labels_are_c_literals_whatever_they_hold(trained_tflite, tmp_path):
    labels = ['say "hi"', "Grüße", "back\\slash", "what??!", *"abcdef"]
    edge.export(trained_tflite, "nucleo-f446re", tmp_path, labels=labels)
    text = (tmp_path / "model_settings.h").read_text()
    assert '"say \\042hi\\042",' in text
    assert '"Gr\\303\\274\\303\\237e",' in text


def test_labels_must_be_as_many_as_the_outputs(vww, tmp_path):
    with pytest.raises(ModelError, match="3 labels for a model with 2 outputs"):
        edge.export(vww, "nucleo-f446re", tmp_path / "out", labels=["a", "b", "c"])
    assert not (tmp_path / "out").exists()


def test_a_misfit_leaves_no_trace(vww, tmp_path):
    with pytest.raises(DoesNotFitError):
        edge.export(vww, "arduino-zero", tmp_path / "firmware")
    assert not (tmp_path / "firmware").exists()


def test_a_failed_export_leaves_earlier_output_as_it_was(vww, tmp_path):
    edge.export(vww, "nucleo-f446re", tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(EdgeError):
        edge.export(vww.read_bytes()[:1000], "nucleo-f446re", tmp_path)
    with pytest.raises(DoesNotFitError):
        edge.export(vww, "arduino-zero", tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_other_files_in_the_folder_stay(vww, tmp_path):
    (tmp_path / "main.cc").write_text("int main() {}")
    edge.export(vww, "nucleo-f446re", tmp_path)
    assert (tmp_path / "main.cc").read_text() == "int main() {}"


def test_a_write_that_fails_half_way_replaces_nothing(tmp_path):
    (tmp_path / "a.h").write_bytes(b"old")
    (tmp_path / "b.h").mkdir()
    with pytest.raises(EdgeError, match=r"Cannot write to .*: b\.h is a folder there"):
        write_files(tmp_path, {"new/a.h": b"", "a.h": b"new", "b.h": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h", "b.h"]
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(EdgeError, match="Cannot write to"):
        write_files(tmp_path, {"a.h": b"new", "new/b.h": b"", "taken/c.h": b""})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h", "b.h", "taken"]
    assert (tmp_path / "a.h").read_bytes() == b"old"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(EdgeError, match=r"Cannot write to .*taken"):
        write_files(tmp_path / "taken", {"a.h": b""})


# Runtimes and shapes


def test_the_engines_sources_hold_the_kernels_of_all_cores(random_graph, tmp_path):
    graph = random_graph(7)
    written = edge.export(graph, None, tmp_path, runtime="engine", shape="arduino", name="a net")
    assert (written.runtime, written.shape, written.board) == ("engine", "arduino", None)
    assert list(written.engines) == ["mve", "dsp", "portable"]
    assert (written.budget, written.camera) == (None, None)
    assert written.name.camel == "ANet"
    assert sorted(written.files) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()
    )


@pytest.mark.parametrize(
    ("board", "kernels"),
    [("arduino-zero", "portable"), ("nucleo-f446re", "dsp"), ("mps3-an547", "mve")],
)
def test_the_engines_sources_for_a_board_hold_its_kernels_only(
    random_graph, tmp_path, board, kernels
):
    written = edge.export(random_graph(7), board, tmp_path, runtime="engine")
    assert list(written.engines) == [kernels]
    assert written.board.id == board
    assert {path.name for path in (tmp_path / "src").iterdir()} >= {"model.c", "model_weights.c"}
    text = (tmp_path / "README.md").read_text()
    assert f"| {kernels} |" in text
    assert "three kinds of kernels" not in text
    assert "chooses" not in text


@pytest.mark.parametrize(("given", "name"), [(None, "vww_96_int8"), ("Person!", "person")])
def test_tflite_micros_sources_for_cmake_bear_the_models_name(vww, tmp_path, given, name):
    written = edge.export(vww, None, tmp_path, name=given)
    assert {f"{name}.h", f"{name}.cc", f"{name}_data.cc"} < set(written.files)
    assert f"{name}_status {name}_init(void);" in (tmp_path / f"{name}.h").read_text()
    assert f"project({name}_inference" in (tmp_path / "CMakeLists.txt").read_text()


def test_a_board_may_be_named_or_given(vww, tmp_path):
    from edge.catalog.boards import find_board

    board = find_board("nucleo-f446re")
    assert edge.export(vww, board, tmp_path).board is board
    assert edge.export(vww, None, tmp_path).board.id == board.id


def test_folders_have_the_names_that_ecosystems_expect(random_graph, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"runtime": "engine", "name": "person detector"}
    for shape in ("arduino", "esp-idf", "zephyr", "platformio", "cmake"):
        camel = shape in ("arduino", "platformio")
        folder = edge.export(random_graph(7), shape=shape, **options).folder
        assert folder.name == ("PersonDetector" if camel else "person_detector")
    assert edge.export(random_graph(7), shape="zephyr", name="net").folder.name == "net"
    assert edge.export(random_graph(7)).folder.name == "firmware"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"runtime": "onnx"}, "Unknown runtime 'onnx'; there are tflm and engine"),
        ({"shape": "makefile"}, "there are arduino, esp-idf, zephyr, platformio, cmake"),
        ({"shape": "stm32cube"}, "takes the package of `cmake`"),
        ({"name": "数字"}, "no letter from A to Z"),
        ({"shape": "zephyr", "name": "数字"}, "no letter from A to Z"),
        ({"runtime": "engine", "labels": ["a", "b"]}, "take no labels: leave it out"),
        ({"runtime": "engine", "offline_plan": False}, "take no offline_plan"),
        (
            {"runtime": "engine", "camera": "rgb565", "camera_width": 96, "camera_height": 96},
            "take no camera and no camera_width and no camera_height",
        ),
        (
            {"runtime": "engine", "shape": "esp-idf", "board": "nucleo-f446re"},
            "runs dsp kernels, which esp-idf does not take: leave out the board",
        ),
    ],
)
def test_options_that_do_not_go_together_are_refused_in_one_line(vww, tmp_path, options, words):
    with pytest.raises(EdgeError, match=words) as error:
        edge.export(vww, out_dir=tmp_path / "out", **options)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()
