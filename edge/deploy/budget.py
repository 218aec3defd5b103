"""Does a model fit a board, by how much, and what would fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Literal

from edge.catalog.boards import Bank, Board
from edge.errors import DoesNotFitError
from edge.memory.arena import Arena, tensor_arena
from edge.memory.offline_plan import planned_graph
from edge.memory.tflm_arena import ArenaPlan, NoArenaRuleError
from edge.runtimes.tflm_code_size import LibraryUse, library_use
from edge.tflite.graph import Graph
from edge.transforms.scale import NoScaleRuleError, ScaledModel, scaled_model

ALPHA_FACTORS = (1.0, 0.75, 0.5, 0.25, 0.125)
SMALLEST_SIDE = 32
SIDE_STEP = 16
VARIANT_STEPS = 7_500
PLAN_FILE_BYTES = 400
"""A memory plan's entry in the file, at most, beside four bytes per tensor."""


@dataclasses.dataclass(frozen=True)
class Item:
    """One use of a board's memory.

    Attributes:
        memory: The memory that is taken.
        what: The thing that takes it.
        bytes: The number of bytes that it takes.
        basis: The way in which the figure was found.
    """

    memory: Literal["flash", "RAM"]
    what: str
    bytes: int
    basis: str

    @property
    def is_bound(self) -> bool:
        """Whether it may take less than that."""
        return "at most" in self.basis


@dataclasses.dataclass(frozen=True)
class BankUse:
    """What lies in one bank of memory.

    Attributes:
        memory: `"flash"` or `"RAM"`.
        bank: The bank.
        items: The things that it holds.
    """

    memory: str
    bank: Bank
    items: tuple[Item, ...]

    @property
    def bytes(self) -> int:
        """The part of the bank that is used, in bytes."""
        return sum(item.bytes for item in self.items)

    @property
    def over_bytes(self) -> int:
        """The bytes by which the bank is exceeded, 0 if it is not."""
        return max(0, self.bytes - self.bank.bytes)

    @property
    def is_bound(self) -> bool:
        """Whether it may be exceeded by less, or not at all."""
        return any(item.is_bound for item in self.items)


@dataclasses.dataclass(frozen=True)
class Budget:
    """A model's use of a board's memory.

    Attributes:
        board: The board.
        arena: The tensor arena.
        items: Every use of memory.
        unmeasured_operators: The operators whose code is in no figure.
    """

    board: Board
    arena: Arena
    items: tuple[Item, ...]
    unmeasured_operators: tuple[str, ...]

    @property
    def flash_bytes(self) -> int:
        """The flash that the model and its code take, in bytes."""
        return sum(item.bytes for item in self.items if item.memory == "flash")

    @property
    def ram_bytes(self) -> int:
        """The RAM that inference takes, in bytes."""
        return sum(item.bytes for item in self.items if item.memory == "RAM")

    def bank_uses(self) -> list[BankUse]:
        """Puts the largest item first, and each into the bank with the most room.

        Returns:
            One `BankUse` per bank, flash first.
        """
        uses = []
        for memory, banks in (("flash", self.board.flash), ("RAM", self.board.ram)):
            held: dict[Bank, list[Item]] = {bank: [] for bank in banks}
            items = [item for item in self.items if item.memory == memory]
            for item in sorted(items, key=lambda item: -item.bytes):
                room = {b: b.bytes - sum(i.bytes for i in held[b]) for b in banks}
                held[max(room, key=lambda bank: room[bank])].append(item)
            uses += [BankUse(memory, bank, tuple(held[bank])) for bank in banks]
        return uses

    @property
    def flash_over_bytes(self) -> int:
        """The bytes by which the flash is exceeded, 0 if it is not."""
        return sum(use.over_bytes for use in self.bank_uses() if use.memory == "flash")

    @property
    def ram_over_bytes(self) -> int:
        """The bytes by which RAM is exceeded, 0 if it is not; nothing is split over two banks."""
        return sum(use.over_bytes for use in self.bank_uses() if use.memory == "RAM")

    @property
    def fits(self) -> bool:
        """Whether neither memory is exceeded."""
        return self.flash_over_bytes == 0 and self.ram_over_bytes == 0

    def doubt(self) -> str:
        """Says that a refusal rests on an upper bound, where it does.

        Returns:
            A sentence that names the memories that are exceeded; empty if none is, or if what is
            known exactly exceeds one already.
        """
        known = dataclasses.replace(self, items=tuple(i for i in self.items if not i.is_bound))
        if self.fits or not known.fits:
            return ""
        over = [
            memory
            for memory, over_bytes in (
                ("flash", self.flash_over_bytes),
                ("RAM", self.ram_over_bytes),
            )
            if over_bytes
        ]
        bound = "is an upper bound" if len(over) == 1 else "are upper bounds"
        return f"Its {' and '.join(over)} {bound}, so that it may fit after all."

    def sentence(self) -> str:
        """The outcome in one line.

        Returns:
            What is left of each memory, or by how much it is exceeded, and whether that rests on
            an upper bound.
        """
        parts = []
        for memory, used, over, has in (
            ("flash", self.flash_bytes, self.flash_over_bytes, self.board.flash_bytes),
            ("RAM", self.ram_bytes, self.ram_over_bytes, self.board.ram_bytes),
        ):
            state = f"over by {over:,}" if over else f"{has - used:,} to spare"
            parts.append(f"{memory} {used:,} of {has:,} bytes, {state}")
        return f"{self.board.name}: {'; '.join(parts)}. {self.doubt()}".rstrip()


@dataclasses.dataclass(frozen=True)
class Variant:
    """A narrower or smaller version of a network, and what it takes.

    Attributes:
        alpha_factor: The factor of its channels.
        rho: The factor of its input's sides.
        input_shape: The height, width and channels of its input.
        flash_bytes: The flash that it takes, as in `Budget`.
        ram_bytes: The RAM that it takes, as in `Budget`.
    """

    alpha_factor: float
    rho: float
    input_shape: tuple[int, ...]
    flash_bytes: int
    ram_bytes: int


def budget(
    graph: Graph,
    board: Board,
    flash_margin_bytes: int = 0,
    ram_margin_bytes: int = 0,
    *,
    predicted: ArenaPlan | None = None,
) -> Budget:
    """Adds up what a model takes of a board.

    Args:
        graph: An int8 model.
        board: The board.
        flash_margin_bytes: The flash to leave to the rest of the firmware.
        ram_margin_bytes: The RAM to leave to the rest of the firmware.
        predicted: A prediction of the graph's arena that is at hand, see `tensor_arena`.

    Returns:
        The `Budget`: for TFLite Micro with the kernels of CMSIS-NN, the larger of the two sets.

    Raises:
        EdgeError: If the arena has to be measured and cannot be.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> budget(graph, find_board("nucleo-f446re")).fits
        True
    """
    arena = tensor_arena(graph, board, predicted=predicted)
    use = _budget(board, arena, graph.model_bytes, library_use(graph.op_names()))
    margins = (
        Item("flash", "margin for the firmware", flash_margin_bytes, "as asked"),
        Item("RAM", "margin for the firmware", ram_margin_bytes, "as asked"),
    )
    return dataclasses.replace(
        use, items=(*use.items, *(margin for margin in margins if margin.bytes))
    )


def require_fit(
    graph: Graph,
    board: Board,
    *,
    where: str = "The model",
    more: Sequence[Item] = (),
    predicted: ArenaPlan | None = None,
) -> Budget:
    """Refuses a model that a board cannot hold.

    Args:
        graph: An int8 model.
        board: The board.
        where: The model's name for the message.
        more: The other things that take memory.
        predicted: A prediction of the graph's arena that is at hand, see `tensor_arena`.

    Returns:
        The `Budget`.

    Raises:
        DoesNotFitError: If it does not fit; carries the budget and the graph.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> hog = Item("RAM", "the rest of the firmware", 131_072, "as asked")
        >>> require_fit(graph, find_board("nucleo-f446re"), where="tiny.tflite", more=[hog])
        Traceback (most recent call last):
        edge.errors.DoesNotFitError: tiny.tflite does not fit. ...
    """
    result = budget(graph, board, predicted=predicted)
    result = dataclasses.replace(result, items=(*result.items, *more))
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
        >>> from edge.catalog.boards import find_board
        >>> [v.alpha_factor for v in fitting_variants(graph, find_board("nucleo-f446re"))]
        [1.0, 0.75, 0.5, 0.25, 0.125]
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


def budget_of(model: ScaledModel, board: Board) -> Budget:
    """Adds up what a scaled network would take, under the smallest memory plan.

    Args:
        model: The scaled network, from `edge.transforms.scale`.
        board: The board.

    Returns:
        The `Budget`.

    Raises:
        NoArenaRuleError: If an operator's memory is not known.

    Example:
        >>> from edge.catalog.boards import find_board
        >>> budget_of(scaled_model(graph, 0.5, 64), find_board("nucleo-f446re")).fits
        True
    """
    planned = planned_graph(model.graph, steps=VARIANT_STEPS)
    arena = tensor_arena(planned.graph, board, may_measure=False, predicted=planned.arena)
    model_bytes = model.model_bytes
    if planned.graph is not model.graph:
        model_bytes += PLAN_FILE_BYTES + 4 * len(model.graph.tensors)
    return _budget(board, arena, model_bytes, library_use(model.graph.op_names()))


def _variant(graph: Graph, board: Board, alpha: float, side: int) -> Variant | None:
    try:
        model = scaled_model(graph, alpha, side)
        result = budget_of(model, board)
    except (NoScaleRuleError, NoArenaRuleError):
        return None
    if not result.fits:
        return None
    shape = model.graph.input.shape[1:]
    rho = side / max(graph.input.shape[1:3])
    return Variant(
        alpha_factor=alpha,
        rho=rho,
        input_shape=shape,
        flash_bytes=result.flash_bytes,
        ram_bytes=result.ram_bytes,
    )


def _budget(board: Board, arena: Arena, model_bytes: int, library: LibraryUse) -> Budget:
    arena_basis = "computed" if arena.is_exact else "at most, from TFLM's 64-bit build"
    code = Item(
        "flash",
        "TFLite Micro, CMSIS-NN kernels",
        library.cmsis_nn_flash_bytes,
        f"measured, at most (reference kernels: {library.reference_flash_bytes:,})",
    )
    if arena.cmsis_nn_bytes is None:
        code = Item(
            "flash",
            "TFLite Micro, reference kernels",
            library.reference_flash_bytes,
            "measured, at most",
        )
    items = (
        Item("flash", "model", model_bytes, "exact"),
        code,
        Item("RAM", "tensor arena", arena.bytes, arena_basis),
        Item("RAM", "interpreter, static data", library.static_ram_bytes, "measured"),
        Item("RAM", "stack", library.stack_bytes, "measured"),
    )
    return Budget(board, arena, items, library.unmeasured)
