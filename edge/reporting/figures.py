"""The figures that a report shows."""

from __future__ import annotations

import dataclasses

from edge.catalog.boards import Board
from edge.debugger.result import Comparison
from edge.deploy.budget import BankUse
from edge.firmware.cycles import Cycles
from edge.firmware.profile import Profile
from edge.firmware.sizes import SectionSize
from edge.reporting.memory import MemoryView
from edge.tflite.graph import Graph


@dataclasses.dataclass(frozen=True)
class Absent:
    """Stands in a report for a part that could not be measured.

    Attributes:
        reason: A sentence that says why, and what to do about it.
    """

    reason: str


@dataclasses.dataclass(frozen=True)
class Runtime:
    """One way to run the model on the board.

    Attributes:
        id: A short word that names the runtime within the page.
        name: The name of the runtime that the page shows.
        memory: The memory over one inference.
        banks: The use of each of the board's memory banks.
        note: A sentence that says what the figures leave out; empty if nothing.
        sections: What each section of the linked firmware holds; empty where none was linked.
    """

    id: str
    name: str
    memory: MemoryView | Absent
    banks: tuple[BankUse, ...] | Absent
    note: str = ""
    sections: tuple[SectionSize, ...] = ()


@dataclasses.dataclass(frozen=True)
class LayerFigures:
    """The cost of one operator.

    Attributes:
        operator: The index of the operator.
        opcode: TFLite's name of the operator.
        name: The name of the tensor that the operator writes.
        shape: The shape of that tensor.
        macs: The multiply-accumulates of the operator as it is in the file.
        weights_bytes: The size of the operator's constants in the file.
        engine_macs: The multiply-accumulates that the engine computes without constant channels,
            and with the zeros beside a convolution's groups; None where the engine does not run the
            model, or has no step for the operator.
        engine_weights_bytes: The size of the packed weights that the engine's kernel reads; None in
            the same cases.
        instructions: The instructions counted on QEMU; None in the same cases, and where they could
            not be counted.
        low_cycles: The fewest cycles of the estimate; None in the same cases.
        high_cycles: The most cycles of the estimate; None in the same cases.
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
    low_cycles: int | None = None
    high_cycles: int | None = None


@dataclasses.dataclass(frozen=True)
class ClassAnswers:
    """How well one class is told from the others.

    Attributes:
        name: The name of the class.
        precision: The share of the images called so that are so, 0 to 1.
        recall: The share of the images that are so that are called so, 0 to 1.
        f1: The harmonic mean of both, 0 to 1.
        count: The number of images of the class.
    """

    name: str
    precision: float
    recall: float
    f1: float
    count: int


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a classifier made of the test images.

    Attributes:
        confusion: The number of images by class and answer.
        classes: The figures of each class.
    """

    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassAnswers, ...]


@dataclasses.dataclass(frozen=True)
class Training:
    """The course of a training, and what came out.

    Attributes:
        history: The figures of each epoch: `accuracy`, `val_accuracy`, `loss`, `val_loss`.
        float_epochs: The number of float epochs; those behind them are int8.
        best_epoch: The epoch that was kept, counted from 0.
        accuracies: The accuracies on the test images, 0 to 1, with the names of who has them.
        answers: What the trained model, int8 simulated, made of the test images.
    """

    history: dict[str, tuple[float, ...]]
    float_epochs: int
    best_epoch: int
    accuracies: tuple[tuple[str, float], ...]
    answers: Answers


@dataclasses.dataclass(frozen=True)
class Accuracy:
    """The accuracy on the test images.

    Attributes:
        image_count: The number of test images.
        int8: The accuracy of the int8 model on LiteRT's reference kernels, 0 to 1.
        float: The accuracy of the float model, 0 to 1; None where it was not given.
        answers: What the int8 model made of the images.
    """

    image_count: int
    int8: float
    float: float | None
    answers: Answers


@dataclasses.dataclass(frozen=True)
class Report:
    """The figures of a model on a board.

    Attributes:
        name: The name of the model.
        graph: The int8 model.
        board: The board.
        runtimes: TFLite Micro with its own memory plan, with the smallest plan, and the engine.
        layers: The cost of each operator.
        profile: The instructions of one inference, step by step.
        cycles: The estimated cycles of one inference, at the board's clock.
        accuracy: The accuracy on held-out images.
        comparison: The int8 model compared with its float model, layer by layer.
        training: The course of the model's training.
    """

    name: str
    graph: Graph
    board: Board
    runtimes: tuple[Runtime, ...]
    layers: tuple[LayerFigures, ...]
    profile: Profile | Absent
    cycles: Cycles | Absent
    accuracy: Accuracy | Absent
    comparison: Comparison | Absent
    training: Training | Absent
