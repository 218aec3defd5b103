"""Tables of what was found out: proofs, comparisons, searches, the demo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Column, Table

from edge.cli.tables import right

if TYPE_CHECKING:
    from edge.debugger.result import Comparison
    from edge.deploy.demo import DemoResult
    from edge.deploy.run import Run
    from edge.deploy.run_port import PortRun
    from edge.deploy.verify_engine import EngineVerification
    from edge.firmware.machine.image_run import ImageRun


def runners_table(proof: EngineVerification) -> Table:
    """Who computed the bytes of LiteRT's reference kernels, and at what cost.

    Args:
        proof: The outcome.

    Returns:
        A table.

    Example:
        >>> from edge.deploy.verify_engine import EngineVerification, Runner
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


def run_table(done: Run) -> Table:
    """What an emulated firmware computed, and at what cost.

    Args:
        done: A run on an emulated board.

    Returns:
        A table.
    """
    color = "green" if done.is_equal else "red"
    equal = f"[{color}]{done.equal_count} of {done.input_count}[/]"
    table = Table("engine on QEMU", right("measured"), title=done.board.name)
    table.add_row("equal to LiteRT's reference kernels", equal)
    table.add_row("instructions of one inference", f"{done.instructions:,}")
    cycles = done.cycles
    table.add_row("cycles, estimated", f"{cycles.total.low:,} to {cycles.total.high:,}")
    clock = f"{cycles.board.name}, {cycles.board.clock_hz / 1e6:g} MHz"
    table.add_row(f"ms on {clock}, estimated", f"{cycles.low_ms:.1f} to {cycles.high_ms:.1f}")
    if cycles.flash_wait_ms is not None:
        table.add_row("ms of waiting for its flash", f"at most {cycles.flash_wait_ms:.1f}")
    table.add_row("RAM, peak of the stack included", f"{done.ram_bytes:,}")
    table.add_row("code, flash", f"{done.code_bytes:,}")
    for image in done.images:
        _add_image(table, image)
    return table


def run_port_table(done: PortRun) -> Table:
    """What a connected board computed, and how fast.

    Args:
        done: A run on a board.

    Returns:
        A table.
    """
    device, color = done.device, "green" if done.is_equal else "red"
    table = Table(f"engine on {done.port}", right("measured"), title=device.board)
    equal = f"[{color}]{done.equal_count} of {done.input_count}[/]"
    table.add_row("equal to LiteRT's reference kernels", equal)
    if done.correct_count is not None:
        share = done.correct_count / done.input_count
        correct = f"{done.correct_count} of {done.input_count}, {share:.1%}"
        table.add_row("right class, on the board", correct)
    table.add_row("cycles of one inference, median", f"{done.median_cycles:,.0f}")
    table.add_row(f"ms at {device.clock_hz / 1e6:g} MHz, median", f"{done.milliseconds:.2f}")
    return table


def _add_image(table: Table, image: ImageRun) -> None:
    """What the very image of the board did: the lines that it sent, and how it started."""
    table.add_section()
    table.add_row("the board's own image", image.emulator)
    table.add_row("its test of itself", image.outcome)
    if image.core_hz is not None:
        table.add_row("its clock, from the written registers", f"{image.core_hz / 1e6:g} MHz")
        forbidden = "\n".join(violation.sentence() for violation in image.violations)
        table.add_row("against the manual", forbidden or "nothing")
    if image.text:
        counts = "" if image.core_hz is None else "; it has no time, its cycles are no figures"
        text = escape(image.text.strip().replace("\r\n", "\n"))
        table.add_row(f"its serial port{counts}", text)


def comparison_table(comparison: Comparison) -> Table:
    """Every layer that both models have.

    Args:
        comparison: The two models.

    Returns:
        A table; the worst layer is marked, faults are red.
    """
    from edge.debugger.advice import ALARM_DB

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


def accuracies_table(result: DemoResult) -> Table:
    """How accurate everything is that the demo made.

    Args:
        result: The outcome.

    Returns:
        A table.

    Example:
        >>> from types import SimpleNamespace as Outcome
        >>> simple = Outcome(logistic_regression=0.8, random_forest=0.8)
        >>> outcome = Outcome(source="digits", simple=simple, board_accuracy=0.9, missing="")
        >>> outcome.float_accuracy = outcome.qat_accuracy = outcome.int8_accuracy = 0.9
        >>> outcome.verification = Outcome(input_count=360)
        >>> accuracies_table(outcome).row_count
        6
    """
    count = result.verification.input_count
    table = Table(result.source, right("accuracy"), title=f"On {count:,} held-out images")
    rows: list[tuple[str, float | None]] = [
        ("logistic regression on the pixels", result.simple.logistic_regression),
        ("random forest on the pixels", result.simple.random_forest),
        ("network, float", result.float_accuracy),
        ("network, int8 simulated in training", result.qat_accuracy),
        ("network, int8, LiteRT's reference kernels", result.int8_accuracy),
        ("network, int8, the engine on the board", result.board_accuracy),
    ]
    for name, accuracy in rows:
        table.add_row(name, result.missing if accuracy is None else f"{accuracy:.2%}")
    return table


def demo_table(result: DemoResult) -> Table:
    """What both runtimes take of the board, side by side.

    Args:
        result: The outcome.

    Returns:
        A table.

    Example:
        >>> from edge.deploy.demo import DemoResult
        >>> from edge.deploy.export import export
        >>> from edge.deploy.verify import verify
        >>> result = DemoResult(
        ...     source="digits",
        ...     simple=None,
        ...     float_accuracy=0.99,
        ...     qat_accuracy=0.98,
        ...     int8_accuracy=0.98,
        ...     verification=verify("model.tflite"),
        ...     export=export("model.tflite", "nucleo-f446re", "firmware"),
        ...     compiled_model_bytes=3040,
        ...     labels=None,
        ...     on_board=None,
        ...     missing="qemu-system-arm is not installed.",
        ... )
        >>> demo_table(result).row_count
        6
    """
    budget = result.export.budget
    assert budget is not None, "the demo exports for TFLite Micro"
    board, count, done = budget.board, result.verification.input_count, result.on_board
    table = Table("", right("TFLite Micro"), right("the engine"), title=f"On {board.name}")
    engine = [""] * 6
    if done is not None:
        total, cycles = done.cycles.total, done.cycles
        engine = [
            f"{result.equal_on_board:,} of {count:,}",
            f"{done.built.ram_bytes:,}",
            f"{done.built.flash_bytes:,}",
            f"{total.instructions:,}",
            f"{cycles.low_ms:.1f} to {cycles.high_ms:.1f}",
            str(result.export.folder / "firmware"),
        ]
    compiled = result.compiled_model_bytes
    array = "not compiled" if compiled is None else f"{compiled:,}"
    unknown = "not measured: its library is not built for Arm here"
    tflm = [
        f"{result.verification.equal_count:,} of {count:,}",
        f"{budget.ram_bytes:,}, arena {budget.arena.bytes:,}",
        f"at most {budget.flash_bytes:,}, model {array}",
        unknown,
        "not estimated",
        str(result.export.folder),
    ]
    names = [
        "images with LiteRT's bytes",
        f"RAM, of {board.ram_bytes:,} bytes",
        f"flash, of {board.flash_bytes:,} bytes",
        "instructions of one inference",
        f"ms at {board.clock_hz / 1e6:g} MHz, estimated",
        "sources",
    ]
    for row in zip(names, tflm, engine, strict=True):
        table.add_row(*row)
    return table
