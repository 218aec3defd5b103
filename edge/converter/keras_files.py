"""Reads and writes `.keras` files."""

from __future__ import annotations

import os
import pathlib
import tempfile
import zipfile
from typing import Any

from edge.errors import ModelError

MODEL_FILE = "model.keras"
WEIGHTS_FILE = "model.weights.h5"

LARGEST_BYTES = 512 << 20
"""A file may unpack to so much: thirty times the largest MobileNetV1."""


def load_keras(path: str | os.PathLike) -> Any:
    """Loads a `.keras` file.

    Args:
        path: The path of the file.

    Returns:
        The `keras.Model`.

    Raises:
        ModelError: If it is missing or cannot be loaded, or unpacks to more than 512 MiB.

    Example:
        >>> load_keras("missing.keras")
        Traceback (most recent call last):
        edge.errors.ModelError: Cannot read missing.keras: no such file.
    """
    import keras

    import keras_mobilenet  # noqa: F401 - registers the layers

    if not os.path.isfile(path):
        what = "it is a folder" if os.path.isdir(path) else "no such file"
        raise ModelError(f"Cannot read {os.fspath(path)}: {what}.")
    _require_modest(path)
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(
            f"{os.fspath(path)} is not a readable Keras model: {first_line(error)}"
        ) from error


def _require_modest(path: str | os.PathLike) -> None:
    """Refuses a small file that unpacks to all of the memory, before anything is unpacked."""
    import h5py

    try:
        with zipfile.ZipFile(path) as archive:
            # More than this of a member is never read, whatever it really holds.
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
            if unpacked_bytes <= LARGEST_BYTES:
                with archive.open(WEIGHTS_FILE) as member, h5py.File(member, "r") as weights:
                    # HDF5 packs on its own.
                    unpacked_bytes = _array_bytes(weights)
    # What else is wrong with the file, Keras says.
    except (OSError, KeyError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return
    if unpacked_bytes > LARGEST_BYTES:
        raise ModelError(
            f"{os.fspath(path)} unpacks to {unpacked_bytes:,} bytes, more than the "
            f"{LARGEST_BYTES:,} that a model for a microcontroller can need."
        )


def _array_bytes(weights: Any) -> int:
    import h5py

    sizes = []

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes.append(item.size * item.dtype.itemsize)

    weights.visititems(add)
    return sum(sizes)


def keras_bytes(model: Any) -> bytes:
    """Makes the bytes of a `.keras` file, to be written together with other files.

    Args:
        model: A built Keras model.

    Returns:
        The file's bytes.

    Example:
        >>> keras_bytes(model)[:2]
        b'PK'
    """
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        path = pathlib.Path(name) / MODEL_FILE
        model.save(path)
        return path.read_bytes()


def first_line(error: BaseException) -> str:
    """The first line of an error's message that says something.

    Args:
        error: The error.

    Returns:
        The line, or the name of the error's class if its message is empty.

    Example:
        >>> first_line(ValueError("\\nno such layer\\nTraceback: ...")), first_line(KeyError())
        ('no such layer', 'KeyError')
    """
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
