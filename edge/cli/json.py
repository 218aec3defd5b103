"""What every command prints with --json: all the keys are in this file.

`tests/edge/cli/test_json.py` lists them, command by command: scripts depend on them.
"""

from __future__ import annotations

import math
import pathlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.catalog.boards import Bank, Board
    from edge.debugger.result import Comparison, LayerError
    from edge.deploy.budget import BankUse, Budget, Variant
    from edge.deploy.build import Build
    from edge.deploy.demo import DemoResult
    from edge.deploy.export import Export
    from edge.deploy.run import Run
    from edge.deploy.verify import Verification
    from edge.deploy.verify_engine import EngineVerification
    from edge.emit.camera.render import Camera
    from edge.engine.compile import Engine
    from edge.memory.offline_plan import PlannedModel
    from edge.memory.timeline import Timeline
    from edge.reporting.figures import Report
    from edge.search.training import SearchResult
    from edge.tflite.graph import Graph
    from keras_mobilenet.training.train import TrainedModel


def board_json(board: Board) -> dict[str, Any]:
    """A board, as `boards --json` lists it.

    Args:
        board: The board.

    Returns:
        Every figure and source.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> board_json(find_board("nucleo-f446re"))["ram_bytes"]
        131072
    """
    return {
        "id": board.id,
        "name": board.name,
        "vendor": board.vendor,
        "mcu": board.mcu,
        "core": board.core,
        "fpu": board.fpu,
        "dsp": board.dsp,
        "mve": board.mve,
        "clock_hz": board.clock_hz,
        "aliases": board.aliases,
        "flash": [_bank_json(bank) for bank in board.flash],
        "ram": [_bank_json(bank) for bank in board.ram],
        "flash_method": board.flash_method,
        "flash_target": board.flash_target,
        "uf2_family": board.uf2_family,
        "boot_block": board.boot_block,
        "qemu_machine": board.qemu_machine,
        "sources": board.sources,
        "flash_bytes": board.flash_bytes,
        "ram_bytes": board.ram_bytes,
    }


def _bank_json(bank: Bank) -> dict[str, Any]:
    return {"name": bank.name, "address": bank.address, "bytes": bank.bytes}


def budget_json(use: Budget) -> dict[str, Any]:
    """What a model takes of a board's memory, as `fit --json` prints it.

    Args:
        use: The budget.

    Returns:
        Totals, items and banks.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
        >>> budget_json(budget(graph, find_board("nucleo-f446re")))["arena_bytes"]
        2560
    """
    return {
        "board": use.board.id,
        "fits": use.fits,
        "arena_bytes": use.arena.bytes,
        "arena_is_exact": use.arena.is_exact,
        "flash_bytes": use.flash_bytes,
        "flash_over_bytes": use.flash_over_bytes,
        "ram_bytes": use.ram_bytes,
        "ram_over_bytes": use.ram_over_bytes,
        "items": [
            {"memory": item.memory, "what": item.what, "bytes": item.bytes, "basis": item.basis}
            for item in use.items
        ],
        "banks": [
            _bank_use_json(bank) | {"items": [item.what for item in bank.items]}
            for bank in use.bank_uses()
        ],
        "unmeasured_operators": use.unmeasured_operators,
    }


def _bank_use_json(use: BankUse) -> dict[str, Any]:
    return {
        "memory": use.memory,
        "name": use.bank.name,
        "bytes": use.bank.bytes,
        "used_bytes": use.bytes,
    }


def misfit_json(use: Budget, variants: Sequence[Variant]) -> dict[str, Any]:
    """A budget that is exceeded, and what would fit.

    Args:
        use: The budget.
        variants: Narrower and smaller versions of the network that fit.

    Returns:
        The keys of `budget_json`, and `"variants"`.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
        >>> misfit_json(budget(graph, find_board("nucleo-f446re")), [])["variants"]
        []
    """
    return budget_json(use) | {
        "variants": [
            {
                "alpha_factor": variant.alpha_factor,
                "rho": variant.rho,
                "input_shape": variant.input_shape,
                "flash_bytes": variant.flash_bytes,
                "ram_bytes": variant.ram_bytes,
            }
            for variant in variants
        ]
    }


def export_json(written: Export) -> dict[str, Any]:
    """What `export --json` prints.

    Args:
        written: The sources for TFLite Micro, or of the engine.

    Returns:
        The folder and its files; the budget for TFLite Micro, what the kernels of each instruction
        set take for the engine; the camera if there is one.

    Example:
        >>> from edge.deploy.export import export
        >>> export_json(export("model.tflite", "nucleo-f446re", "firmware"))["fits"]
        True
    """
    budget = {} if written.budget is None else budget_json(written.budget)
    kernels = {
        name: {"weights_bytes": engine.weights_bytes, "state_bytes": engine.state_bytes}
        for name, engine in written.engines.items()
    }
    return (
        budget
        | {
            "runtime": written.runtime,
            "shape": written.shape,
            "name": None if written.name is None else written.name.camel,
            "folder": str(written.folder),
            "files": list(written.files),
            "sha256": written.graph.sha256,
        }
        | ({"kernels": kernels} if kernels else {})
        | camera_json(written.camera)
    )


def camera_json(camera: Camera | None) -> dict[str, Any]:
    """A camera, as `export` and `build` print it.

    Args:
        camera: The camera.

    Returns:
        Its format, size and memory under `"camera"`; nothing without a camera.

    Example:
        >>> camera_json(None)
        {}
    """
    if camera is None:
        return {}
    return {
        "camera": {
            "format": camera.camera_format,
            "width": camera.width,
            "height": camera.height,
            "state_bytes": camera.state_bytes,
            "row_bytes": camera.row_bytes,
            "tables_bytes": camera.tables_bytes,
        }
    }


def build_json(built: Build) -> dict[str, Any]:
    """What `build --json` prints.

    Args:
        built: The firmware.

    Returns:
        Flash and RAM in bytes, and the model's hash.

    Example:
        >>> from edge.deploy.build import build
        >>> build_json(build("model.tflite", "nucleo-f446re", "firmware"))["weights_bytes"]
        1408
    """
    return {
        "board": built.board.id,
        "folder": str(built.folder),
        "flash_bytes": built.flash_bytes,
        "weights_bytes": built.firmware.weights_bytes,
        "code_bytes": built.firmware.code_bytes,
        "state_bytes": built.engine.state_bytes,
        "ram_bytes": built.ram_bytes,
        "sha256": built.graph.sha256,
    } | camera_json(built.camera)


def run_json(done: Run) -> dict[str, Any]:
    """What `run --json` prints.

    Args:
        done: A run on an emulated board.

    Returns:
        How many outputs are LiteRT's, instructions, RAM and code.
    """
    return {
        "board": done.board.id,
        "core": done.board.core,
        "input_count": done.input_count,
        "equal_count": done.equal_count,
        "max_difference": done.max_difference,
        "instructions": done.instructions,
        "ram_bytes": done.ram_bytes,
        "code_bytes": done.code_bytes,
    }


def verify_json(proof: Verification) -> dict[str, Any]:
    """What `verify --json` prints.

    Args:
        proof: The outcome of LiteRT beside TFLite Micro.

    Returns:
        How many inputs agree, and the largest difference.

    Example:
        >>> from edge.deploy.verify import verify
        >>> verify_json(verify("model.tflite", count=3))["equal_count"]
        3
    """
    return {
        "input_count": proof.input_count,
        "equal_count": proof.equal_count,
        "max_difference": proof.max_difference,
    }


def verify_engine_json(proof: EngineVerification) -> list[dict[str, Any]]:
    """What `verify --engine --json` prints.

    Args:
        proof: The outcome of LiteRT beside the engine, everywhere.

    Returns:
        An object for each that ran the model.

    Example:
        >>> from edge.deploy.verify_engine import EngineVerification, Runner
        >>> verify_engine_json(EngineVerification(20, (Runner("engine", 20, 0),)))[0]["name"]
        'engine'
    """
    return [
        {
            "name": runner.name,
            "equal_count": runner.equal_count,
            "max_difference": runner.max_difference,
            "instructions": runner.instructions,
            "ram_bytes": runner.ram_bytes,
            "code_bytes": runner.code_bytes,
        }
        for runner in proof.runners
    ]


def inspect_json(graph: Graph, timeline: Timeline | None) -> dict[str, Any]:
    """What `inspect --json` prints.

    Args:
        graph: The model.
        timeline: Its memory over time; None where that is not known.

    Returns:
        The keys of `graph_json`, and `"memory"` where it is known.

    Example:
        >>> "memory" in inspect_json(graph, None)
        False
    """
    memory = {} if timeline is None else {"memory": timeline_json(graph, timeline)}
    return graph_json(graph) | memory


def graph_json(graph: Graph) -> dict[str, Any]:
    """A model, operator by operator.

    Args:
        graph: The model.

    Returns:
        Size, hash, inputs, outputs and operators.

    Example:
        >>> graph_json(graph)["input"]["shape"]
        (1, 8, 8, 3)
    """
    return {
        "model_bytes": graph.model_bytes,
        "sha256": graph.sha256,
        "macs": graph.total_macs(),
        "has_offline_plan": graph.offline_offsets is not None,
        "input": _tensor_json(graph, graph.inputs[0]),
        "output": _tensor_json(graph, graph.outputs[0]),
        "operators": [
            {
                "index": op.index,
                "opcode": op.opcode,
                "macs": graph.macs(op),
                "output": _tensor_json(graph, op.outputs[0]),
            }
            for op in graph.operators
        ],
    }


def _tensor_json(graph: Graph, index: int) -> dict[str, Any]:
    tensor = graph.tensors[index]
    quantization = tensor.quantization
    return {
        "name": tensor.name,
        "shape": tensor.shape,
        "dtype": tensor.dtype,
        "bytes": tensor.bytes,
        "scale": None if quantization is None else quantization.scales[0],
        "zero_point": None if quantization is None else quantization.zero_points[0],
    }


def timeline_json(graph: Graph, timeline: Timeline) -> dict[str, Any]:
    """Memory over time.

    Args:
        graph: The model.
        timeline: Its memory.

    Returns:
        The peak, the tensors that make it, and every moment.

    Example:
        >>> from edge.memory.timeline import memory_timeline
        >>> timeline_json(graph, memory_timeline(graph))["peak_bytes"]
        256
    """
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
            {
                "operator": moment.operator,
                "alive_bytes": moment.alive_bytes,
                "top_bytes": moment.top_bytes,
            }
            for moment in timeline.moments
        ],
    }


def plan_json(planned: PlannedModel, verified_count: int | None) -> dict[str, Any]:
    """What `plan --json` prints.

    Args:
        planned: The model with its plan.
        verified_count: On how many inputs TFLite Micro computed the same bytes; None if it did not
            run.

    Returns:
        Bytes of TFLite Micro's own plan, of this one, and of the bound that none can beat.

    Example:
        >>> from edge.memory.offline_plan import planned_model
        >>> plan_json(planned_model(graph), None)["is_optimal"]
        True
    """
    return {
        "greedy_bytes": planned.greedy_bytes,
        "planned_bytes": planned.planned_bytes,
        "lower_bound_bytes": planned.plan.lower_bound_bytes,
        "is_optimal": planned.plan.is_optimal,
        "verified_inputs": verified_count,
    }


def stream_json(graph: Graph, engine: Engine) -> dict[str, Any]:
    """What `stream --json` prints.

    Args:
        graph: The model.
        engine: The engine that runs it.

    Returns:
        Memory, weights, multiply-accumulates, and the segments of the schedule.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> stream_json(graph, compile_engine(graph))["memory_bytes"]
        144
    """
    return {
        "memory_bytes": engine.plan.memory_bytes,
        "state_bytes": engine.state_bytes,
        "weights_bytes": engine.weights_bytes,
        "macs": engine.network.graph.total_macs(),
        "model_macs": graph.total_macs(),
        "segments": [
            {
                "layers": list(segment.layers),
                "workspace_bytes": segment.workspace_bytes,
                "copied_bytes": segment.copied_bytes,
            }
            for segment in engine.plan.segments
        ],
    }


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """What `compare --json` prints.

    Args:
        comparison: The two models.

    Returns:
        Every figure; None for a ratio without noise, which JSON cannot write.

    Example:
        >>> from edge.debugger.compare import compare
        >>> comparison_json(compare("model.keras", "model.tflite", images))["input_count"]
        8
    """
    return {
        "layers": [_layer_error_json(layer) for layer in comparison.layers],
        "output_agreement": comparison.output_agreement,
        "advice": comparison.advice,
        "input": _layer_error_json(comparison.input),
        "unmatched": comparison.unmatched,
        "input_count": comparison.input_count,
        "is_random": comparison.is_random,
        "reference": comparison.reference,
        "worst": comparison.worst.operator,
    }


def _layer_error_json(layer: LayerError) -> dict[str, Any]:
    return {
        "operator": layer.operator,
        "opcode": layer.opcode,
        "name": layer.name,
        "keras_layer": layer.keras_layer,
        "sqnr_db": _finite(layer.sqnr_db),
        "saturation_rate": layer.saturation_rate,
        "range_use": layer.range_use,
        "own_sqnr_db": _finite(layer.own_sqnr_db),
        "cause": layer.cause,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def report_json(done: Report, file: pathlib.Path) -> dict[str, Any]:
    """What `report --json` prints.

    Args:
        done: The report.
        file: The HTML file that holds it.

    Returns:
        A part that could not be had is a string that says why.

    Example:
        >>> from edge.reporting.report import collect
        >>> report_json(collect("model.tflite"), pathlib.Path("report.html"))["board"]
        'nucleo-f446re'
    """
    from edge.reporting.figures import Absent

    profiled, accuracy, comparison = done.profile, done.accuracy, done.comparison
    return {
        "board": done.board.id,
        "sha256": done.graph.sha256,
        "runtimes": [
            {
                "name": runtime.name,
                "peak_bytes": runtime.memory.reason
                if isinstance(runtime.memory, Absent)
                else runtime.memory.peak_bytes,
                "banks": runtime.banks.reason
                if isinstance(runtime.banks, Absent)
                else [_bank_use_json(use) for use in runtime.banks],
            }
            for runtime in done.runtimes
        ],
        "layers": [
            {
                "operator": layer.operator,
                "opcode": layer.opcode,
                "name": layer.name,
                "shape": layer.shape,
                "macs": layer.macs,
                "weights_bytes": layer.weights_bytes,
                "engine_macs": layer.engine_macs,
                "engine_weights_bytes": layer.engine_weights_bytes,
                "instructions": layer.instructions,
            }
            for layer in done.layers
        ],
        "instructions": profiled.reason
        if isinstance(profiled, Absent)
        else {
            "board": profiled.board.id,
            "inference": profiled.instructions,
            "input_rows": profiled.input_instructions,
            "residual": profiled.residual,
        },
        "accuracy": accuracy.reason
        if isinstance(accuracy, Absent)
        else {
            "image_count": accuracy.image_count,
            "int8": accuracy.int8,
            "float": accuracy.float,
        },
        "comparison": comparison.reason
        if isinstance(comparison, Absent)
        else comparison_json(comparison),
        "file": str(file),
    }


def train_json(
    trained: TrainedModel, model: pathlib.Path, labels: pathlib.Path, held_out_count: int
) -> dict[str, Any]:
    """What `train --json` prints.

    Args:
        trained: The outcome of the training.
        model: The `.keras` file that was written.
        labels: The text file with the names of the classes.
        held_out_count: On how many images the accuracy was measured.

    Returns:
        Files and accuracies, 0 to 1.
    """
    return {
        "model": str(model),
        "labels": str(labels),
        "float_accuracy": trained.float_accuracy,
        "qat_accuracy": trained.qat_accuracy,
        "held_out_count": held_out_count,
    }


def search_json(result: SearchResult) -> dict[str, Any]:
    """What `search --json` prints.

    Args:
        result: The model that the search ended with.

    Returns:
        What it is, how good it is, what it takes, and what became of every trial.
    """
    assert result.export.budget is not None, "a search exports for TFLite Micro"
    return {
        "alpha": result.candidate.alpha,
        "side": result.candidate.side,
        "int8_accuracy": result.int8_accuracy,
        "equal_count": result.verification.equal_count,
        "input_count": result.verification.input_count,
        "trials": result.trials,
        "budget": budget_json(result.export.budget),
    }


def demo_json(result: DemoResult) -> dict[str, Any]:
    """What `demo --json` prints.

    Args:
        result: The outcome of the demo.

    Returns:
        Accuracies, 0 to 1, how many inputs agree, and the budget.
    """
    assert result.export.budget is not None, "the demo exports for TFLite Micro"
    return {
        "float_accuracy": result.float_accuracy,
        "qat_accuracy": result.qat_accuracy,
        "int8_accuracy": result.int8_accuracy,
        "equal_count": result.verification.equal_count,
        "input_count": result.verification.input_count,
        "budget": budget_json(result.export.budget),
    }
