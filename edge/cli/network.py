"""The options of a network as arguments of `keras_mobilenet.MobileNet`."""

from __future__ import annotations

from typing import Any

from edge.errors import EdgeError


def network_of(
    stages: str | None,
    stem: str | None,
    is_residual: bool,
    *,
    alpha: float | None,
    shape: tuple[int, int, int],
    classes: int,
) -> Any:
    """Makes the network that `--stages` and `--stem` describe.

    Args:
        stages: The stages, `filters,kernel,stride,repeats,kind` each, with spaces between them;
            None for no network of the user's own.
        stem: The stem, `filters,kernel,stride`; None for the builder's.
        is_residual: Whether blocks are added to what they read.
        alpha: The width multiplier; None for 1.
        shape: The (height, width, channels) of the images, in pixels.
        classes: The number of classes.

    Returns:
        The Keras model; None without stages.

    Raises:
        EdgeError: If a stage or the stem is none.

    Example:
        >>> network_of("8,3,2 16", "8", False, alpha=None, shape=(16, 16, 1), classes=2).name
        'mobilenet'
    """
    if stages is None:
        if stem is not None or is_residual:
            raise EdgeError("--stem and --residual belong to --stages, which is not given.")
        return None
    from keras_mobilenet import MobileNet

    options: dict[str, Any] = {} if stem is None else {"stem": tuple_of(stem, "--stem")}
    try:
        return MobileNet(
            [tuple_of(stage, "--stages") for stage in stages.split()],
            shape,
            1.0 if alpha is None else alpha,
            is_residual=is_residual,
            classes=classes,
            **options,
        )
    except ValueError as error:
        raise EdgeError(f"No such network: {error}") from error


def tuple_of(text: str, option: str) -> tuple[int | str, ...]:
    """Reads numbers and words with commas between them.

    Args:
        text: The text.
        option: The name of the option, for messages.

    Returns:
        The numbers and words.

    Raises:
        EdgeError: If one is neither a number nor a word.

    Example:
        >>> tuple_of("48,3,2,1,conv", "--stages")
        (48, 3, 2, 1, 'conv')
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isalnum() and len(part) <= 9 for part in parts):
        raise EdgeError(f"{option} takes numbers with commas between them, got {text!r}.")
    return tuple(int(part) if part.isdigit() else part for part in parts)
