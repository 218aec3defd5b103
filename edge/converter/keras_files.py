"""Reads and writes `.keras` files."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import tempfile
import zipfile
from typing import Any

from edge.converter.memory_guard import limited_weights
from edge.errors import ModelError

MODEL_FILE = "model.keras"
WEIGHTS_FILE = "model.weights.h5"

CONFIG_FILE = "config.json"
DESCRIPTIONS = (CONFIG_FILE, "metadata.json")

LARGEST_BYTES = 512 << 20
"""A file may unpack to so much: its weights, and twice as much of an optimizer's state."""

LARGEST_CONFIG_BYTES = 4 << 20
"""The description of the layers may take so much: MobileNetV1's takes a fortieth."""

LARGEST_LAYERS = 1000
"""A model may have so many layers, each of which Keras traces; MobileNetV1 has 90."""

BROKEN = (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile)
"""What is raised for a file that has another fault, which Keras names."""


def load_keras(path: str | os.PathLike) -> Any:
    """Loads a `.keras` file.

    Args:
        path: The path of the file.

    Returns:
        The `keras.Model`.

    Raises:
        ModelError: If it is missing or cannot be loaded, unpacks to more than 512 MiB, or asks for
            weights of more than 256 MiB.

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
        with limited_weights(os.fspath(path)):
            return keras.saving.load_model(path, compile=False)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(
            f"{os.fspath(path)} is not a readable Keras model: {first_line(error)}"
        ) from error


def _require_modest(path: str | os.PathLike) -> None:
    """Refuses a small file that unpacks to all of the memory, before anything is unpacked."""
    import h5py

    unpacked_bytes = config_bytes = layers = 0
    with contextlib.suppress(*BROKEN), zipfile.ZipFile(path) as archive:
        # More than this of a member is never read, whatever it really holds.
        sizes = [(member.filename, member.file_size) for member in archive.infolist()]
        unpacked_bytes = sum(size for _, size in sizes)
        config_bytes = sum(size for name, size in sizes if name in DESCRIPTIONS)
        if config_bytes <= LARGEST_CONFIG_BYTES:
            with contextlib.suppress(*BROKEN):
                layers = _layer_count(json.loads(archive.read(CONFIG_FILE)))
        if unpacked_bytes <= LARGEST_BYTES:
            with archive.open(WEIGHTS_FILE) as member, h5py.File(member, "r") as weights:
                # HDF5 packs on its own.
                unpacked_bytes = _array_bytes(weights)
    for does, found, unit, most in (
        ("unpacks to", unpacked_bytes, "bytes", LARGEST_BYTES),
        ("describes its layers in", config_bytes, "bytes", LARGEST_CONFIG_BYTES),
        ("has", layers, "layers", LARGEST_LAYERS),
    ):
        if found > most:
            raise ModelError(
                f"{os.fspath(path)} {does} {found:,} {unit}, more than the {most:,} that a model "
                "for a microcontroller can need."
            )


def _layer_count(config: Any) -> int:
    """The layers that a configuration lists, those of models inside it among them."""
    if isinstance(config, list):
        return sum(map(_layer_count, config))
    if not isinstance(config, dict):
        return 0
    listed = config.get("layers")
    own = len(listed) if isinstance(listed, list) else 0
    return own + sum(map(_layer_count, config.values()))


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
