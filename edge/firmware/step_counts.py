"""How often each block of a firmware ran, layer by layer: the trace laid beside the schedule."""

from __future__ import annotations

import bisect
import collections
import dataclasses

import numpy as np

from edge.engine.compile import Engine
from edge.engine.stream_plan import Await, Make
from edge.firmware.emulate import EmulationError
from edge.firmware.trace import Trace

INPUT = -1
"""Stands for a layer's number: what is done to take a row of the input."""

PUSH_ROW = "model_push_row"
MODEL_CODE = frozenset({PUSH_ROW, "make_row", "keep_row", "rows_of", "memory_at"})
"""The functions of model.c, as far as the compiler leaves them: they call the kernels."""


@dataclasses.dataclass(frozen=True)
class Passage:
    """How often one block followed another while a layer ran.

    Attributes:
        layer: The index of the layer, or `INPUT`.
        block: The address of the block's first instruction.
        following: The address of the block that ran after it.
        count: How often that happened.
    """

    layer: int
    block: int
    following: int
    count: int


def passages(traced: Trace, symbols: dict[int, str], engine: Engine) -> list[Passage]:
    """Counts the blocks of one inference by layer.

    The core enters kernels and copies rows in the order of the schedule, so the n-th entry belongs
    to the n-th step, and what runs until the next entry does as well.

    Args:
        traced: What the core executed.
        symbols: The names of the firmware's functions by their addresses.
        engine: The engine that ran.

    Returns:
        The counts, ordered by layer and address.

    Raises:
        EmulationError: If the core did not execute the schedule step by step.

    Example:
        >>> from edge.engine.compile import compile_engine
        >>> none = Trace(starts=np.zeros(0, np.uint32), ends={})
        >>> passages(none, {}, compile_engine(graph))
        Traceback (most recent call last):
        edge.firmware.emulate.EmulationError: The firmware does not follow its schedule...
    """
    blocks, where = np.unique(traced.starts, return_inverse=True)
    # Of large models there are tens of millions.
    where = where.astype(np.int32)
    moments = _moments(blocks, where, symbols)
    is_inside, is_step = moments.is_inside, moments.is_step
    steps = [step for step in engine.plan.steps if not isinstance(step, Await)]
    works = [
        f"engine_{engine.kernels[step.layer].name}" if isinstance(step, Make) else "memcpy"
        for step in steps
    ]
    ran = [symbols[int(at)] for at in traced.starts[is_step]]
    if not ran or ran != works:
        raise EmulationError(
            f"The firmware does not follow its schedule: {len(ran)} steps of {len(works)} were "
            f"recognized in its blocks."
        )
    maker = {layer.output: layer.index for layer in engine.network.layers}
    layers = np.array(
        [step.layer if isinstance(step, Make) else maker.get(step.tensor, INPUT) for step in steps]
    )
    # Until the first step after a call, a row of the input is taken.
    last_step = np.maximum.accumulate(np.where(is_step, np.arange(len(where), dtype=np.int32), -1))
    is_layers = last_step > moments.last_call
    layer = np.where(is_layers, layers[np.cumsum(is_step) - 1], INPUT)
    inside, size = np.flatnonzero(is_inside), len(blocks)
    keys = ((layer[inside].astype(np.int64) + 1) * size + where[inside]) * size + where[inside + 1]
    found, counts = np.unique(keys, return_counts=True)
    return [
        Passage(
            layer=int(key // (size * size)) - 1,
            block=int(blocks[key // size % size]),
            following=int(blocks[key % size]),
            count=int(count),
        )
        for key, count in zip(found, counts, strict=True)
    ]


def passages_of_call(traced: Trace, symbols: dict[int, str], function: str) -> list[Passage]:
    """Counts the blocks of the first call of a function, with all that it calls.

    Args:
        traced: What the core executed.
        symbols: The names of the firmware's functions by their addresses.
        function: The function's name; its caller calls it alone, and is not called by it.

    Returns:
        The counts, all of layer 0, ordered by address.

    Raises:
        EmulationError: If the function was not called, or did not return.

    Example:
        >>> ran = Trace(np.array([0x40, 0x80, 0x90, 0x44], np.uint32), {})
        >>> counts = passages_of_call(ran, {0x40: "main", 0x80: "model_run"}, "model_run")
        >>> [(hex(passage.block), hex(passage.following)) for passage in counts]
        [('0x80', '0x90'), ('0x90', '0x44')]
    """
    addresses = sorted(symbols)

    def name_of(address: int) -> str:
        at = bisect.bisect_right(addresses, address) - 1
        return symbols[addresses[at]] if at >= 0 else ""

    blocks, where = np.unique(traced.starts, return_inverse=True)
    names = np.array([name_of(int(block)) for block in blocks])
    entered = np.array([symbols.get(int(block), "") for block in blocks])
    calls = np.flatnonzero((entered == function)[where])
    if not len(calls) or calls[0] == 0:
        raise EmulationError(f"The firmware never called {function}.")
    first = int(calls[0])
    is_caller = (names == names[where[first - 1]])[where[first:]]
    if not is_caller.any():
        raise EmulationError(f"The firmware never returned from {function}.")
    inside = where[first : first + int(np.argmax(is_caller)) + 1].astype(np.int64)
    found, counts = np.unique(inside[:-1] * len(blocks) + inside[1:], return_counts=True)
    return [
        Passage(0, int(blocks[key // len(blocks)]), int(blocks[key % len(blocks)]), int(count))
        for key, count in zip(found, counts, strict=True)
    ]


@dataclasses.dataclass(frozen=True)
class _Moments:
    """Of each executed block: is it in the model, does a step begin, where was the model called."""

    is_inside: np.ndarray
    is_step: np.ndarray
    last_call: np.ndarray


def _moments(blocks: np.ndarray, where: np.ndarray, symbols: dict[int, str]) -> _Moments:
    addresses = sorted(symbols)
    inside_of = [bisect.bisect_right(addresses, int(at)) - 1 for at in blocks]
    names = np.array([symbols[addresses[at]] if at >= 0 else "" for at in inside_of], dtype="U99")
    entered = np.array([symbols.get(int(at), "") for at in blocks], dtype="U99")
    is_model = np.isin(names, sorted(MODEL_CODE))[where]
    after_model = np.concatenate(([False], is_model[:-1]))
    is_called = (entered == PUSH_ROW)[where] & ~after_model
    # A function of measure.c calls the model; when the core is there again, the model has returned.
    callers = np.unique(names[where[np.flatnonzero(is_called) - 1]])
    position = np.arange(len(where), dtype=np.int32)
    last_call = np.maximum.accumulate(np.where(is_called, position, -1))
    is_outside = np.isin(names, callers)[where]
    is_inside = last_call > np.maximum.accumulate(np.where(is_outside, position, -1))
    is_step = is_inside & after_model & _is_work(entered)[where]
    return _Moments(is_inside, is_step, last_call)


def _is_work(names: np.ndarray) -> np.ndarray:
    return np.array([n == "memcpy" or n.startswith("engine_") for n in names], dtype=bool)


def instructions_by_layer(
    counted: list[Passage], lengths: dict[int, int]
) -> collections.Counter[int]:
    """Adds up the instructions of each layer.

    Args:
        counted: How often the blocks ran.
        lengths: The number of instructions of each block, by its address.

    Returns:
        Instructions by the layer's index.

    Example:
        >>> instructions_by_layer([Passage(0, 0x40, 0x40, 9), Passage(0, 0x40, 0x50, 1)], {0x40: 8})
        Counter({0: 80})
    """
    total: collections.Counter[int] = collections.Counter()
    for passage in counted:
        total[passage.layer] += passage.count * lengths[passage.block]
    return total
