"""The report: its figures are those of the parts, and a real browser shows them."""

import dataclasses
import json
import pathlib
import re
import shutil

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge.catalog.boards import find_board
from edge.deploy.budget import budget
from edge.engine.compile import compile_engine
from edge.engine.packing import instruction_set
from edge.errors import EdgeError
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import predict_arena
from edge.reporting.figures import Absent
from edge.reporting.page import render_page
from edge.reporting.report import collect, report
from edge.reporting.training import read_training
from edge.tflite.reader import read_graph

BOARD = "nucleo-f446re"
HOSTILE_FILE = "'\"><img src=x onerror=hacked=1> $x_1$ \u202e\u00e9.tflite"
HOSTILE_NAME = "</script><script>hacked=1</script>{{ 7 * 7 }}<!--"
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


def with_names(content, name):
    """The same network under other tensor names."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for number, tensor in enumerate(model.subgraphs[0].tensors):
        tensor.name = f"{number} {name}".encode()
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def evaluation(classes):
    """What `train` writes, of classes whose names are code; the first loss was no number."""
    figures = {"precision": 0.75, "recall": 0.5, "f1": 0.6, "count": 4}
    return {
        "history": {
            "accuracy": [0.5, 0.7, 0.8],
            "val_accuracy": [0.4, 0.6, 0.75],
            "loss": [float("nan"), 0.9, 0.5],
            "val_loss": [1.5, 1.0, 0.7],
        },
        "float_epochs": 1,
        "best_epoch": 2,
        "float_test_accuracy": 0.8125,
        "test": {
            "accuracy": 0.78125,
            "chance": 0.5,
            "confusion": (3 * np.eye(classes, dtype=int) + 1).tolist(),
            "classes": [{"name": f"{n} {HOSTILE_NAME}", **figures} for n in range(classes)],
        },
        "baselines": {"logistic_regression": 0.71, "random_forest": 0.69},
    }


@pytest.fixture(scope="module")
def hostile(network, cli, tmp_path_factory):
    """A report of a model whose names are code, as a user writes it."""
    folder = tmp_path_factory.mktemp("report")
    model = folder / HOSTILE_FILE
    model.write_bytes(with_names(network("odd").content, HOSTILE_NAME))
    page, picture = folder / "report.html", folder / "report.png"
    training = folder / "model.evaluation.json"
    training.write_text(json.dumps(evaluation(read_graph(model).output.element_count)))
    arguments = ("--board", BOARD, "-o", page, "--png", picture, "--training", training)
    done = cli("report", model, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    return read_graph(model), page, picture, json.loads(done.stdout)


@pytest.fixture(scope="module")
def browser(chromium):
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which(chromium))
    )
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser, hostile):
    """Opens the page at a width; what the console said is read at the end."""

    def open_at(width, scheme="light"):
        media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        browser.get(hostile[1].as_uri())
        return browser

    yield open_at
    assert browser.get_log("browser") == []
    assert browser.execute_script("return typeof hacked") == "undefined"


def find(browser, selector):
    from selenium.webdriver.common.by import By

    return next(e for e in browser.find_elements(By.CSS_SELECTOR, selector) if e.is_displayed())


def choose(browser, view):
    from selenium.webdriver.common.keys import Keys

    # As with a keyboard: the arrows move among the choices.
    chosen = browser.execute_script(
        "const all = document.querySelectorAll('.switch input'); all[0].focus(); return all.length"
    )
    for _ in range(chosen):
        active = browser.switch_to.active_element
        if active.get_attribute("value") == view:
            return
        active.send_keys(Keys.ARROW_RIGHT)
    assert browser.switch_to.active_element.get_attribute("value") == view


@pytest.mark.parametrize("width", [1280, 400])
def test_page_opens_without_errors_and_fits_the_window(opened, hostile, width):
    browser = opened(width)
    assert hostile[1].stat().st_size < 2_000_000
    for view in ("tflm", "engine"):
        choose(browser, view)
        assert find(browser, f"#view-{view} svg").size["width"] > width / 2
        inner, needed = browser.execute_script(
            "return [innerWidth, document.documentElement.scrollWidth]"
        )
        assert inner == width
        assert needed <= inner
    cut = (
        "return [...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth)"
    )
    assert browser.execute_script(cut) == [], "a table is to be read without scrolling sideways"
    assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0


@pytest.mark.parametrize("view", ["tflm", "engine"])
def test_pointer_on_the_chart_shows_the_live_tensors(opened, hostile, view):
    from selenium.webdriver import ActionChains

    browser = opened(1280)
    choose(browser, view)
    memory = next(r.memory for r in collected(hostile) if r.id == view)
    canvas = find(browser, f"#view-{view} .canvas")
    seen = set()
    last = len(memory.moments) - 1
    for moment in (0, last // 2, last):
        middle = (memory.edges[moment] + memory.edges[moment + 1]) / 2
        offset = round((middle - 0.5) * canvas.size["width"])
        ActionChains(browser).move_to_element_with_offset(canvas, offset, 0).perform()
        shown = find(browser, f"#view-{view} .alive").text
        seen.add(shown)
        assert f"Operator {memory.moments[moment].operator}, " in shown
        for _, span in memory.alive(moment):
            assert f"{span.top - span.bottom:,} {span.bottom:,}" in " ".join(shown.split())
    assert len(seen) == 3


def test_keyboard_and_touch_do_the_same_as_the_pointer(opened, hostile):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.keys import Keys

    browser = opened(400)
    choose(browser, "engine")
    slider = find(browser, "#view-engine input[type=range]")
    at_peak = slider.get_attribute("aria-valuetext")
    assert "the peak" in at_peak
    slider.send_keys(Keys.HOME)
    first = find(browser, "#view-engine .alive").text
    assert first.startswith("Operator 0, CONV_2D, row 0")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert find(browser, "#view-engine .alive").text != first
    ActionChains(browser).click(find(browser, "#view-engine .canvas")).perform()
    assert not find(browser, "#view-engine .alive").text.startswith("Operator 0, CONV_2D, row 0")
    find(browser, "#view-engine .to-peak").click()
    assert slider.get_attribute("aria-valuetext") == at_peak


@pytest.mark.parametrize("width", [1280, 400])
def test_curves_and_confusion_matrix_are_seen(opened, hostile, width):
    browser = opened(width)
    classes = hostile[0].output.element_count
    for pane in browser.find_elements("css selector", ".pane"):
        assert pane.size["width"] > width / 4
        for line in pane.find_elements("css selector", ".curve"):
            box = line.rect
            assert box["width"] > pane.size["width"] / 4
            assert pane.rect["y"] <= box["y"] <= box["y"] + box["height"] <= pane.rect["y"] + 231
    assert find(browser, "#training").text.count("78.12") == 1
    cells = [cell.text for cell in browser.find_elements("css selector", ".matrix td")]
    assert cells == [str(n) for n in (3 * np.eye(classes, dtype=int) + 1).ravel()]
    # Below each other, and beside each other where there is room.
    matrix, figures = (find(browser, f".{name}").rect for name in ("matrix", "classes"))
    assert (figures["x"] > matrix["x"] + 50) == (width == 1280)
    assert HOSTILE_NAME.partition("/")[2] in find(browser, ".classes").text


def test_evaluation_of_another_model_or_of_nothing_is_refused(network, tmp_path):
    graph = network("odd")
    path = tmp_path / "model.evaluation.json"
    path.write_text(json.dumps(evaluation(graph.output.element_count + 1)))
    with pytest.raises(EdgeError, match="outputs: give what train wrote beside this model"):
        collect(graph, BOARD, training=path)
    good = evaluation(2)
    for wrong in (
        *("", "[]", "1", "nothing", "[" * 10_000),
        json.dumps(good | {"best_epoch": 3}),
        json.dumps(good | {"history": {}}),
        json.dumps(good | {"test": good["test"] | {"confusion": [[1]]}}),
    ):
        path.write_text(wrong)
        with pytest.raises(EdgeError, match="is no evaluation of a training"):
            read_training(path)


def test_page_is_dark_where_the_user_prefers_it(opened):
    color = "return getComputedStyle(document.body).backgroundColor"
    light, dark = (
        [int(n) for n in re.findall(r"\d+", opened(1280, scheme).execute_script(color))[:3]]
        for scheme in ("light", "dark")
    )
    assert min(light) > 230
    assert max(dark) < 40


def test_hostile_names_are_shown_as_text(opened, hostile):
    browser = opened(1280)
    assert find(browser, "h1").text == HOSTILE_FILE
    assert HOSTILE_NAME.partition("/")[2] in find(browser, "#view-tflm .alive").text
    count = "return document.querySelectorAll(arguments[0]).length"
    assert browser.execute_script(count, "script") == 2
    assert browser.execute_script(count, "img") == 0
    assert HOSTILE_NAME not in hostile[1].read_text("utf-8")


def collected(hostile):
    return collect(hostile[0], BOARD).runtimes


def test_figures_of_the_report_are_those_of_its_parts(arm_compiler, qemu, hostile):
    graph, page, _, figures = hostile
    board = find_board(BOARD)
    planned = planned_model(graph).graph
    engine = compile_engine(graph, instruction_set(board))
    peaks = [runtime["peak_bytes"] for runtime in figures["runtimes"]]
    assert peaks[0] == predict_arena(graph).head_bytes
    if planned is not graph:
        assert peaks[1] == predict_arena(planned).head_bytes
    assert engine.plan.memory_bytes - 16 < peaks[-1] <= engine.plan.memory_bytes
    flash, ram = figures["runtimes"][0]["banks"]
    assert flash["used_bytes"] == budget(graph, board).flash_bytes
    assert ram["used_bytes"] == budget(graph, board).ram_bytes
    layers = figures["layers"]
    assert sum(layer["macs"] for layer in layers) == graph.total_macs()
    counted = figures["instructions"]
    total = sum(layer["instructions"] or 0 for layer in layers) + counted["input_rows"]
    assert total + counted["residual"] == counted["inference"]
    text = page.read_text("utf-8")
    for layer in layers:
        if layer["instructions"]:
            assert f">{layer['instructions']:,}</td>" in text


def test_budget_of_the_engine_is_that_of_a_build(arm_compiler, hostile, tmp_path):
    from edge.deploy.build import build

    built = build(hostile[0], BOARD, tmp_path)
    flash, ram = hostile[3]["runtimes"][-1]["banks"]
    assert flash["used_bytes"] == built.flash_bytes
    assert ram["used_bytes"] == built.ram_bytes


def test_picture_is_a_png_with_content(hostile):
    from PIL import Image

    with Image.open(hostile[2]) as picture:
        assert picture.format == "PNG"
        assert picture.width > 1000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_report_without_a_compiler_says_so_and_invents_nothing(network, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = collect(network("odd"), BOARD)
    assert isinstance(found.profile, Absent)
    assert all(layer.instructions is None for layer in found.layers)
    assert isinstance(found.cycles, Absent)
    assert all(layer.low_cycles is layer.high_cycles is None for layer in found.layers)
    engine = found.runtimes[-1]
    assert [item.what for item in engine.banks[0].items] == ["weights"]
    page = render_page(found)
    assert page.count("not counted") == len(found.layers) + 2
    assert "is not installed (Debian: apt install" in page
    assert "kernels, schedule, start-up, main" not in page


def test_cycles_are_estimated_layer_by_layer_and_said_to_be(arm_compiler, qemu, network):
    found = collect(network("odd"), BOARD)
    parts = [layer for layer in found.layers if layer.low_cycles is not None]
    for side in ("low", "high"):
        cycles = sum(getattr(layer, f"{side}_cycles") for layer in parts)
        assert cycles + getattr(found.cycles.input, side) == getattr(found.cycles.total, side)
    page = render_page(found)
    assert found.cycles.sentence() in page
    assert f"to {parts[0].high_cycles:,}<" in page
    without = dataclasses.replace(found, cycles=Absent("There is no trace."))
    assert "Cycles were not estimated. There is no trace." in render_page(without)


def test_core_without_a_qemu_machine_has_no_instructions(arm_compiler, network):
    board = dataclasses.replace(find_board("arduino-zero"), core="cortex-m23")
    found = collect(network("odd"), board)
    assert "no board with a cortex-m23" in found.profile.reason
    assert [use.memory for use in found.runtimes[-1].banks] == ["flash", "RAM"]


def test_model_that_does_not_fit_is_shown_with_the_excess(network, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = collect(network("alpha0.25-64"), "arduino-zero")
    page = render_page(found)
    over = max(use.over_bytes for use in found.runtimes[0].banks)
    assert over > 0
    assert f"over by at most {over:,}" in page
    assert len(page.encode()) < 2_000_000
    assert render_page(found) == page


def test_accuracy_is_that_of_the_held_out_images(trained, trained_tflite, digits, monkeypatch):
    from edge.deploy.verify import quantize_inputs
    from edge.runtimes.interpreters import run_litert

    monkeypatch.setenv("PATH", "")
    found = collect(trained_tflite, BOARD, float_model=trained.model, data=digits)
    graph = read_graph(trained_tflite)
    outputs = run_litert(graph, quantize_inputs(graph, digits.test_inputs()))
    assert found.accuracy.int8 == np.mean(outputs.argmax(axis=1) == digits.test_labels)
    scores = trained.model.predict(digits.test_inputs(), verbose=0)
    assert found.accuracy.float == np.mean(scores.argmax(axis=1) == digits.test_labels)
    page = render_page(found)
    assert f"Of {len(digits.test_labels)} held-out images" in page
    confusion = np.array(found.accuracy.answers.confusion)
    assert np.trace(confusion) == round(found.accuracy.int8 * confusion.sum())
    assert 'class="matrix"' in page
    assert [e.operator for e in found.comparison.layers] == sorted(
        e.operator for e in found.comparison.layers
    )
    for error in found.comparison.layers:
        assert f"{error.own_sqnr_db:.1f}" in page


def test_images_of_another_model_are_refused(network, trained_tflite, digits):
    with pytest.raises(EdgeError, match="The images are"):
        collect(network("odd"), BOARD, data=digits)
    few = dataclasses.replace(digits, class_names=("0", "1"))
    with pytest.raises(EdgeError, match="2 classes, the model has 10 outputs"):
        collect(trained_tflite, BOARD, data=few)


def test_failure_leaves_the_earlier_report(network, cli, assert_refused, tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    page.write_text("before")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EdgeError, match="format"):
        report(network("odd"), BOARD, page, picture=tmp_path / "report.nothing")
    assert page.read_text() == "before"
    assert_refused(cli("report", tmp_path / "none.tflite", "-o", page), "Cannot read")
    assert_refused(
        cli("report", tmp_path / "none.tflite", "-o", pathlib.Path("/proc/x/r.html")),
        "Cannot write to /proc/x",
    )
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_page_says_what_takes_the_firmwares_bytes(arm_compiler, kws):
    found = collect(kws, BOARD)
    engine = found.runtimes[-1]
    flash, _ = engine.banks
    sections = {section.name: section for section in engine.sections}
    assert sections[".text"].bytes + sections[".data"].bytes == flash.bytes
    page = render_page(found)
    largest = sections[".text"].symbols[0]
    assert f'<td>{largest.name}</td><td class="n">{largest.bytes:,}</td>' in page
    assert f"<b>{sections['.bss'].bytes:,}</b>" in page
