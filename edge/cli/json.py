"""What every command prints with --json: all the keys are in this file.

`tests/edge/cli/test_json.py` lists them, command by command: scripts depend on them.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from edge.cli.json_boards import board_json as board_json
from edge.cli.json_boards import fields as _fields
from edge.cli.json_boards import run_port_json as run_port_json
from edge.cli.json_costs import cycles_json, latency_json, profile_json
from edge.cli.json_search import search_json as search_json
from edge.cli.json_training import train_json as train_json
from edge.cli.json_whole_run import whole_run_json as whole_run_json

if TYPE_CHECKING:
    from edge.debugger.result import Comparison, LayerError
    from edge.deploy.budget import BankUse, Budget, Variant
    from edge.deploy.build import Build
    from edge.deploy.export import Export
    from edge.deploy.latency import Latency
    from edge.deploy.run import Run
    from edge.deploy.verify import Verification
    from edge.deploy.verify_engine import EngineVerification
    from edge.emit.camera.render import Camera
    from edge.engine.compile import Engine
    from edge.firmware.machine.image_run import ImageRun
    from edge.memory.offline_plan import PlannedModel
    from edge.memory.timeline import Timeline
    from edge.reporting.figures import Absent, Report
    from edge.tflite.graph import Graph

Part = TypeVar("Part")


def budget_json(
    use: Budget, variants: Sequence[Variant] | None = None, latency: Latency | None = None
) -> dict[str, Any]:
    """What a model takes of a board's memory, as `fit` prints it.

    Args:
        use: The budget.
        variants: Narrower and smaller versions of the network that fit, if the model does not.
        latency: What one inference of the engine takes, where that is asked.

    Returns:
        Totals, items, banks, what makes a refusal doubtful, and the variants if there are any.
    """
    result = {
        "board": use.board.id,
        "arena_bytes": use.arena.bytes,
        "arena_is_exact": use.arena.is_exact,
        "items": [_fields(item, "memory what bytes basis") for item in use.items],
        "banks": [
            _bank_use_json(bank) | {"items": [item.what for item in bank.items]}
            for bank in use.bank_uses()
        ],
    }
    totals = "fits flash_bytes flash_over_bytes ram_bytes ram_over_bytes unmeasured_operators"
    result |= _fields(use, totals) | {"doubt": use.doubt()}
    if variants is not None:
        names = "alpha_factor rho input_shape flash_bytes ram_bytes"
        result["variants"] = [_fields(variant, names) for variant in variants]
    return result | ({} if latency is None else latency_json(latency))


def _bank_use_json(use: BankUse) -> dict[str, Any]:
    return _fields(use.bank, "name bytes") | {"memory": use.memory, "used_bytes": use.bytes}


def export_json(written: Export) -> dict[str, Any]:
    """What `export` prints.

    Args:
        written: The sources for TFLite Micro, or of the engine.

    Returns:
        The folder and its files; the budget for TFLite Micro, what the kernels of each instruction
        set take for the engine; the camera if there is one.
    """
    result = {} if written.budget is None else budget_json(written.budget)
    result |= {
        **_fields(written, "runtime shape"),
        "name": written.name.camel,
        "folder": str(written.folder),
        "files": list(written.files),
        "sha256": written.graph.file_sha256,
    }
    if written.engines:
        result["kernels"] = {
            name: _fields(engine, "weights_bytes state_bytes")
            for name, engine in written.engines.items()
        }
    return result | _camera_json(written.camera)


def _camera_json(camera: Camera | None) -> dict[str, Any]:
    if camera is None:
        return {}
    figures = _fields(camera, "width height state_bytes row_bytes tables_bytes")
    return {"camera": {"format": camera.camera_format} | figures}


def build_json(built: Build) -> dict[str, Any]:
    """What `build` prints.

    Args:
        built: The firmware.

    Returns:
        Flash and RAM in bytes, and the model's hash; the camera if there is one.
    """
    return {
        "board": built.board.id,
        "folder": str(built.folder),
        "sha256": built.graph.file_sha256,
        "state_bytes": built.engine.state_bytes,
        **_fields(built, "flash_bytes ram_bytes"),
        **_fields(built.firmware, "weights_bytes code_bytes"),
        "sections": [dataclasses.asdict(section) for section in built.firmware.sections],
        **_camera_json(built.camera),
    }


def run_json(done: Run) -> dict[str, Any]:
    """What `run` prints.

    Args:
        done: A run on an emulated board.

    Returns:
        How many outputs are LiteRT's, instructions, estimated cycles, RAM and code, and what the
        board's own image did.
    """
    figures = "input_count equal_count max_difference instructions ram_bytes code_bytes"
    ran_on = {"board": done.board.id, "core": done.board.core}
    own = {"estimated_cycles": cycles_json(done.cycles), "images": [*map(image_json, done.images)]}
    return ran_on | _fields(done, figures) | own


def image_json(image: ImageRun) -> dict[str, Any]:
    """What the very image of a board did.

    Args:
        image: Its run on an emulator.

    Returns:
        The emulator, the way into the image, its text, its result, its clock and what a manual
        forbids.
    """
    forbidden = [violation.sentence() for violation in image.violations]
    return _fields(image, "emulator way text outcome core_hz") | {"violations": forbidden}


def verify_json(proof: Verification) -> dict[str, Any]:
    """What `verify` prints.

    Args:
        proof: The outcome of LiteRT beside TFLite Micro.

    Returns:
        How many inputs agree, and the largest difference.
    """
    return _fields(proof, "input_count equal_count max_difference")


def verify_engine_json(proof: EngineVerification) -> list[dict[str, Any]]:
    """What `verify --engine` prints.

    Args:
        proof: The outcome of LiteRT beside the engine, everywhere.

    Returns:
        An object for each that ran the model.
    """
    figures = "name equal_count max_difference instructions ram_bytes code_bytes"
    return [_fields(runner, figures) for runner in proof.runners]


def inspect_json(graph: Graph, timeline: Timeline | None) -> dict[str, Any]:
    """What `inspect` prints.

    Args:
        graph: The model.
        timeline: Its memory over time; None where that is not known.

    Returns:
        Size, hash, input and output, with the types that the file has there, and operators; the
        peak of memory, the tensors that make it and every moment where they are known.
    """
    source, output = graph.file_dtypes
    result = {
        "model_bytes": graph.model_bytes,
        "sha256": graph.file_sha256,
        "macs": graph.total_macs(),
        "has_offline_plan": graph.offline_offsets is not None,
        "input": _tensor_json(graph, graph.inputs[0]) | {"file_dtype": source},
        "output": _tensor_json(graph, graph.outputs[0]) | {"file_dtype": output},
        "operators": [
            _fields(op, "index opcode")
            | {"macs": graph.macs(op), "output": _tensor_json(graph, op.outputs[0])}
            for op in graph.operators
        ],
    }
    if timeline is not None:
        result["memory"] = _timeline_json(graph, timeline)
    return result


def _tensor_json(graph: Graph, index: int) -> dict[str, Any]:
    tensor = graph.tensors[index]
    quantization = tensor.quantization
    return _fields(tensor, "name shape dtype bytes") | {
        "scale": None if quantization is None else quantization.scales[0],
        "zero_point": None if quantization is None else quantization.zero_points[0],
    }


def _timeline_json(graph: Graph, timeline: Timeline) -> dict[str, Any]:
    return {
        "peak_bytes": timeline.peak.top_bytes,
        "peak_operator": timeline.peak.operator,
        "peak_tensors": [
            {
                "tensor": None if buffer.tensor is None else graph.tensors[buffer.tensor].name,
                "bytes": buffer.bytes,
                "offset": offset,
            }
            for buffer, offset in timeline.peak_buffers()
        ],
        "moments": [
            _fields(moment, "operator alive_bytes top_bytes") for moment in timeline.moments
        ],
    }


def plan_json(planned: PlannedModel, verified_count: int | None) -> dict[str, Any]:
    """What `plan` prints.

    Args:
        planned: The model with its plan.
        verified_count: The number of inputs on which TFLite Micro computed the same bytes; None if
            it did not run.

    Returns:
        Bytes of TFLite Micro's own plan, of this one, and of the bound that none can beat.
    """
    figures = _fields(planned, "greedy_bytes planned_bytes")
    figures |= _fields(planned.plan, "lower_bound_bytes is_optimal")
    return figures | {"verified_inputs": verified_count}


def stream_json(graph: Graph, engine: Engine) -> dict[str, Any]:
    """What `stream` prints.

    Args:
        graph: The model.
        engine: The engine that runs it.

    Returns:
        Memory, weights, multiply-accumulates, and the segments of the schedule.
    """
    return {
        "memory_bytes": engine.plan.memory_bytes,
        "state_bytes": engine.state_bytes,
        "weights_bytes": engine.weights_bytes,
        "macs": engine.network.graph.total_macs(),
        "model_macs": graph.total_macs(),
        "segments": [
            _fields(segment, "layers workspace_bytes copied_bytes")
            for segment in engine.plan.segments
        ],
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """What `compare` prints.

    Args:
        comparison: The two models.

    Returns:
        Every figure; None for a ratio without noise, which JSON cannot write.
    """
    figures = "output_agreement advice unmatched input_count is_random reference"
    return _fields(comparison, figures) | {
        "layers": [_layer_error_json(layer) for layer in comparison.layers],
        "input": _layer_error_json(comparison.input),
        "worst": comparison.worst.operator,
    }


def _layer_error_json(layer: LayerError) -> dict[str, Any]:
    names = "operator opcode name keras_layer saturation_rate range_use cause"
    ratios = _fields(layer, "sqnr_db own_sqnr_db")
    finite = {name: ratio if math.isfinite(ratio) else None for name, ratio in ratios.items()}
    return _fields(layer, names) | finite


def report_json(done: Report, file: pathlib.Path) -> dict[str, Any]:
    """What `report` prints.

    Args:
        done: The report.
        file: The HTML file that holds it.

    Returns:
        A part that could not be had is a string that says why.
    """
    names = "operator opcode name shape macs weights_bytes"
    names += " engine_macs engine_weights_bytes instructions low_cycles high_cycles"
    return {
        "board": done.board.id,
        "sha256": done.graph.sha256,
        "runtimes": [
            {
                "name": runtime.name,
                "peak_bytes": _or_reason(runtime.memory, lambda memory: memory.peak_bytes),
                "banks": _or_reason(runtime.banks, lambda uses: [*map(_bank_use_json, uses)]),
            }
            for runtime in done.runtimes
        ],
        "layers": [_fields(layer, names) for layer in done.layers],
        "instructions": _or_reason(done.profile, profile_json),
        "estimated_cycles": _or_reason(done.cycles, cycles_json),
        "accuracy": _or_reason(
            done.accuracy, lambda accuracy: _fields(accuracy, "image_count int8 float")
        ),
        "comparison": _or_reason(done.comparison, comparison_json),
        "file": str(file),
    }


def _or_reason(part: Part | Absent, shown: Callable[[Part], Any]) -> Any:
    from edge.reporting.figures import Absent

    return part.reason if isinstance(part, Absent) else shown(part)
