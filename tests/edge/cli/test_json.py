"""Every key of every command's --json: scripts depend on them."""

import ast
import dataclasses
import json
import pathlib
import types

import numpy as np
import pytest

from edge.catalog.boards import Led, Port, find_board
from edge.cli import json as cli_json
from edge.cli import json_demo
from edge.cli.training_output import training_files
from edge.debugger.result import Comparison, LayerError
from edge.deploy.budget import Variant, budget
from edge.deploy.build import Build
from edge.deploy.export import export
from edge.deploy.latency import Latency
from edge.deploy.run import Run
from edge.deploy.run_all import WholeRun
from edge.deploy.run_port import PortRun
from edge.deploy.verify import Verification
from edge.deploy.verify_engine import EngineVerification, Runner
from edge.emit.camera.render import Camera
from edge.emit.packages.names import package_name
from edge.engine.compile import compile_engine
from edge.firmware.build import Firmware
from edge.firmware.cycles import Cost, Cycles
from edge.firmware.serial_link import Device
from edge.firmware.sizes import SectionSize, SymbolSize
from edge.memory.offline_plan import planned_model
from edge.memory.timeline import memory_timeline
from edge.search.costs import Costs
from edge.search.design import mobilenet_v1
from edge.search.result import SearchResult, Trial
from edge.tflite.reader import read_graph
from keras_mobilenet.training.baselines import Baselines
from keras_mobilenet.training.evaluation import evaluate

CLI = pathlib.Path(cli_json.__file__).parent

BUDGET = """
board fits arena_bytes arena_is_exact flash_bytes flash_over_bytes ram_bytes ram_over_bytes
items[].memory items[].what items[].bytes items[].basis
banks[].memory banks[].name banks[].bytes banks[].used_bytes banks[].items[]
unmeasured_operators[] doubt
"""
CAMERA = """
camera.format camera.width camera.height camera.state_bytes camera.row_bytes camera.tables_bytes
"""
CYCLES = "board clock_hz low high low_ms high_ms flash_wait_cycles flash_wait_ms"
SEARCH_COSTS = "macs flash_bytes ram_bytes ms fits"
LATENCY = "estimated_ms.low estimated_ms.high estimated_ms.flash_wait not_estimated"
CLASS = "name precision recall f1 count"
TENSOR = "name shape[] dtype bytes scale zero_point"
LAYER_ERROR = """
operator opcode name keras_layer sqnr_db saturation_rate range_use own_sqnr_db cause
"""


def below(prefix, keys):
    return " ".join(f"{prefix}.{key}" for key in keys.split())


COMPARISON = f"""
{below("layers[]", LAYER_ERROR)} {below("input", LAYER_ERROR)}
output_agreement advice[] unmatched[] input_count is_random reference worst
"""
KEYS = {
    "boards": """
        [].id [].name [].vendor [].mcu [].core [].fpu [].dsp [].mve [].clock_hz [].aliases[]
        [].flash[].name [].flash[].address [].flash[].bytes
        [].ram[].name [].ram[].address [].ram[].bytes
        [].flash_method [].flash_target [].uf2_family [].boot_block[] [].qemu_machine
        [].sources.flash [].flash_wait_states [].flash_line_bytes
        [].flash_bytes [].ram_bytes [].is_at_full_clock [].chip [].led
        [].uart [].uart.name [].uart.tx [].uart.rx [].uart.bridge [].uart.usb_ids[]
    """,
    "export": f"{BUDGET} runtime shape name folder files[] sha256 {CAMERA}",
    "export --runtime engine": """
        runtime shape name folder files[] sha256
        kernels.portable.weights_bytes kernels.portable.state_bytes
        kernels.dsp.weights_bytes kernels.dsp.state_bytes
        kernels.mve.weights_bytes kernels.mve.state_bytes
    """,
    "export too large": f"""
        {BUDGET} variants[].alpha_factor variants[].rho variants[].input_shape[]
        variants[].flash_bytes variants[].ram_bytes
    """,
    "build": f"""
        board folder flash_bytes weights_bytes code_bytes state_bytes ram_bytes sha256 {CAMERA}
        sections[].name sections[].bytes sections[].symbols[].name sections[].symbols[].bytes
    """,
    "run": f"""
        board core input_count equal_count max_difference instructions ram_bytes code_bytes
        images[] {below("estimated_cycles", CYCLES)}
    """,
    "run --port": """
        board clock_hz port input_count equal_count correct_count median_cycles milliseconds
    """,
    "verify": "input_count equal_count max_difference",
    "verify --engine": """
        [].name [].equal_count [].max_difference [].instructions [].ram_bytes [].code_bytes
    """,
    "compare": COMPARISON,
    "inspect": f"""
        model_bytes sha256 macs has_offline_plan {below("input", TENSOR)} {below("output", TENSOR)}
        input.file_dtype output.file_dtype
        operators[].index operators[].opcode operators[].macs {below("operators[].output", TENSOR)}
        memory.peak_bytes memory.peak_operator
        memory.peak_tensors[].tensor memory.peak_tensors[].bytes memory.peak_tensors[].offset
        memory.moments[].operator memory.moments[].alive_bytes memory.moments[].top_bytes
    """,
    "fit": f"{BUDGET} {LATENCY}",
    "fit too large": f"""
        {BUDGET} variants[].alpha_factor variants[].rho variants[].input_shape[]
        variants[].flash_bytes variants[].ram_bytes estimated_ms not_estimated
    """,
    "plan": "greedy_bytes planned_bytes lower_bound_bytes is_optimal verified_inputs",
    "stream": """
        memory_bytes state_bytes weights_bytes macs model_macs
        segments[].layers[] segments[].workspace_bytes segments[].copied_bytes
    """,
    "report": f"""
        board sha256 file
        runtimes[].name runtimes[].peak_bytes
        runtimes[].banks[].memory runtimes[].banks[].name runtimes[].banks[].bytes
        runtimes[].banks[].used_bytes
        layers[].operator layers[].opcode layers[].name layers[].shape[] layers[].macs
        layers[].weights_bytes layers[].engine_macs layers[].engine_weights_bytes
        layers[].instructions layers[].low_cycles layers[].high_cycles
        {below("estimated_cycles", CYCLES)}
        instructions.board instructions.inference instructions.input_rows instructions.residual
        accuracy.image_count accuracy.int8 accuracy.float
        {below("comparison", COMPARISON)}
    """,
    "run_all": "folder done_before[] steps.train.test_accuracy steps.train.sentence",
    "train": f"""
        {below("files", "model labels history curves confusion evaluation")}
        float_validation_accuracy float_test_accuracy validation_accuracy
        {below("test", "accuracy chance image_count confusion[][]")}
        {below("test.classes[]", CLASS)}
        {below("test.threshold", "score int8 accuracy")}
        {below("test.threshold.positive", CLASS)}
        {below("baselines", "logistic_regression random_forest image_count")} doubts[]
        float_epochs best_epoch {below("history", "accuracy[] val_accuracy[]")}
    """,
    "search": f"""
        name runtime int8_accuracy validation_accuracy image_count equal_count input_count folder
        design.side design.channels design.classes design.stem[] design.stages[][]
        design.is_residual design.weight_bits design.sparsity design.alpha
        {below("costs", SEARCH_COSTS)}
        trials[].name trials[].network trials[].state trials[].accuracy trials[].epochs
        trials[].front {below("trials[].costs", SEARCH_COSTS)} {LATENCY}
    """,
    "demo": f"""
        source missing float_accuracy qat_accuracy int8_accuracy equal_count input_count
        {below("baselines", "logistic_regression random_forest image_count")}
        {below("budget", BUDGET)}
        {below("engine", "accuracy equal_count instructions low_ms high_ms ram_bytes flash_bytes")}
    """,
}


def paths(value, prefix=""):
    """Every key in JSON, with its way down; all elements of a list count."""
    if isinstance(value, dict) and value:
        for key, below in value.items():
            yield from paths(below, f"{prefix}.{key}" if prefix else key)
    elif isinstance(value, list):
        found = [path for element in value for path in paths(element, f"{prefix}[]")]
        yield from found or [f"{prefix}[]"]
    else:
        yield prefix


def layer(operator):
    return LayerError(
        operator=operator,
        opcode="CONV_2D",
        name="conv",
        keras_layer="conv",
        sqnr_db=40.0,
        saturation_rate=0.0,
        range_use=0.9,
        own_sqnr_db=float("inf"),
        cause="output",
    )


@pytest.fixture(scope="module")
def printed(tmp_path_factory, kws):
    """What each command would print, of real results where they cost little."""
    graph, board, folder = read_graph(kws), find_board("nucleo-f446re"), pathlib.Path("firmware")
    tmp_path = tmp_path_factory.mktemp("json")
    use, engine = budget(graph, board), compile_engine(graph)
    camera = types.SimpleNamespace(
        camera_format="rgb565",
        **dict.fromkeys(("width", "height", "state_bytes", "row_bytes", "tables_bytes"), 1),
    )
    port = Port("USART2", "PA2", "PA3", "ST-LINK", ("0483:374b",), {})
    full = dataclasses.replace(
        board, boot_block=(1,), port=port, led=Led("LD2", {}), sources={"flash": "a manual"}
    )
    assert all(hasattr(Camera, name) or name in Camera.__annotations__ for name in vars(camera))
    proof = Verification(
        input_count=1,
        equal_count=1,
        max_difference=0,
        outputs=np.zeros((1, 2), np.int8),
        host_arena_bytes=1,
    )
    comparison = Comparison(
        layers=(layer(0),),
        output_agreement=1.0,
        advice=(),
        input=layer(-1),
        unmatched=(),
        input_count=1,
        is_random=False,
        reference="float model 'net'",
    )
    firmware = Firmware(
        elf=folder / "firmware.elf",
        flash_bytes=3000,
        weights_bytes=1408,
        static_ram_bytes=600,
        sections=(SectionSize(".text", 3000, (SymbolSize("main", 3000),)),),
    )
    built = Build(
        graph=graph,
        board=board,
        engine=engine,
        firmware=firmware,
        folder=folder,
        name=package_name("net"),
        camera=camera,
    )
    outputs = np.zeros((1, 2), np.int8)
    ran = Run(
        board=board,
        outputs=outputs,
        expected=outputs,
        instructions=1,
        ram_bytes=1,
        code_bytes=1,
        cycles=Cycles(board, (), Cost(1, 1, 2, 1)),
    )
    device = Device(
        sha256="",
        board=board.id,
        clock_hz=1,
        image_bytes=192,
        part_bytes=24,
        input_flip=0,
        keeps_image=True,
        self_test="passed",
    )
    on_port = PortRun(
        port="port",
        device=device,
        outputs=outputs,
        expected=outputs,
        cycles=np.ones(1),
        labels=np.zeros(1),
    )
    exported = export(graph, board.id, tmp_path / "tflm")
    library = export(graph, None, tmp_path / "net", runtime="engine", shape="zephyr", name="net")
    outcome = types.SimpleNamespace(
        float_accuracy=1.0,
        qat_accuracy=1.0,
        int8_accuracy=1.0,
        verification=proof,
        export=exported,
        source="digits",
        simple=Baselines(logistic_regression=0.9, random_forest=0.9, image_count=8),
        on_board=types.SimpleNamespace(built=built, cycles=ran.cycles),
        board_accuracy=1.0,
        equal_on_board=1,
        missing="",
    )
    tried = Trial(
        mobilenet_v1(0.25, 48, 1, 10), Costs(1, 1, 1, 1.0, True), "complete", accuracy=0.9, epochs=1
    )
    searched = SearchResult(
        runtime="engine",
        best=tried,
        trials=(tried,),
        int8_accuracy=0.9,
        image_count=1,
        equal_count=1,
        input_count=1,
        proof="",
        images=(),
        graph=graph,
        folder=folder,
    )
    variant = Variant(0.5, 0.5, (4, 4, 3), 1, 1)
    values = {
        "boards": [
            cli_json.board_json(each) for each in (full, dataclasses.replace(full, port=None))
        ],
        "export": cli_json.export_json(dataclasses.replace(exported, camera=camera)),
        "export --runtime engine": cli_json.export_json(library),
        "export too large": cli_json.budget_json(use, [variant]),
        "build": cli_json.build_json(built),
        "run": cli_json.run_json(ran),
        "run --port": cli_json.run_port_json(on_port),
        "verify": cli_json.verify_json(proof),
        "verify --engine": cli_json.verify_engine_json(
            EngineVerification(1, (Runner("engine", 1, 0),))
        ),
        "compare": cli_json.comparison_json(comparison),
        "inspect": cli_json.inspect_json(graph, memory_timeline(graph)),
        "fit": cli_json.budget_json(use, latency=Latency(board, ran.cycles)),
        "fit too large": cli_json.budget_json(use, [variant], Latency(board, None, "It is large.")),
        "plan": cli_json.plan_json(planned_model(graph), None),
        "stream": cli_json.stream_json(graph, engine),
        "report": cli_json.report_json(report_of(graph, board, use, comparison), folder),
        "run_all": cli_json.whole_run_json(
            WholeRun(folder, {"train": {"test_accuracy": 1.0, "sentence": "All."}}, ("train",))
        ),
        "train": cli_json.train_json(
            trained_outcome(), Baselines(0.5, 0.5, 1), ["It is at chance."], training_files(folder)
        ),
        "search": cli_json.search_json(searched, Latency(board, ran.cycles)),
        "demo": json_demo.demo_json(outcome),
    }
    return {name: json.loads(json.dumps(value)) for name, value in values.items()}


def trained_outcome():
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    return types.SimpleNamespace(
        history={"accuracy": [0.5, 1.0], "val_accuracy": [0.5, 1.0]},
        float_epochs=1,
        best_epoch=1,
        float_validation_accuracy=1.0,
        float_test_accuracy=1.0,
        validation_accuracy=1.0,
        evaluation=evaluate(scores, np.array([0, 1]), ("no", "yes"), least_byte=0),
    )


def report_of(graph, board, use, comparison):
    from edge.reporting.figures import Accuracy, Answers

    profile = types.SimpleNamespace(board=board, instructions=10, input_instructions=1, residual=0)
    names = ("operator", "opcode", "name", "shape", "macs", "weights_bytes")
    names += ("engine_macs", "engine_weights_bytes", "instructions", "low_cycles", "high_cycles")
    cost = types.SimpleNamespace(**dict.fromkeys(names, 1) | {"shape": (1, 2)})
    memory = types.SimpleNamespace(peak_bytes=256)
    runtime = types.SimpleNamespace(name="TFLite Micro", memory=memory, banks=use.bank_uses())
    return types.SimpleNamespace(
        board=board,
        graph=graph,
        runtimes=(runtime,),
        layers=(cost,),
        profile=profile,
        cycles=Cycles(board, (), Cost(1, 1, 2, 1)),
        accuracy=Accuracy(1, 1.0, None, Answers((), ())),
        comparison=comparison,
    )


@pytest.mark.parametrize("command", KEYS)
def test_a_commands_keys_are_these(printed, command):
    assert sorted(set(paths(printed[command]))) == sorted(KEYS[command].split())


def test_every_command_that_prints_json_is_listed():
    commands = {name.split()[0] for name in KEYS}
    found = {path.stem for path in CLI.glob("*.py") if "JsonOption = False" in path.read_text()}
    assert commands == found


def test_no_command_writes_a_key_of_its_own():
    """Whatever is printed as JSON comes from `edge/cli/json.py`, or `json_demo.py`."""
    for path in CLI.glob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        assigned = {
            ast.unparse(node.targets[0]): node.value
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) != "print_json":
                continue
            (value,) = node.args
            made = value.elt if isinstance(value, ast.ListComp) else value
            made = assigned.get(ast.unparse(made), made)
            assert ast.unparse(made).startswith(("json.", "json_demo.")), (
                f"{path.name}: {ast.unparse(node)}"
            )
