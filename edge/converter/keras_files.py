"""Reads and writes `.keras` files."""

from __future__ import annotations

import os
import pathlib
import tempfile
from typing import Any

from edge.errors import ModelError

MODEL_FILE = "model.keras"


def load_keras(path: str | os.PathLike) -> Any:
    """Loads a `.keras` file.

    Args:
        path: The path of the file.

    Returns:
        The `keras.Model`.

    Raises:
        ModelError: If it is missing or cannot be loaded.

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
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise ModelError(
            f"{os.fspath(path)} is not a readable Keras model: {first_line(error)}"
        ) from error


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


def first_line(error: Exception) -> str:
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
