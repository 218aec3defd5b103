"""What the commands share: options, consoles, and the way from an error to one line."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from edge.cli import engine_tables, tables
from edge.cli.json import budget_json
from edge.deploy.budget import fitting_variants
from edge.deploy.verify import quantize_inputs
from edge.deploy.verify_engine import EngineVerification
from edge.errors import DoesNotFitError, EdgeError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.system import signals
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8

stdout = Console(emoji=False)
stderr = Console(stderr=True, soft_wrap=True, emoji=False)

BoardOption = Annotated[str, typer.Option("--board", "-b", help="See `keras-mobilenet boards`.")]
OutOption = Annotated[pathlib.Path, typer.Option("--out", "-o", help="Folder to write to.")]
SeedOption = Annotated[
    int, typer.Option(min=0, max=2**32 - 1, help="Of everything that is drawn at random.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
DataOption = Annotated[
    str,
    typer.Option(
        "--data",
        help="digits, faces, a folder with one subfolder of images per class, or a name of "
        "keras.datasets (mnist, fashion_mnist, cifar10, cifar100: need a network).",
    ),
]


@contextlib.contextmanager
def bad_argument() -> Iterator[None]:
    """Turns what keras_mobilenet says of an argument or of a data set into the user's error.

    Yields:
        Nothing; the block's `ValueError` is caught.

    Raises:
        EdgeError: With the words of the block's `ValueError`.
    """
    try:
        yield
    except ValueError as error:
        raise EdgeError(str(error)) from error


@contextlib.contextmanager
def status(what: str) -> Iterator[None]:
    """Shows a spinner while something runs.

    Args:
        what: What runs, as a participle: `"Converting"`.

    Yields:
        Nothing; the spinner goes when the block ends.
    """
    # A name may hold what rich takes for markup.
    with stderr.status(Text(f"{what} ...")):
        yield


def say(sentence: str) -> None:
    """Prints a sentence as it is: a path may hold what rich takes for markup.

    Args:
        sentence: Printed to standard output.
    """
    stdout.print(sentence, soft_wrap=True, markup=False)


def load_tensorflow() -> None:
    """Imports TensorFlow without the lines it writes whatever its log level."""
    signals.make_scratch()
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
        try:
            with signals.ending_at_once(saved):
                import keras  # noqa: F401
                import tensorflow  # noqa: F401
        finally:
            os.dup2(saved, 2)
            os.close(saved)


def int8_graph(model: str) -> Graph:
    """Reads an int8 model that TFLite Micro can run.

    Args:
        model: Path of a .tflite file.

    Returns:
        The `Graph`.

    Raises:
        ModelError: If the file cannot be read, is not int8, or TFLite Micro lacks an operator.
    """
    graph = read_graph(model)
    require_tflm_operators(graph, model)
    require_int8(graph, model)
    return graph


def images_of(shape: tuple[int, ...], source: str) -> Any:
    """Loads a data set as a model reads it.

    Args:
        shape: Of the model's input, (1, side, side, 1 or 3).
        source: As for `--data`.

    Returns:
        The `keras_mobilenet.training.data.ImageData`, its images of the model's side and channels.

    Raises:
        EdgeError: If the model reads no square images, or there is no such data set.
    """
    from keras_mobilenet.training.data import load_images

    if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise EdgeError(f"--data needs a model of square images, this one reads {shape}.")
    with bad_argument():
        return load_images(source, shape[1], shape[3])


def model_inputs(graph: Graph, source: str | None) -> Any:
    """The held-out images of a data set as a model's int8 inputs; None for random ones.

    Args:
        graph: An int8 model.
        source: As for `--data`; None for random inputs.

    Returns:
        int8 array, (count, *input shape without the batch); None if `source` is None.

    Raises:
        EdgeError: As `images_of`.
    """
    if source is None:
        return None
    return quantize_inputs(graph, images_of(graph.input.shape, source).test_inputs())


def print_misfit(error: DoesNotFitError, as_json: bool) -> None:
    """Prints what is over, and what would fit.

    Args:
        error: With the budget and the graph.
        as_json: Whether a script reads it.
    """
    use, graph = error.budget, error.graph
    assert use is not None, "only a linker's misfit has no budget"
    variants = fitting_variants(graph, use.board)
    if as_json:
        print_json(
            budget_json(use) | {"variants": [dataclasses.asdict(variant) for variant in variants]}
        )
        return
    stdout.print(tables.budget_table(use))
    if variants:
        stdout.print(tables.variants_table(variants))
    else:
        stdout.print("No narrower or smaller version of this network that was tried fits either.")
    stdout.print(
        "The engine needs a fraction of this memory: keras-mobilenet build MODEL --board "
        f"{use.board.id}",
        soft_wrap=True,
    )


def report_runners(proof: EngineVerification, as_json: bool) -> None:
    """Prints who computed LiteRT's bytes; exit code 1 if an engine did not.

    Args:
        proof: The outcome.
        as_json: Whether a script reads it.

    Raises:
        Exit: With code 1, if an engine gave other bytes than LiteRT.
    """
    if as_json:
        print_json([dataclasses.asdict(runner) for runner in proof.runners])
    else:
        stdout.print(engine_tables.runners_table(proof))
    if not proof.is_equal:
        raise typer.Exit(1)


def print_json(value: Any) -> None:
    """Prints for a script.

    Args:
        value: Of JSON's types; tuples become lists.
    """
    print(json.dumps(value, indent=2))
