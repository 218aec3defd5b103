"""Does a model fit a board, by how much, and what would fit."""

from __future__ import annotations

import dataclasses
from typing import Literal

from edge.boards import Board
from edge.errors import DoesNotFitError
from edge.graph import Graph
from edge.plan.arena import Arena, tensor_arena
from edge.plan.scaled import NoScaleRuleError, scaled_model
from edge.plan.tflm_greedy import NoArenaRuleError
from edge.tflm_size import LibraryUse, library_use

ALPHA_FACTORS = (1.0, 0.75, 0.5, 0.25, 0.125)
SMALLEST_SIDE = 32
SIDE_STEP = 16


@dataclasses.dataclass(frozen=True)
class Item:
    """One use of a board's memory.

    Attributes:
        memory: Which memory.
        what: What takes it.
        bytes: How much.
        basis: How the figure was found.
    """

    memory: Literal["flash", "RAM"]
    what: str
    bytes: int
    basis: str


@dataclasses.dataclass(frozen=True)
class Budget:
    """A model's use of a board's memory.

    Attributes:
        board: The board.
        arena: The tensor arena.
        items: Every use of memory.
        unmeasured_operators: Operators whose code is in no figure.
    """

    board: Board
    arena: Arena
    items: tuple[Item, ...]
    unmeasured_operators: tuple[str, ...]

    @property
    def flash_bytes(self) -> int:
        """Flash that the model and its code take, in bytes."""
        return sum(item.bytes for item in self.items if item.memory == "flash")

    @property
    def ram_bytes(self) -> int:
        """RAM that inference takes, in bytes."""
        return sum(item.bytes for item in self.items if item.memory == "RAM")

    @property
    def flash_over_bytes(self) -> int:
        """By how much the flash is exceeded, 0 if it is not."""
        return max(0, self.flash_bytes - self.board.flash_bytes)

    @property
    def ram_over_bytes(self) -> int:
        """By how much the RAM is exceeded, 0 if it is not; the arena must fit in one bank."""
        return max(
            0,
            self.ram_bytes - self.board.ram_bytes,
            self.arena.bytes - self.board.largest_ram_bank.bytes,
        )

    @property
    def fits(self) -> bool:
        """Whether neither memory is exceeded."""
        return self.flash_over_bytes == 0 and self.ram_over_bytes == 0

    def sentence(self) -> str:
        """The outcome in one line.

        Returns:
            What is left of each memory, or by how much it is exceeded.
        """
        parts = []
        for memory, used, over, has in (
            ("flash", self.flash_bytes, self.flash_over_bytes, self.board.flash_bytes),
            ("RAM", self.ram_bytes, self.ram_over_bytes, self.board.ram_bytes),
        ):
            state = f"over by {over:,}" if over else f"{has - used:,} to spare"
            parts.append(f"{memory} {used:,} of {has:,} bytes, {state}")
        return f"{self.board.name}: {'; '.join(parts)}."


@dataclasses.dataclass(frozen=True)
class Variant:
    """A narrower or smaller version of a network, and what it takes.

    Attributes:
        alpha_factor: Factor of its channels.
        rho: Factor of its input's sides.
        input_shape: Height, width, channels.
        flash_bytes: As in `Budget`.
        ram_bytes: As in `Budget`.
    """

    alpha_factor: float
    rho: float
    input_shape: tuple[int, ...]
    flash_bytes: int
    ram_bytes: int


def budget(graph: Graph, board: Board) -> Budget:
    """Adds up what a model takes of a board.

    Args:
        graph: An int8 model.
        board: The board.

    Returns:
        The `Budget`: for TFLite Micro with the kernels of CMSIS-NN, the larger of the two sets.

    Raises:
        EdgeError: If the arena has to be measured and cannot be.

    Example:
        >>> budget(graph, find_board("nucleo-f446re")).fits  # doctest: +SKIP
        True
    """
    arena = tensor_arena(graph, board)
    return _budget(board, arena, graph.model_bytes, library_use(graph.op_names()))


def require_fit(graph: Graph, board: Board, where: str = "The model") -> Budget:
    """Refuses a model that a board cannot hold.

    Args:
        graph: An int8 model.
        board: The board.
        where: The model's name for the message.

    Returns:
        The `Budget`.

    Raises:
        DoesNotFitError: If it does not fit; carries the budget and the graph.
    """
    result = budget(graph, board)
    if not result.fits:
        raise DoesNotFitError(f"{where} does not fit. {result.sentence()}", result, graph)
    return result


def fitting_variants(graph: Graph, board: Board) -> list[Variant]:
    """For each width, the largest input at which the same network fits a board.

    Args:
        graph: An int8 model with an image as its input.
        board: The board.

    Returns:
        One `Variant` per width that fits at some size, the widest first; empty if none does, or
        if the network has an operator whose memory cannot be computed at another size.

    Example:
        >>> [v.rho for v in fitting_variants(graph, board)]  # doctest: +SKIP
        [0.83, 1.0]
    """
    if len(graph.input.shape) != 4:
        return []
    larger = max(graph.input.shape[1:3])
    sides = [larger, *range((larger - 1) // SIDE_STEP * SIDE_STEP, SMALLEST_SIDE - 1, -SIDE_STEP)]
    variants = []
    for alpha in ALPHA_FACTORS:
        fitting = (_variant(graph, board, alpha, side) for side in sides)
        if (variant := next((v for v in fitting if v is not None), None)) is not None:
            variants.append(variant)
    return variants


def _variant(graph: Graph, board: Board, alpha: float, side: int) -> Variant | None:
    try:
        model = scaled_model(graph, alpha, side)
        arena = tensor_arena(model.graph, board, may_measure=False)
    except (NoScaleRuleError, NoArenaRuleError):
        return None
    result = _budget(board, arena, model.model_bytes, library_use(graph.op_names()))
    if not result.fits:
        return None
    shape = model.graph.input.shape[1:]
    rho = side / max(graph.input.shape[1:3])
    return Variant(alpha, rho, shape, result.flash_bytes, result.ram_bytes)


def _budget(board: Board, arena: Arena, model_bytes: int, library: LibraryUse) -> Budget:
    arena_basis = "computed" if arena.is_exact else "at most, from TFLM's 64-bit build"
    items = (
        Item("flash", "model", model_bytes, "exact"),
        Item(
            "flash",
            "TFLite Micro, CMSIS-NN kernels",
            library.cmsis_nn_flash_bytes,
            f"measured, at most (reference kernels: {library.reference_flash_bytes:,})",
        ),
        Item("RAM", "tensor arena", arena.bytes, arena_basis),
        Item("RAM", "interpreter, static data", library.static_ram_bytes, "measured"),
        Item("RAM", "stack", library.stack_bytes, "measured"),
    )
    return Budget(board, arena, items, library.unmeasured)
