"""Typical inputs for post-training quantization, in every form in which people have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from edge.errors import ConversionError


def representative_samples(dataset: Any, input_shape: tuple[int, ...]) -> np.ndarray:
    """Gathers a representative data set into one array.

    Args:
        dataset: A float array of shape (samples, *input shape); an iterable of such arrays; or
            the function of TensorFlow Lite's tutorials, which takes no argument and yields lists
            of one array with a batch of one.
        input_shape: The shape of one input of the model, without the batch.

    Returns:
        float32 array, (samples, *input_shape).

    Raises:
        ConversionError: If there are no samples, they have another shape, or they are no finite
            numbers.

    Example:
        >>> def tutorial():
        ...     for image in np.zeros((5, 8, 8, 3), "float32"):
        ...         yield [image[np.newaxis]]
        >>> representative_samples(tutorial, (8, 8, 3)).shape
        (5, 8, 8, 3)
    """
    if dataset is None:
        raise ConversionError(
            "The model has no trained int8 ranges. Pass representative_dataset, about 100 typical "
            "inputs (on the command line --data), for post-training quantization, or train it "
            "with keras_mobilenet.QuantizationAwareTraining."
        )
    arrays = list(_arrays(dataset))
    try:
        samples = np.concatenate([np.asarray(array, np.float32) for array in arrays])
    except (TypeError, ValueError) as error:
        raise ConversionError(f"representative_dataset is no float array: {error}") from error
    if samples.shape[1:] != input_shape or len(samples) == 0:
        raise ConversionError(
            f"representative_dataset has shape {samples.shape}, the model reads "
            f"{('samples', *input_shape)}."
        )
    if not np.isfinite(samples).all():
        raise ConversionError("representative_dataset holds NaN or infinity.")
    return samples


def _arrays(dataset: Any) -> Iterable[Any]:
    """The batches of samples of a data set, which may be a function that makes them."""
    made = dataset() if callable(dataset) else dataset
    if hasattr(made, "shape"):
        return [made]
    if not isinstance(made, Iterable):
        raise ConversionError(
            f"representative_dataset is {type(made).__name__}; give an array, an iterable of "
            "arrays, or a function without arguments that yields them."
        )
    # One input each: the converter's own form is a list with an array for every input.
    return (
        item[0] if isinstance(item, (list, tuple)) and len(item) == 1 else item for item in made
    )
