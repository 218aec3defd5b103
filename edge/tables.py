"""Tables for the terminal."""

from __future__ import annotations

from rich.table import Column, Table

from edge.boards import Board
from edge.budget import Budget, Variant
from edge.demo import DemoResult
from edge.graph import Graph


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
        Column("board", no_wrap=True), "MCU", "core", _right("MHz"), _right("flash"), _right("RAM")
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
    """
    table = Table("memory", "what", _right("bytes"), "figure is", title=budget.board.name)
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
    bank = budget.board.largest_ram_bank
    if budget.arena.bytes > bank.bytes:
        table.add_row("RAM", f"largest bank, {bank.name}", f"{bank.bytes:,}", "holds the arena")
    return table


def variants_table(variants: list[Variant]) -> Table:
    """Narrower and smaller versions of a network that would fit.

    Args:
        variants: From `edge.budget.fitting_variants`.

    Returns:
        A table.

    Example:
        >>> variants_table([]).row_count
        0
    """
    table = Table(
        "alpha", "rho", "input", _right("flash"), _right("RAM"), title="The same network would fit"
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


def graph_table(graph: Graph) -> Table:
    """A model, operator by operator.

    Args:
        graph: The model.

    Returns:
        A table.

    Example:
        >>> graph_table(Graph((), (), (), (), b"")).row_count
        0
    """
    table = Table(
        _right("#"),
        "operator",
        "output",
        "type",
        _right("output bytes"),
        _right("constant bytes"),
        _right("MACs"),
    )
    for op in graph.operators:
        output = graph.tensors[op.outputs[0]]
        constants = sum(graph.tensors[i].bytes for i in op.inputs if graph.tensors[i].is_constant)
        table.add_row(
            str(op.index),
            op.opcode,
            "x".join(map(str, output.shape)),
            output.dtype,
            f"{output.bytes:,}",
            f"{constants:,}",
            f"{graph.macs(op):,}",
        )
    return table


def demo_table(result: DemoResult) -> Table:
    """What the demo measured.

    Args:
        result: The outcome.

    Returns:
        A table.
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


def _kib(count: int) -> str:
    return f"{count / 1024:,.0f} KiB"


def _right(header: str) -> Column:
    return Column(header, justify="right")
