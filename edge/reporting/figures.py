"""The figures of a report."""

from __future__ import annotations

import dataclasses

from edge.catalog.boards import Board
from edge.debugger.result import Comparison
from edge.deploy.budget import BankUse
from edge.firmware.profile import Profile
from edge.reporting.memory import MemoryView
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Absent:
    """A part of a report that could not be had.

    Attributes:
        reason: Why, and what to do.
    """

    reason: str


@dataclasses.dataclass(frozen=True)
class Runtime:
    """One way to run the model on the board.

    Attributes:
        id: A short word for the page.
        name: What it is.
        memory: Memory over time.
        banks: What it takes of the board's banks.
        note: What the figures leave out, empty if nothing.
    """

    id: str
    name: str
    memory: MemoryView | Absent
    banks: tuple[BankUse, ...] | Absent
    note: str = ""


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """What an operator costs.

    Attributes:
        operator: Its index.
        opcode: TFLite's name of it.
        name: Of the tensor that it makes.
        shape: Of that tensor.
        macs: Multiply-accumulates, as the file has it.
        weights_bytes: Of its constants in the file.
        engine_macs: What the engine is left with once constant channels are gone; None where it
            does not run the model, or the operator costs nothing.
        engine_weights_bytes: What the engine's kernel reads; None likewise.
        instructions: Measured; None likewise, or where they could not be counted.
    """

    operator: int
    opcode: str
    name: str
    shape: tuple[int, ...]
    macs: int
    weights_bytes: int
    engine_macs: int | None = None
    engine_weights_bytes: int | None = None
    instructions: int | None = None


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """How often the model is right.

    Attributes:
        image_count: Number of held-out images.
        int8: Share of them that LiteRT's reference kernels get right, 0 to 1.
        float: The same of the float model; None where it was not given.
    """

    image_count: int
    int8: float
    float: float | None


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report shows.

    Attributes:
        name: The model's name.
        graph: The int8 model.
        board: The board.
        runtimes: TFLite Micro with its own plan, with the smallest, and the engine.
        layers: Cost per operator.
        profile: Instructions.
        accuracy: On held-out images.
        comparison: The int8 model beside the float one, layer by layer.
    """

    name: str
    graph: Graph
    board: Board
    runtimes: tuple[Runtime, ...]
    layers: tuple[LayerCost, ...]
    profile: Profile | Absent
    accuracy: Accuracy | Absent
    comparison: Comparison | Absent
