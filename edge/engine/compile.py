"""From a graph to a planned and packed engine: the one driver of its passes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import numpy as np

from edge.engine.layers import network_of
from edge.engine.network import Network
from edge.engine.packing import Kernel, kernel_for
from edge.engine.program import LEVELS
from edge.engine.schedule import Scheduler
from edge.engine.stream_plan import StreamPlan
from edge.tflite.graph import Graph
from edge.transforms.constant_channels import without_constant_channels
from edge.transforms.dead_operators import without_dead_operators
from edge.transforms.groups import without_groups


@dataclasses.dataclass(frozen=True, eq=False)
class Engine:
    """A model's engine, planned and packed, before it is C.

    Attributes:
        network: The layers.
        plan: The schedule of their rows, and the memory.
        kernels: The kernel of each layer.
        weights: All that the kernels read, in one piece of little-endian words.
        first_words: Where each layer's part of the weights starts, in words; at last their end.
    """

    network: Network
    plan: StreamPlan
    kernels: tuple[Kernel, ...]
    weights: np.ndarray
    first_words: tuple[int, ...]

    @property
    def weights_bytes(self) -> int:
        """The flash that the weights take, in bytes."""
        return int(self.weights.nbytes)

    @property
    def state_bytes(self) -> int:
        """The RAM that one state takes on a 32-bit core, in bytes."""
        tensors = len(self.plan.stores)
        counters = 4 + 2 * tensors + 2 + LEVELS + tensors
        return self.plan.memory_bytes + (counters + 3) // 4 * 4


def compile_engine(
    graph: Graph, instructions: str = "portable", ram_bytes: int | None = None
) -> Engine:
    """Compiles a model for a core.

    Args:
        graph: An int8 model with one input and one output.
        instructions: The core's instruction set, `"portable"`, `"dsp"` or `"mve"`; that of a board
            is `instruction_set(board)`.
        ram_bytes: If given, speed comes first as long as the plan keeps within it.

    Returns:
        The `Engine`.

    Raises:
        ModelError: If the engine has no kernel for an operator.
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> compile_engine(graph, "dsp").plan.memory_bytes
        416
    """
    return compile_engines(graph, [instructions], ram_bytes)[instructions]


def compile_engines(
    graph: Graph, instruction_sets: Iterable[str], ram_bytes: int | None = None
) -> dict[str, Engine]:
    """Compiles a model for several cores, and does once what is the same for all.

    Args:
        graph: An int8 model with one input and one output.
        instruction_sets: Some of `INSTRUCTION_SETS`.
        ram_bytes: If given, speed comes first as long as the plan keeps within it.

    Returns:
        The `Engine` of each instruction set.

    Raises:
        ModelError: If the engine has no kernel for an operator.
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> engines = compile_engines(graph, ["portable", "dsp"])
        >>> engines["portable"].network is engines["dsp"].network
        True
    """
    graph = without_groups(without_dead_operators(graph))
    # Before any channel goes: what is missing is named as the file names it.
    network_of(graph)
    network = network_of(without_constant_channels(graph))
    return schedule_and_pack(network, instruction_sets, ram_bytes)


def schedule_and_pack(
    network: Network, instruction_sets: Iterable[str], ram_bytes: int | None = None
) -> dict[str, Engine]:
    """The last passes alone: plans and packs layers as they are, constant channels included.

    Args:
        network: The layers.
        instruction_sets: Some of `INSTRUCTION_SETS`.
        ram_bytes: If given, speed comes first as long as the plan keeps within it.

    Returns:
        The `Engine` of each instruction set.

    Raises:
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> schedule_and_pack(network_of(graph), ["mve"])["mve"].kernels[0].name
        'conv_mve'
    """
    scheduler = Scheduler(network)
    engines = {}
    for instructions in instruction_sets:
        kernels = tuple(kernel_for(network, layer, instructions) for layer in network.layers)
        plan = scheduler.plan([kernel.scratch_bytes for kernel in kernels], ram_bytes)
        weights, first_words = _joined([kernel.weights for kernel in kernels])
        engines[instructions] = Engine(
            network=network, plan=plan, kernels=kernels, weights=weights, first_words=first_words
        )
    return engines


def _joined(words: Sequence[np.ndarray]) -> tuple[np.ndarray, tuple[int, ...]]:
    """All weights in one piece, and where each layer's part starts."""
    starts = np.cumsum([0, *(len(part) for part in words)])
    # C has no empty array: a word stands for the weights of a network that has none.
    joined = np.concatenate(words) if starts[-1] else np.zeros(1, np.int64)
    return (joined & 0xFFFFFFFF).astype("<u4"), tuple(int(start) for start in starts)
