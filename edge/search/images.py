"""The images of a search, decoded once for all of its networks of a size."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from edge.search.study import Job

if TYPE_CHECKING:
    from keras_mobilenet.training.data import ImageData

SIZES_KEPT = 2


def images_of(job: Job, side: int) -> ImageData:
    """Loads a search's images, or takes those that were loaded before.

    Args:
        job: What is searched for.
        side: The height and width of the images, in pixels.

    Returns:
        The `ImageData`, which nobody may change.

    Example:
        >>> import pathlib
        >>> from edge.catalog.boards import find_board
        >>> job = Job(
        ...     source="faces", images="", side=32, channels=1, classes=2, seconds=600, trials=4,
        ...     board=find_board("arduino-zero"), folder=pathlib.Path("found"),
        ...     storage="sqlite://", artifacts="artifacts",
        ... )
        >>> images_of(job, 24).train_pixels.shape
        (144, 24, 24, 1)
        >>> images_of(job, 24) is images_of(job, 24)
        True
    """
    return _loaded(job.source, job.images, side, job.channels)


@functools.lru_cache(maxsize=SIZES_KEPT)
def _loaded(source: str, digest: str, side: int, channels: int) -> ImageData:
    from keras_mobilenet.training.data import load_images

    return load_images(source, side, channels)
