"""What a network with some of its channels costs, and which channels to remove for a target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from keras_mobilenet.pruning.channel_groups import ChannelGroups, Stage

INT32_BYTES = 4
_SPARED = 3
"""How fast a layer gets more dear as it gets narrower: one that saves eight times as much by a
channel's share ends half as wide."""
_REFRESHED = 8
"""Savings are counted anew after so many removals: they change slowly, and a chip's take time."""
_TIE = 1e-3


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


def _all_ram(channels: ChannelGroups, kept: np.ndarray) -> int:
    return sum(ram_bytes(channels, kept))


class Costs:
    """What a network costs with some of its channels: by the arithmetic, or by a caller's counter.

    Args:
        channels: The channels of the network.
        count: A function `count(name, widths)` that returns what the network costs on a chip, with
            so many output channels of each stage; None for `flash_bytes` and `ram_bytes` as they
            are counted here.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1)])
        >>> costs = Costs(ChannelGroups(model), lambda name, widths: 100.0 * widths[0])
        >>> costs.of("macs", np.ones(11, bool)), costs.of("ms", np.ones(11, bool))
        (384.0, 800.0)
    """

    def __init__(
        self,
        channels: ChannelGroups,
        count: Callable[[str, Sequence[int]], float] | None = None,
    ):
        self.channels = channels
        self._count = count

    def of(self, name: str, kept: np.ndarray) -> float:
        """What the network costs.

        Args:
            name: `"macs"`, `"flash_bytes"`, `"ram_bytes"`, or another that the counter knows.
            kept: Whether each channel is kept, a boolean array by joint number.

        Returns:
            The cost.
        """
        return max(self._each(name, kept))

    def excess(self, kept: np.ndarray, targets: Mapping[str, float]) -> float:
        """How far the costs lie above their targets, each in units of its target.

        Args:
            kept: Whether each channel is kept, a boolean array by joint number.
            targets: The upper limits by name.

        Returns:
            The sum; 0 where all targets are met.
        """
        return sum(
            max(cost - limit, 0.0) / limit
            for name, limit in targets.items()
            for cost in self._each(name, kept)
        )

    def saved(self, kept: np.ndarray, without: np.ndarray, targets: Mapping[str, float]) -> float:
        """What a removal saves of what the targets limit, in units of the targets.

        Args:
            kept: Whether each channel is kept before, a boolean array by joint number.
            without: Whether each channel is kept afterwards, an array of the same shape.
            targets: The upper limits by name.

        Returns:
            The saving. A chip counts in steps, pairs of channels for one: where no single removal
            saves anything, what it saves by the arithmetic counts a little.
        """
        saving = self.excess(kept, targets) - self.excess(without, targets)
        if self._count is None:
            return saving
        for name in targets:
            plain = {"flash_bytes": flash_bytes, "ram_bytes": _all_ram}.get(name, macs)
            before, after = (plain(self.channels, channels) for channels in (kept, without))
            saving += _TIE * (before - after) / before
        return saving

    def _each(self, name: str, kept: np.ndarray) -> list[float]:
        if name == "macs":
            return [float(macs(self.channels, kept))]
        if self._count is not None:
            widths = [
                int(kept[self.channels.roots(stage.writes)].sum()) for stage in self.channels.stages
            ]
            return [float(self._count(name, widths))]
        if name == "flash_bytes":
            return [float(flash_bytes(self.channels, kept))]
        # Several steps may tie for the peak: each counts, else no single removal helps.
        return [float(size) for size in ram_bytes(self.channels, kept)]


def cheapest_removals(
    costs: Costs,
    kept: np.ndarray,
    *,
    importance: np.ndarray,
    targets: Mapping[str, float],
    multiple_of: int,
) -> np.ndarray:
    """Removes channels, least important per saving first, until every target is met.

    A channel counts for its share of its layer, and the more, the less is left of the layer: a
    narrow layer with large images, such as the first, saves the most and is missed the most.

    Args:
        costs: The costs of the network.
        kept: Whether each channel is kept, a boolean array by joint number.
        importance: How much each channel matters, 1 on average in a layer, a float array by joint
            number.
        targets: The upper limits by name: `"macs"`, `"flash_bytes"`, `"ram_bytes"`, `"ms"`.
        multiple_of: Every layer keeps a multiple of so many channels.

    Returns:
        Whether each channel is still kept, a boolean array by joint number.

    Raises:
        ValueError: If the target cannot be met with `multiple_of` channels left in each layer.

    Example:
        >>> import keras
        >>> model = keras.Sequential(
        ...     [keras.Input((4, 4, 3)), keras.layers.Conv2D(8, 1), keras.layers.Conv2D(2, 1)])
        >>> costs = Costs(ChannelGroups(model))
        >>> kept = cheapest_removals(costs, np.ones(13, bool), importance=np.arange(13.0),
        ...     targets={"macs": 320}, multiple_of=4)
        >>> int(kept.sum()), costs.of("macs", kept)
        (9, 320.0)
    """
    removed: list[np.ndarray] = []
    savings: dict[int, float] = {}
    while costs.excess(kept, targets) > 0:
        if len(removed) % _REFRESHED == 0:
            savings.clear()
        is_fresh = not savings
        best, best_score = None, np.inf
        for index, group in enumerate(costs.channels.groups):
            block = _next_block(group, kept, importance, multiple_of)
            if block is None:
                continue
            if index not in savings:
                savings[index] = costs.saved(kept, _without(kept, block), targets)
            left = (kept[group].sum() - len(block)) / len(group)
            loss = importance[block].sum() / len(group) / left**_SPARED
            score = loss / savings[index] if savings[index] > 0 else np.inf
            if score < best_score:
                best, best_score = (index, block), score
        if best is not None:
            kept = _without(kept, best[1])
            savings.pop(best[0])
            removed.append(best[1])
        elif is_fresh:
            limits = ", ".join(f"{name}={limit:,.0f}" for name, limit in targets.items())
            raise ValueError(
                f"No smaller network meets {limits}: every layer is down to {multiple_of} "
                "channels, or what is left cannot be pruned. Raise the target."
            )
        else:
            savings.clear()
    return _filled(costs, kept, removed, targets)


def _next_block(
    group: np.ndarray, kept: np.ndarray, importance: np.ndarray, multiple_of: int
) -> np.ndarray | None:
    """The least important channels of a group that may go at once."""
    alive = group[kept[group]]
    count = len(alive) % multiple_of or multiple_of
    if len(alive) - count < multiple_of:
        return None
    return alive[np.argsort(importance[alive], kind="stable")[:count]]


def _without(kept: np.ndarray, block: np.ndarray) -> np.ndarray:
    kept = kept.copy()
    kept[block] = False
    return kept


def _filled(
    costs: Costs, kept: np.ndarray, removed: list[np.ndarray], targets: Mapping[str, float]
) -> np.ndarray:
    """Takes back what was removed and still fits: the last removal may have saved too much."""
    for block in reversed(removed):
        more = kept.copy()
        more[block] = True
        if costs.excess(more, targets) == 0:
            kept = more
    return kept
