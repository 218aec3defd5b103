"""What a network with some of its channels costs, and which channels to remove for a target."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_mobilenet.pruning.channel_groups import ChannelGroups, Stage

INT32_BYTES = 4


def macs(channels: ChannelGroups, kept: np.ndarray) -> int:
    """Counts the multiply-accumulates of one inference.

    Args:
        channels: The channels of the network.
        kept: Whether each channel is kept, a boolean array by joint number.

    Returns:
        The multiply-accumulates of all convolutions and matrix products.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> channels = ChannelGroups(model)
        >>> macs(channels, np.ones(11, bool))
        384
    """
    return sum(stage.pixels * _weights(channels, kept, stage) for stage in channels.stages)


def _weights(channels: ChannelGroups, kept: np.ndarray, stage: Stage) -> int:
    """Elements of a kernel."""
    reads, writes = (int(kept[channels.roots(n)].sum()) for n in (stage.reads, stage.writes))
    return stage.taps * writes * (1 if stage.is_depthwise else reads)


def flash_bytes(channels: ChannelGroups, kept: np.ndarray) -> int:
    """Counts the bytes of the int8 kernels and int32 biases, batch normalization folded.

    Args:
        channels: The channels of the network.
        kept: Whether each channel is kept, a boolean array by joint number.

    Returns:
        The bytes, without scales, code and file format.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> flash_bytes(ChannelGroups(model), np.ones(11, bool))
        56
    """
    biases = sum(
        int(kept[channels.roots(stage.writes)].sum()) for stage in channels.stages if stage.has_bias
    )
    return sum(_weights(channels, kept, stage) for stage in channels.stages) + INT32_BYTES * biases


def ram_bytes(channels: ChannelGroups, kept: np.ndarray) -> list[int]:
    """Counts the bytes of the int8 tensors alive at each step, layer by layer.

    Args:
        channels: The channels of the network.
        kept: Whether each channel is kept, a boolean array by joint number.

    Returns:
        The bytes at each step; their maximum is the smallest arena that layer-by-layer inference
        can have.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> ram_bytes(ChannelGroups(model), np.ones(11, bool))
        [176]
    """
    last_use = {channels.result: len(channels.steps)}
    made = {channels.source: -1}
    for index, step in enumerate(channels.steps):
        made[step.result] = index
        last_use.update(dict.fromkeys(step.sources, index))
    sizes = {
        tensor: int(np.prod(channels.shapes[tensor][:-1])) * int(kept[channels.roots(n)].sum())
        for tensor, n in channels.labels.items()
    }
    bytes_alive = []
    for index, step in enumerate(channels.steps):
        alive = {t for t in sizes if made[t] <= index <= last_use.get(t, index)}
        if not step.has_own_tensor:
            alive.discard(step.result)
        bytes_alive.append(sum(sizes[tensor] for tensor in alive))
    return bytes_alive


def cheapest_removals(
    channels: ChannelGroups,
    kept: np.ndarray,
    *,
    importance: np.ndarray,
    targets: Mapping[str, float],
    multiple_of: int,
) -> np.ndarray:
    """Removes channels, least important per saving first, until every target is met.

    Args:
        channels: The channels of the network.
        kept: Whether each channel is kept, a boolean array by joint number.
        importance: How much each channel matters, a float array by joint number.
        targets: The upper limits by name: `"macs"`, `"flash_bytes"`, `"ram_bytes"`.
        multiple_of: Every layer keeps a multiple of so many channels.

    Returns:
        Whether each channel is still kept, a boolean array by joint number.

    Raises:
        ValueError: If the target cannot be met with `multiple_of` channels left in each layer.

    Example:
        >>> import keras
        >>> model = keras.Sequential(
        ...     [keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1), keras.layers.Conv2D(2, 1)])
        >>> channels = ChannelGroups(model)
        >>> kept = cheapest_removals(channels, np.ones(13, bool), importance=np.arange(13.0),
        ...     targets={"macs": 320}, multiple_of=4)
        >>> int(kept.sum()), macs(channels, kept)
        (9, 320)
    """
    kept = kept.copy()
    while (excess := _excess(channels, kept, targets)) > 0:
        best, best_score = None, np.inf
        for group in channels.groups:
            alive = group[kept[group]]
            block = len(alive) % multiple_of or multiple_of
            if len(alive) - block < multiple_of:
                continue
            candidates = alive[np.argsort(importance[alive], kind="stable")[:block]]
            without = kept.copy()
            without[candidates] = False
            saved = excess - _excess(channels, without, targets)
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


def _excess(channels: ChannelGroups, kept: np.ndarray, targets: Mapping[str, float]) -> float:
    """How far the costs lie above their targets, each in units of its target."""
    total = 0.0
    for name, limit in targets.items():
        # Several steps may tie for the RAM's peak: each counts, else no single removal helps.
        costs = {
            "macs": lambda: [macs(channels, kept)],
            "flash_bytes": lambda: [flash_bytes(channels, kept)],
            "ram_bytes": lambda: ram_bytes(channels, kept),
        }[name]()
        total += sum(max(cost - limit, 0.0) / limit for cost in costs)
    return total
