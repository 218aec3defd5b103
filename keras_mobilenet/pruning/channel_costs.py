"""What a network with some of its channels costs, and which channels to give up for a target."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_mobilenet.pruning.channel_groups import ChannelSpaces, Stage

INT32_BYTES = 4


def macs(spaces: ChannelSpaces, kept: np.ndarray) -> int:
    """Multiply-accumulates of one inference.

    Args:
        spaces: The network's channels.
        kept: Boolean array by joint number.

    Returns:
        Of all convolutions and matrix products.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> spaces = ChannelSpaces(model)
        >>> macs(spaces, np.ones(11, bool))
        384
    """
    return sum(stage.pixels * _weights(spaces, kept, stage) for stage in spaces.stages)


def _weights(spaces: ChannelSpaces, kept: np.ndarray, stage: Stage) -> int:
    """Elements of a kernel."""
    reads, writes = (int(kept[spaces.roots(n)].sum()) for n in (stage.reads, stage.writes))
    return stage.taps * writes * (1 if stage.is_depthwise else reads)


def flash_bytes(spaces: ChannelSpaces, kept: np.ndarray) -> int:
    """Bytes of the int8 kernels and int32 biases, batch normalization folded.

    Args:
        spaces: The network's channels.
        kept: Boolean array by joint number.

    Returns:
        Bytes, without scales, code and file format.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> flash_bytes(ChannelSpaces(model), np.ones(11, bool))
        56
    """
    biases = sum(
        int(kept[spaces.roots(stage.writes)].sum()) for stage in spaces.stages if stage.has_bias
    )
    return sum(_weights(spaces, kept, stage) for stage in spaces.stages) + INT32_BYTES * biases


def ram_bytes(spaces: ChannelSpaces, kept: np.ndarray) -> list[int]:
    """Bytes of the int8 tensors alive at each step, layers computed one after the other.

    Args:
        spaces: The network's channels.
        kept: Boolean array by joint number.

    Returns:
        Bytes for each step; their largest is the least arena that layer by layer needs.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> ram_bytes(ChannelSpaces(model), np.ones(11, bool))
        [176]
    """
    last_use = {spaces.result: len(spaces.steps)}
    made = {spaces.source: -1}
    for index, step in enumerate(spaces.steps):
        made[step.result] = index
        last_use.update(dict.fromkeys(step.sources, index))
    sizes = {
        tensor: int(np.prod(spaces.shapes[tensor][:-1])) * int(kept[spaces.roots(n)].sum())
        for tensor, n in spaces.labels.items()
    }
    bytes_alive = []
    for index, step in enumerate(spaces.steps):
        alive = {t for t in sizes if made[t] <= index <= last_use.get(t, index)}
        if step.is_in_place:
            alive.discard(step.result)
        bytes_alive.append(sum(sizes[tensor] for tensor in alive))
    return bytes_alive


def cheapest_removals(
    spaces: ChannelSpaces,
    kept: np.ndarray,
    importance: np.ndarray,
    targets: Mapping[str, float],
    multiple_of: int,
) -> np.ndarray:
    """Gives up channels, least important per saving first, until every target is met.

    Args:
        spaces: The network's channels.
        kept: Boolean array by joint number.
        importance: Float array by joint number.
        targets: `"macs"`, `"flash_bytes"` or `"ram_bytes"` -> upper limit.
        multiple_of: Channels of each layer stay a multiple of it.

    Returns:
        Boolean array by joint number: what is still kept.

    Raises:
        ValueError: If the target cannot be met with `multiple_of` channels left in each layer.

    Example:
        >>> import keras
        >>> model = keras.Sequential(
        ...     [keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1), keras.layers.Conv2D(2, 1)])
        >>> spaces = ChannelSpaces(model)
        >>> kept = cheapest_removals(spaces, np.ones(13, bool), np.arange(13.0), {"macs": 320}, 4)
        >>> int(kept.sum()), macs(spaces, kept)
        (9, 320)
    """
    kept = kept.copy()
    while (excess := _excess(spaces, kept, targets)) > 0:
        best, best_score = None, np.inf
        for group in spaces.groups:
            alive = group[kept[group]]
            block = len(alive) % multiple_of or multiple_of
            if len(alive) - block < multiple_of:
                continue
            candidates = alive[np.argsort(importance[alive], kind="stable")[:block]]
            without = kept.copy()
            without[candidates] = False
            saved = excess - _excess(spaces, without, targets)
            score = importance[candidates].sum() / saved if saved > 0 else np.inf
            if score < best_score:
                best, best_score = without, score
        if best is None:
            limits = ", ".join(f"{name}={limit:,.0f}" for name, limit in targets.items())
            raise ValueError(
                f"No smaller network meets {limits}: every layer is down to {multiple_of} "
                "channels, or what is left cannot be pruned. Raise the target."
            )
        kept = best
    return kept


def _excess(spaces: ChannelSpaces, kept: np.ndarray, targets: Mapping[str, float]) -> float:
    """How far the costs lie above their targets, each in units of its target."""
    total = 0.0
    for name, limit in targets.items():
        # Several steps may tie for the RAM's peak: each counts, else no single removal helps.
        costs = {
            "macs": lambda: [macs(spaces, kept)],
            "flash_bytes": lambda: [flash_bytes(spaces, kept)],
            "ram_bytes": lambda: ram_bytes(spaces, kept),
        }[name]()
        total += sum(max(cost - limit, 0.0) / limit for cost in costs)
    return total
