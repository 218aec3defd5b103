"""From the words of a command line to what the library takes: models, images, labels, a camera."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import sys
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from edge.cli.console import print_note
from edge.errors import EdgeError
from edge.system import signals

if TYPE_CHECKING:
    from edge.tflite.graph import Graph, Int8Graph

CALIBRATION_IMAGES = 200
LONGEST_LABEL = 100
CONTROL_CATEGORIES = ("Cc", "Zl", "Zp")


@contextlib.contextmanager
def bad_argument() -> Iterator[None]:
    """Turns what keras_mobilenet says of an argument or of a data set into the user's error.

    Yields:
        Nothing; the block's `ValueError` is caught.

    Raises:
        EdgeError: With the words of the block's `ValueError`.

    Example:
        >>> with bad_argument():
        ...     raise ValueError("alpha must be above 0.")
        Traceback (most recent call last):
        edge.errors.EdgeError: alpha must be above 0.
    """
    try:
        yield
    except ValueError as error:
        raise EdgeError(str(error)) from error


def load_backend() -> None:
    """Imports Keras and its backend without the lines that TensorFlow writes at any log level."""
    signals.make_scratch()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with signals.ending_at_once(saved):
                import keras

                if keras.backend.backend() == "tensorflow":
                    import tensorflow  # noqa: F401
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def make_repeatable() -> None:
    """Makes the same seed give the same network, bit for bit."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()


def keras_verbosity() -> int | str:
    """How much Keras prints: a bar per epoch for a person, a line per epoch for a log.

    Returns:
        A value for `verbose` of `model.fit`.

    Example:
        >>> keras_verbosity() in ("auto", 2)
        True
    """
    return "auto" if sys.stdout.isatty() else 2


def is_keras_file(model: str) -> bool:
    """Whether a path names a Keras model, which TensorFlow has to open.

    Args:
        model: The path of a model.

    Returns:
        Whether it ends in `.keras`.

    Example:
        >>> is_keras_file("faces.keras"), is_keras_file("faces.tflite")
        (True, False)
    """
    return model.endswith(".keras")


def open_model(model: str, data: str | None = None) -> Int8Graph:
    """Opens the model that a command works on, whatever kind of file it is.

    Args:
        model: The path of a `.keras` file, or of an int8 `.tflite`.
        data: The images that calibrate a `.keras` file which was not trained for int8, as for
            `--data`; None for none.

    Returns:
        The `Int8Graph`.

    Raises:
        EdgeError: If the model cannot be read or converted, or if there is no such data set.

    Example:
        >>> open_model("model.tflite").input.shape
        (1, 8, 8, 3)
    """
    from edge.converter.model_source import read_model
    from edge.runtimes.tflm_operators import require_tflm_operators

    graph = read_model(model, calibration_images(model, data))
    require_tflm_operators(graph, model)
    return graph


def open_model_and_inputs(model: str, data: str | None) -> tuple[Int8Graph, Any]:
    """Opens a model, and the images to run it on.

    Args:
        model: The path of a `.keras` file, or of an int8 `.tflite`.
        data: The data set as for `--data`: its held-out images are the inputs, the others calibrate
            a `.keras` file that was not trained for int8. None for random inputs.

    Returns:
        The int8 `Graph`, and an int8 array, (count, *input shape without the batch); None in its
        place without data.

    Raises:
        EdgeError: If the model cannot be read or converted or reads no square images, or if there
            is no such data set.

    Example:
        >>> print(open_model_and_inputs("model.tflite", None)[1])
        None
    """
    graph = open_model(model, data if is_keras_file(model) else None)
    if data is None:
        return graph, None
    from edge.tflite.quantize import to_int8

    return graph, to_int8(images_of(graph.input.shape, data).test_inputs(), graph.input)


def calibration_images(model: str, data: str | None) -> Any:
    """Loads what calibrates a model that is about to be opened; TensorFlow if it needs that.

    Args:
        model: The path of a model.
        data: The data set as for `--data`; None for none.

    Returns:
        Float array, (images, height, width, channels), as the model reads them; None without data.

    Raises:
        EdgeError: If the model is int8 already or reads no square images, or if there is no such
            data set.

    Example:
        >>> calibration_images("model.tflite", "digits")
        Traceback (most recent call last):
        edge.errors.EdgeError: --data calibrates a .keras file; model.tflite is none.
    """
    if not is_keras_file(model):
        if data is not None:
            raise EdgeError(f"--data calibrates a .keras file; {model} is none.")
        return None
    load_backend()
    if data is None:
        return None
    from edge.converter.keras_files import load_keras

    return images_of(load_keras(model).input_shape, data).train_inputs()[:CALIBRATION_IMAGES]


def images_of(shape: tuple[int, ...], source: str) -> Any:
    """Loads a data set as a model reads it.

    Args:
        shape: The shape of the model's input, (1, side, side, 1 or 3).
        source: The data set as for `--data`.

    Returns:
        The `keras_mobilenet.training.data.ImageData`, its images of the model's side and channels.

    Raises:
        EdgeError: If the model reads no square images, or there is no such data set.

    Example:
        >>> images_of((1, 8, 8, 1), "digits").class_names[:3]
        ('0', '1', '2')
    """
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise EdgeError(f"--data needs a model of square images, this one reads {shape}.")
    return load_data(source, shape[1], shape[3])


def load_data(
    source: str, side: int, channels: int, seed: int = 0, groups: str | None = None
) -> Any:
    """Loads a data set, and says what of a folder was left out.

    Args:
        source: The data set as for `--data`.
        side: The height and width of the images, in pixels.
        channels: The number of channels of the images: 1 for gray, 3 for RGB.
        seed: The seed of the split into training, validation and test images.
        groups: The pattern of what stays together, as for `--groups`; None for nothing.

    Returns:
        The `keras_mobilenet.training.data.ImageData`.

    Raises:
        EdgeError: If there is no such data set.

    Example:
        >>> load_data("digits", 8, 1).train_pixels.shape
        (1295, 8, 8, 1)
    """
    from keras_mobilenet.training.data import load_images

    with bad_argument():
        data = load_images(source, side, channels, seed=seed, groups=groups)
    print_note(data.left_out.sentence())
    return data


def float_inputs(graph: Graph, source: str | None) -> Any:
    """Loads inputs as the float model reads them: held-out images, or an array of a file.

    Args:
        graph: The int8 model, which says what it reads.
        source: The data set as for `--data`, or the path of a `.npy` file; None for random ones.

    Returns:
        Float array, (count, *input shape without the batch); None if `source` is None.

    Raises:
        EdgeError: If there is no such data set, or the file holds no array.

    Example:
        >>> print(float_inputs(graph, None))
        None
    """
    if source is None:
        return None
    if not source.endswith(".npy"):
        return images_of(graph.input.shape, source).test_inputs()
    import numpy as np

    try:
        return np.load(source)
    except (OSError, ValueError) as error:
        raise EdgeError(f"Cannot read the inputs in {source}: {error}.") from error


def class_names(path: pathlib.Path | None) -> list[str] | None:
    """Reads the labels of a model's outputs.

    Args:
        path: A text file with one name per line; None for none.

    Returns:
        The names; None if `path` is None.

    Raises:
        EdgeError: If the file cannot be read, is not UTF-8, or a name is too long or holds a
            control character other than a tab.

    Example:
        >>> pathlib.Path("labels.txt").write_text("no face\\nface\\n")
        13
        >>> class_names(pathlib.Path("labels.txt"))
        ['no face', 'face']
    """
    if path is None:
        return None
    from edge.system.files import read_file

    try:
        # A byte-order mark is no letter of the first name. Lines end with \n or \r\n alone, where
        # `splitlines` ends them at a form feed too.
        text = read_file(path).decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise EdgeError(f"The labels in {path} are not UTF-8: {error}.") from error
    except OSError as error:
        raise EdgeError(f"Cannot read the labels in {path}: {error.strerror or error}.") from error
    names = text.removesuffix("\n").split("\n") if text else []
    for line, name in enumerate(names, 1):
        if len(name) > LONGEST_LABEL:
            raise EdgeError(f"The labels in {path}: line {line} has {len(name):,} letters.")
        if any(unicodedata.category(c) in CONTROL_CATEGORIES and c != "\t" for c in name):
            raise EdgeError(
                f"The labels in {path}: line {line} holds a control character: {name!r}."
            )
    return names


def camera_arguments(
    camera: str | None, size: str | None, preprocessing: str | None
) -> dict[str, Any]:
    """The options of a camera as arguments of `edge.build` and `edge.export`.

    Args:
        camera: The pixel format.
        size: The size of the frames, `WIDTHxHEIGHT`.
        preprocessing: The path of a JSON file.

    Returns:
        Arguments by name.

    Raises:
        EdgeError: If the size is none, or the file cannot be read.

    Example:
        >>> camera_arguments(None, "160x120", None)["camera_width"]
        160
    """
    width = height = None
    if size is not None:
        sides = re.fullmatch(r"(\d{1,5})x(\d{1,5})", size)
        if sides is None:
            raise EdgeError(f"--camera-size must be WIDTHxHEIGHT, such as 160x120, got {size!r}.")
        width, height = int(sides[1]), int(sides[2])
    described = None
    if camera is not None or preprocessing is not None:
        # The definition of preprocessing is beside the models.
        load_backend()
    if preprocessing is not None:
        from edge.tflite.preprocessing import preprocessing_from_file

        described = preprocessing_from_file(preprocessing)
    return {
        "camera": camera,
        "camera_width": width,
        "camera_height": height,
        "preprocessing": described,
    }
