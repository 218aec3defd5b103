"""Tables of the engine for the terminal."""

from __future__ import annotations

from rich.table import Table

from edge.cli.tables import right
from edge.deploy.build import Build
from edge.deploy.verify_engine import EngineVerification
from edge.engine.stream_plan import StreamPlan
from edge.firmware.render import STACK_BYTES


def build_table(built: Build) -> Table:
    """What a firmware takes of a board's memory.

    Args:
        built: The firmware.

    Returns:
        A table.

    Example:
        >>> from edge.deploy.build import build
        >>> build_table(build("model.tflite", "nucleo-f446re")).row_count
        7
    """
    table = Table("memory", "what", right("bytes"), title=built.board.name)
    camera = built.camera
    tables, ram = (0, 0) if camera is None else (camera.tables_bytes, camera.ram_bytes)
    buffers = built.firmware.static_ram_bytes - built.engine.state_bytes - ram
    for memory, what, count in (
        ("flash", "weights", built.firmware.weights_bytes),
        *([("flash", "camera: tables", tables)] if tables else []),
        ("flash", "kernels, schedule, start-up, main", built.firmware.code_bytes - tables),
        ("flash", "in all", built.flash_bytes),
        ("RAM", "state: rings and counters", built.engine.state_bytes),
        *([("RAM", "camera: state, a row", ram)] if ram else []),
        ("RAM", "input buffer and the like", buffers),
        ("RAM", "stack, set aside", STACK_BYTES),
        ("RAM", "in all", built.ram_bytes),
    ):
        table.add_row(memory, what, f"{count:,}")
    return table


def segments_table(plan: StreamPlan) -> Table:
    """The schedule: which layers run together, and the memory while they do.

    Args:
        plan: The schedule.

    Returns:
        A table.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> segments_table(compile_engine(graph).plan).title
        '144 bytes of memory'
    """
    network = plan.network
    table = Table(
        "layers",
        "reads",
        "makes",
        right("rings, heads, scratch"),
        right("whole tensors"),
        right("ring rows"),
        title=f"{plan.memory_bytes:,} bytes of memory",
    )
    for segment in plan.segments:
        first, last = segment.layers[0], segment.layers[1] - 1
        source, result = network.rows[segment.source], network.rows[segment.result]
        is_streamed = segment.source == network.input
        whole = result.bytes + (0 if is_streamed else source.bytes)
        rows = [
            str(count)
            for tensor, count in segment.slots.items()
            if tensor not in (segment.source, segment.result) or (is_streamed and count)
        ]
        table.add_row(
            f"{first} to {last}" if first != last else str(first),
            _size(source.height, source.width, source.channels, "row by row" * is_streamed),
            _size(result.height, result.width, result.channels, ""),
            f"{segment.workspace_bytes:,}",
            f"{whole:,}" + (", overlapping" if segment.overlap_bytes and not is_streamed else ""),
            " ".join(rows),
        )
    return table


def runners_table(proof: EngineVerification) -> Table:
    """Who computed the bytes of LiteRT's reference kernels, and at what cost.

    Args:
        proof: The outcome.

    Returns:
        A table.

    Example:
        >>> from edge.deploy.verify_engine import Runner
        >>> runners_table(EngineVerification(20, (Runner("engine", 20, 0),))).row_count
        1
    """
    table = Table(
        "beside LiteRT's reference kernels",
        right("equal"),
        right("instructions"),
        right("RAM"),
        right("code"),
    )
    for runner in proof.runners:
        color = "green" if runner.equal_count == proof.input_count else "red"
        table.add_row(
            runner.name,
            f"[{color}]{runner.equal_count} of {proof.input_count}[/]",
            *(
                "" if figure is None else f"{figure:,}"
                for figure in (runner.instructions, runner.ram_bytes, runner.code_bytes)
            ),
        )
    return table


def _size(height: int, width: int, channels: int, how: str) -> str:
    return f"{height}x{width}x{channels} {how}".strip()
