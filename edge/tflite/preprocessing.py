"""A model's preprocessing, from the Keras model into the .tflite and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge.errors import EdgeError, ModelError
from edge.tflite.graph import Graph
from edge.tflite.metadata import metadata, with_metadata
from edge.tflite.reader import FILE_IDENTIFIER

if TYPE_CHECKING:
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

PREPROCESSING_NAME = b"keras_mobilenet_preprocessing"
"""The name of the entry in the file: JSON, as `Preprocessing.to_json` writes it."""


def with_preprocessing(content: bytes, preprocessing: Preprocessing) -> bytes:
    """Writes a preprocessing into a .tflite; one that is already there is replaced.

    Args:
        content: The file's bytes.
        preprocessing: What an image goes through before the model.

    Returns:
        The new file's bytes: the same network, the same weights.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> from edge.tflite.reader import read_graph
        >>> from keras_mobilenet.preprocessing.preprocessing import Preprocessing
        >>> content = with_preprocessing(graph.content, Preprocessing(8, 8))
        >>> read_preprocessing(read_graph(content)) == Preprocessing(8, 8)
        True
    """
    text = preprocessing.to_json().encode("ascii")
    return with_metadata(content, PREPROCESSING_NAME, text, "a preprocessing")


def preprocessing_text(graph: Graph) -> str | None:
    """Reads what a model's file says of its preprocessing, as text.

    Args:
        graph: The model.

    Returns:
        JSON, not checked; None if it says nothing.

    Raises:
        ModelError: If the file is damaged.

    Example:
        >>> preprocessing_text(Graph((), (), (), (), b"")) is None
        True
    """
    if graph.content[4:8] != FILE_IDENTIFIER:
        return None
    data = metadata(graph.content, PREPROCESSING_NAME)
    return None if data is None else data.decode("utf-8", "replace")


def read_preprocessing(graph: Graph, given: Preprocessing | None = None) -> Preprocessing:
    """The preprocessing of a model: what its file says, or what is given for one that is silent.

    Args:
        graph: The model.
        given: The preprocessing of a model whose file says nothing; what the file says may be
            repeated.

    Returns:
        The `Preprocessing`, which makes the model's input.

    Raises:
        ModelError: If the file says nothing and nothing is given, if it says something else, or if
            the model reads images of another shape.

    Example:
        >>> from keras_mobilenet.preprocessing.preprocessing import Preprocessing
        >>> read_preprocessing(graph, Preprocessing(8, 8)).crop
        1.0
    """
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

    shape = graph.input.shape[1:]
    text = preprocessing_text(graph)
    if text is not None:
        try:
            recorded = Preprocessing.from_json(text)
        except ValueError as error:
            raise ModelError(f"The model's record of its preprocessing is damaged: {error}") from (
                error
            )
        if given is not None and given != recorded:
            raise ModelError(
                f"The model was made for the preprocessing {recorded.to_json()}, given is "
                f"{given.to_json()}; leave it out."
            )
        given = recorded
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise ModelError(f"A camera needs a model of gray or RGB images, this one reads {shape}.")
    if given is None:
        height, width, channels = shape
        example = Preprocessing(height, width, channels).to_json()
        raise ModelError(
            "The model does not say what preprocessing it was trained with. Give a Preprocessing, "
            "or on the command line --preprocessing FILE with JSON like this, which stands for "
            f"(pixel - 128) / 128: {example}"
        )
    if (given.height, given.width, given.channels) != shape:
        raise ModelError(
            f"The preprocessing makes images of {given.height}x{given.width}x{given.channels}, the "
            f"model reads {'x'.join(map(str, shape))}."
        )
    return given


def preprocessing_from_file(path: str) -> Preprocessing:
    """Reads a preprocessing from a JSON file.

    Args:
        path: The path of the JSON file.

    Returns:
        The `Preprocessing`.

    Raises:
        EdgeError: If the file cannot be read, or holds something else.

    Example:
        >>> preprocessing_from_file("missing.json")
        Traceback (most recent call last):
        edge.errors.EdgeError: Cannot read missing.json: No such file or directory.
    """
    from keras_mobilenet.preprocessing.preprocessing import Preprocessing

    try:
        with open(path, "rb") as file:
            return Preprocessing.from_json(file.read())
    except OSError as error:
        raise EdgeError(f"Cannot read {path}: {error.strerror or error}.") from error
    except ValueError as error:
        raise EdgeError(f"{path}: {error}") from error
