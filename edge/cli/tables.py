"""Tables for the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Column, Table

from edge.catalog.boards import Board
from edge.cli.demo import DemoResult
from edge.debugger.advice import ALARM_DB
from edge.debugger.result import Comparison
from edge.deploy.budget import Budget, Variant
from edge.memory.timeline import Timeline
from edge.search.candidates import Candidate
from edge.tflite.graph import Graph, Tensor


def boards_table(boards: list[Board]) -> Table:
    """All boards with their memory.

    Args:
        boards: The boards.

    Returns:
        A table.

    Example:
        >>> boards_table([]).row_count
        0
    """
    table = Table(
        Column("board", no_wrap=True), "MCU", "core", right("MHz"), right("flash"), right("RAM")
    )
    for board in boards:
        table.add_row(
            board.id,
            board.mcu,
            board.core,
            f"{board.clock_hz / 1e6:.0f}",
            _kib(board.flash_bytes),
            _kib(board.ram_bytes),
        )
    return table


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


def variants_table(variants: list[Variant]) -> Table:
    """Narrower and smaller versions of a network that would fit.

    Args:
        variants: From `edge.deploy.budget.fitting_variants`.

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
            _grid(output),
            f"{constants:,}",
            f"{graph.macs(op):,}",
            f"{moments[op.index].top_bytes:,}" if moments else "?",
            _bar(moments[op.index].top_bytes / peak.top_bytes, 8) if peak is not None else "?",
            style="bold" if peak is not None and peak.operator == op.index else None,
        )
    return table


def culprits_table(graph: Graph, timeline: Timeline) -> Table:
    """What is alive at the peak.

    Args:
        graph: The model.
        timeline: Its memory over time.

    Returns:
        A table.

    Example:
        >>> from edge.memory.timeline import memory_timeline
        >>> culprits_table(graph, memory_timeline(graph)).title
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
    for buffer, offset in timeline.culprits():
        tensor = None if buffer.tensor is None else graph.tensors[buffer.tensor]
        table.add_row(
            "scratch memory" if tensor is None else escape(tensor.name),
            "" if tensor is None else "x".join(map(str, tensor.shape)),
            f"{buffer.bytes:,}",
            f"{offset:,}",
        )
    return table


def front_table(front: list[Candidate], trials: int) -> Table:
    """The candidates that no other beats.

    Args:
        front: From `edge.search.candidates.pareto_front`.
        trials: How many of them will be trained.

    Returns:
        A table.

    Example:
        >>> front_table([], 4).row_count
        0
    """
    table = Table(
        "alpha", "side", right("MACs"), right("flash"), right("RAM"), "", title="What fits"
    )
    for number, candidate in enumerate(front):
        table.add_row(
            f"{candidate.alpha:g}",
            str(candidate.side),
            f"{candidate.macs:,}",
            f"{candidate.flash_bytes:,}",
            f"{candidate.ram_bytes:,}",
            "to be trained" if number < trials else "",
        )
    return table


def trials_table(trials: dict[str, tuple[str, float | None]]) -> Table:
    """What became of every trial.

    Args:
        trials: State and accuracy on the images that choose, by name.

    Returns:
        A table.

    Example:
        >>> trials_table({"alpha 0.1, side 32": ("complete", 0.9)}).row_count
        1
    """
    table = Table("candidate", "trial", right("accuracy where it chose"))
    for name, (state, accuracy) in trials.items():
        table.add_row(name, state, "" if accuracy is None else f"{accuracy:.2%}")
    return table


def demo_table(result: DemoResult) -> Table:
    """What the demo measured.

    Args:
        result: The outcome.

    Returns:
        A table.

    Example:
        >>> from edge.cli.demo import DemoResult
        >>> from edge.deploy.export import export
        >>> from edge.deploy.verify import verify
        >>> written = export("model.tflite", "nucleo-f446re", "firmware")
        >>> result = DemoResult(0.99, 0.98, 0.98, verify("model.tflite"), written, 3040)
        >>> demo_table(result).row_count
        10
    """
    budget = result.export.budget
    table = Table("what", "measured", title=f"MobileNetV1 on {budget.board.name}")
    count = result.verification.input_count
    for name, accuracy in (
        ("float", result.float_accuracy),
        ("QAT (simulated)", result.qat_accuracy),
        ("int8", result.int8_accuracy),
    ):
        table.add_row(f"accuracy {name}", f"{accuracy:.2%} of {count} held-out images")
    table.add_row("proof", result.verification.sentence())
    table.add_row("tensor arena", f"{budget.arena.bytes:,} bytes")
    table.add_row("RAM in all", f"{budget.ram_bytes:,} of {budget.board.ram_bytes:,} bytes")
    table.add_row("model in flash", f"{result.export.graph.model_bytes:,} bytes")
    if result.compiled_model_bytes is None:
        table.add_row("compiled array", "arm-none-eabi-g++ is not installed: not compiled")
    else:
        table.add_row("compiled array", f"{result.compiled_model_bytes:,} bytes")
    table.add_row("flash in all", f"{budget.flash_bytes:,} of {budget.board.flash_bytes:,} bytes")
    table.add_row("firmware sources", str(result.export.folder))
    return table


def _grid(tensor: Tensor) -> str:
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


def comparison_table(comparison: Comparison) -> Table:
    """Every layer that both models have.

    Args:
        comparison: The two models.

    Returns:
        A table; the worst layer is marked, faults are red.
    """
    table = Table(
        *(right("#"), Column("operator", no_wrap=True), Column("Keras layer", overflow="fold")),
        *(right("SQNR dB"), right("own dB"), "mostly from", right("saturated"), right("range use")),
        title=f"Against {comparison.reference}",
    )
    for layer in (comparison.input, *comparison.layers):
        is_worst = layer is comparison.worst
        table.add_row(
            "" if layer.operator < 0 else str(layer.operator),
            layer.opcode,
            layer.keras_layer,
            f"{layer.sqnr_db:.1f}",
            f"{layer.own_sqnr_db:.1f}" + (" <" if is_worst else "  "),
            layer.cause,
            f"{layer.saturation_rate:.2%}",
            f"{layer.range_use:.0%}",
            style="red" if layer.own_sqnr_db < ALARM_DB else "bold" if is_worst else None,
        )
    return table
