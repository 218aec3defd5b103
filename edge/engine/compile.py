"""From a graph to a planned and packed engine: the one driver of its passes."""

from __future__ import annotations

import dataclasses

import numpy as np

from edge.catalog.boards import Board
from edge.engine.layers import Network, network_of
from edge.engine.packing import Kernel, instruction_set, kernel_for
from edge.engine.schedule import StreamPlan, plan_stream
from edge.tflite.graph import Graph
from edge.transforms.constant_channels import without_constant_channels


@dataclasses.dataclass(frozen=True, eq=False)
class Engine:
    """A model's engine, planned and packed, before it is C.

    Attributes:
        network: The layers.
        plan: Their schedule and memory.
        kernels: One per layer.
        weights: All that the kernels read, in one piece of little-endian words.
        first_words: Where each layer's part starts.
    """

    network: Network
    plan: StreamPlan
    kernels: tuple[Kernel, ...]
    weights: np.ndarray
    first_words: tuple[int, ...]

    @property
    def weights_bytes(self) -> int:
        """Flash that the weights take, in bytes."""
        return int(self.weights.nbytes)

    @property
    def state_bytes(self) -> int:
        """RAM that one state takes on a 32-bit core, in bytes."""
        tensors = len(self.plan.stores)
        counters = 4 + 2 * tensors + 2 * tensors + 2
        return self.plan.memory_bytes + (counters + 3) // 4 * 4


def engine_of(graph: Graph, instructions: str = "portable", ram_bytes: int | None = None) -> Engine:
    """Plans and packs a model for a core.

    Args:
        graph: An int8 model with one input and one output.
        instructions: `"portable"`, `"dsp"` or `"mve"`.
        ram_bytes: If given, speed comes first as long as the plan keeps within it.

    Returns:
        The `Engine`.

    Raises:
        ModelError: If the engine has no kernel for an operator.
        InfeasibleError: If no schedule keeps within `ram_bytes`.

    Example:
        >>> engine_of(graph, "dsp").plan.memory_bytes
        400
    """
    network = network_of(graph)
    kernels = tuple(kernel_for(network, layer, instructions) for layer in network.layers)
    plan = plan_stream(network, lambda layer: kernels[layer.index].scratch_bytes, ram_bytes)
    starts = np.cumsum([0, *(len(kernel.weights) for kernel in kernels)])
    # C has no empty array: a word stands for the weights of a network that has none.
    words = [kernel.weights for kernel in kernels if len(kernel.weights)] or [np.zeros(1, int)]
    weights = np.concatenate(words) & 0xFFFFFFFF
    return Engine(network, plan, kernels, weights.astype("<u4"), tuple(int(n) for n in starts))


def engine_for(graph: Graph, board: Board, ram_bytes: int | None = None) -> Engine:
    """Plans and packs a model for a board's core, constant channels taken out.

    Args:
        graph: An int8 model with one input and one output.
        board: The board.
        ram_bytes: See `build`.

    Returns:
        The `Engine`.

    Raises:
        ModelError: If the engine has no kernel for an operator.

    Example:
        >>> engine_for(graph, find_board("nucleo-f446re")).state_bytes
        440
    """
    # First of all: what is missing is named as the file names it.
    network_of(graph)
    return engine_of(without_constant_channels(graph), instruction_set(board), ram_bytes)
