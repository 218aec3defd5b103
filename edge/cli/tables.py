"""Tables of what a model takes: boards, budgets, memory over time, schedules, sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edge.catalog.boards import Board
    from edge.deploy.budget import Budget, Variant
    from edge.deploy.build import Build
    from edge.deploy.export import Export
    from edge.engine.stream_plan import StreamPlan
    from edge.memory.timeline import Timeline
    from edge.tflite.graph import Graph, Tensor


def boards_table(boards: Sequence[Board]) -> Table:
    """All boards with their clock, memory, serial port and light.

    Args:
        boards: The boards.

    Returns:
        A table.

    Example:
        >>> boards_table([]).row_count
        0
    """
    table = Table(
        Column("board", no_wrap=True),
        *("MCU", "core", right("MHz"), right("flash waits"), right("flash"), right("RAM")),
        *("serial", "light"),
    )
    for board in boards:
        clock = f"{board.clock_hz / 1e6:.0f}"
        table.add_row(
            board.id,
            board.mcu,
            board.core,
            clock if board.is_at_full_clock else f"{clock}, not set",
            "?" if board.flash_wait_states is None else str(board.flash_wait_states),
            _kib(board.flash_bytes),
            _kib(board.ram_bytes),
            _serial(board),
            "-" if board.led is None else escape(board.led.name),
        )
    return table


def _serial(board: Board) -> str:
    """The serial port, and what takes it to the computer; its pins where an adapter must."""
    port = board.port
    return "-" if port is None else escape(f"{port.name}: {port.way}")


def budget_table(budget: Budget) -> Table:
    """Every use of a board's memory, with totals.

    Args:
        budget: The budget.

    Returns:
        A table; what is exceeded is red.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
        >>> budget_table(budget(graph, find_board("nucleo-f446re"))).row_count
        7
    """
    table = Table("memory", "what", right("bytes"), "figure is", title=budget.board.name)
    for memory, has, used, over in (
        ("flash", budget.board.flash_bytes, budget.flash_bytes, budget.flash_over_bytes),
        ("RAM", budget.board.ram_bytes, budget.ram_bytes, budget.ram_over_bytes),
    ):
        for item in budget.items:
            if item.memory == memory:
                table.add_row(memory, item.what, f"{item.bytes:,}", item.basis)
        state = f"[red]over by {over:,}[/]" if over else f"[green]{has - used:,} to spare[/]"
        table.add_row(memory, "total", f"{used:,}", f"of {has:,}: {state}", end_section=True)
    for name in budget.unmeasured_operators:
        table.add_row("flash", f"code of {name}", "?", "not measured, not in the total")
    return table


def banks_table(budget: Budget) -> Table:
    """What lies in which bank, with a bar.

    Args:
        budget: The budget.

    Returns:
        A table.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> from edge.deploy.budget import budget
        >>> banks_table(budget(graph, find_board("nucleo-f446re"))).row_count
        2
    """
    table = Table("bank", "holds", right("bytes"), Column("of the bank", no_wrap=True))
    for use in budget.bank_uses():
        table.add_row(
            f"{use.memory}: {use.bank.name}",
            ", ".join(item.what for item in use.items) or "nothing",
            f"{use.bytes:,} of {use.bank.bytes:,}",
            _bar(use.bytes / use.bank.bytes, 10),
        )
    return table


def variants_table(variants: Sequence[Variant]) -> Table:
    """Narrower and smaller versions of a network that would fit.

    Args:
        variants: The versions that `edge.deploy.budget.fitting_variants` found.

    Returns:
        A table.

    Example:
        >>> variants_table([]).row_count
        0
    """
    table = Table(
        "alpha", "rho", "input", right("flash"), right("RAM"), title="The same network would fit"
    )
    for variant in variants:
        table.add_row(
            "as it is" if variant.alpha_factor == 1 else f"x {variant.alpha_factor:g}",
            "as it is" if variant.rho == 1 else f"x {variant.rho:.3f}",
            "x".join(map(str, variant.input_shape)),
            f"{variant.flash_bytes:,}",
            f"{variant.ram_bytes:,}",
        )
    return table


def graph_table(graph: Graph, timeline: Timeline | None = None) -> Table:
    """A model, operator by operator.

    Args:
        graph: The model.
        timeline: Its memory over time, None where that is not known.

    Returns:
        A table.

    Example:
        >>> from edge.tflite.graph import Graph
        >>> graph_table(Graph((), (), (), (), b"")).row_count
        0
    """
    table = Table(
        right("#"),
        Column("operator", no_wrap=True),
        "output",
        "scale, zero",
        right("constants"),
        right("MACs"),
        right("memory"),
        "of the peak",
    )
    moments = timeline.moments if timeline is not None else ()
    peak = timeline.peak if timeline is not None else None
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        constants = sum(graph.tensors[i].bytes for i in op.inputs if graph.tensors[i].is_constant)
        table.add_row(
            str(op.index),
            op.opcode,
            "x".join(map(str, output.shape)),
            _scale_and_zero(output),
            f"{constants:,}",
            f"{graph.macs(op):,}",
            f"{moments[op.index].top_bytes:,}" if moments else "?",
            _bar(moments[op.index].top_bytes / peak.top_bytes, 8) if peak is not None else "?",
            style="bold" if peak is not None and peak.operator == op.index else None,
        )
    return table


def peak_table(graph: Graph, timeline: Timeline) -> Table:
    """What is alive at the peak.

    Args:
        graph: The model.
        timeline: Its memory over time.

    Returns:
        A table.

    Example:
        >>> from edge.memory.timeline import memory_timeline
        >>> peak_table(graph, memory_timeline(graph)).title
        'Peak of 256 bytes at operator 0, CONV_2D'
    """
    peak = timeline.peak
    name = graph.operators[peak.operator].opcode
    table = Table(
        "alive",
        "shape",
        right("bytes"),
        right("offset"),
        title=f"Peak of {peak.top_bytes:,} bytes at operator {peak.operator}, {name}",
    )
    for buffer, offset in timeline.peak_buffers():
        tensor = None if buffer.tensor is None else graph.tensors[buffer.tensor]
        table.add_row(
            "scratch memory" if tensor is None else escape(tensor.name),
            "" if tensor is None else "x".join(map(str, tensor.shape)),
            f"{buffer.bytes:,}",
            f"{offset:,}",
        )
    return table


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
    from edge.firmware.render import STACK_BYTES

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


def kernels_table(written: Export) -> Table:
    """What the engine's kernels take, for each instruction set.

    Args:
        written: The sources of the engine.

    Returns:
        A table.

    Example:
        >>> from edge.deploy.export import export
        >>> written = export("model.tflite", None, "net", runtime="engine", shape="arduino")
        >>> kernels_table(written).row_count
        3
    """
    title = written.name.camel
    table = Table("kernels", right("weights, flash"), right("state, RAM"), title=title)
    for name, engine in written.engines.items():
        table.add_row(name, f"{engine.weights_bytes:,}", f"{engine.state_bytes:,}")
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
        '224 bytes of memory'
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


def right(header: str) -> Column:
    """A column of numbers.

    Args:
        header: Its title.

    Returns:
        The column, flush right.

    Example:
        >>> right("bytes").justify
        'right'
    """
    return Column(header, justify="right")


def _scale_and_zero(tensor: Tensor) -> str:
    quantization = tensor.quantization
    if quantization is None:
        return tensor.dtype
    return f"{quantization.scales[0]:.4g}, {quantization.zero_points[0]}"


def _bar(share: float, width: int = 20) -> str:
    filled = min(width, round(share * width))
    bar = "█" * filled + "░" * (width - filled)
    return f"[red]{bar}[/] {share:.0%}" if share > 1 else f"{bar} {share:.0%}"


def _kib(count: int) -> str:
    return f"{count / 1024:,.0f} KiB"


def _size(height: int, width: int, channels: int, how: str) -> str:
    return f"{height}x{width}x{channels} {how}".strip()
