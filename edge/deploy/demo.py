"""The whole way on real images: train, quantize, convert, prove, emit, and run on the board."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.converter.convert import convert
from edge.converter.keras_files import keras_bytes
from edge.deploy.demo_data import AUTO, Recipe, best_source, fewer, recipe_for
from edge.deploy.demo_engine import OnBoard, run_on_board
from edge.deploy.export import Export, export
from edge.deploy.verify import Verification, quantize_inputs, verify
from edge.emit.tflm.compiled import COMPILER, compiled_model_bytes
from edge.errors import DoesNotFitError, EdgeError
from edge.system import signals
from edge.system.files import read_folder, write_files
from edge.tflite.graph import Graph
from edge.tflite.reader import read_graph

if TYPE_CHECKING:
    from keras_mobilenet.training.baselines import Baselines
    from keras_mobilenet.training.data import ImageData
    from keras_mobilenet.training.train import TrainedModel

BATCH_SIZE, LEARNING_RATE = 64, 1e-2
SHIFT, SEED = 0.08, 0
FIRMWARE = "firmware"
"""The folder of the engine's firmware, within that of the demo."""


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """Everything the demo measured.

    Attributes:
        source: The set of images.
        simple: What simple classifiers reach on the same images.
        float_accuracy: The float model's accuracy on the held-out images, 0 to 1.
        qat_accuracy: The accuracy of the Keras model that simulates int8, on the same images.
        int8_accuracy: The .tflite's accuracy on LiteRT's reference kernels, on the same images.
        verification: The comparison of LiteRT and TFLite Micro on the same images.
        export: The firmware sources and the budget.
        compiled_model_bytes: The bytes of the model's section as compiled for the board; None
            without the Arm compiler.
        labels: The class of each image, an int64 array of shape (count,).
        on_board: What the engine's firmware did on the emulated board, on the same images; None
            where it could not run.
        missing: A sentence that says why it could not run; empty if it did.
    """

    source: str
    simple: Baselines
    float_accuracy: float
    qat_accuracy: float
    int8_accuracy: float
    verification: Verification
    export: Export
    compiled_model_bytes: int | None
    labels: np.ndarray
    on_board: OnBoard | None
    missing: str = ""

    @property
    def board_accuracy(self) -> float | None:
        """The board's accuracy on the same images, 0 to 1; None where it did not run."""
        if self.on_board is None:
            return None
        return float(np.mean(self.on_board.outputs.argmax(axis=1) == self.labels))

    @property
    def equal_on_board(self) -> int | None:
        """On how many images the board's bytes are LiteRT's; None where it did not run."""
        if self.on_board is None:
            return None
        return int((self.on_board.outputs == self.verification.outputs).all(axis=1).sum())

    @property
    def is_equal(self) -> bool:
        """Whether all that ran gave the same bytes on all images."""
        count = self.verification.input_count
        return self.verification.is_equal and self.equal_on_board in (None, count)


def run_demo(
    source: str,
    board: str | Board,
    folder: pathlib.Path,
    *,
    alpha: float = 1.0,
    float_epochs: int | None = None,
    qat_epochs: int | None = None,
    mirror: bool = False,
    verbose: int | str = "auto",
    announce: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> DemoResult:
    """Trains on real images and goes all the way to the firmware on the emulated board.

    Args:
        source: The images, as `keras_mobilenet.training.data.load_images` names them, or `"auto"`
            for the best set that this machine has or can download in a minute: CIFAR-10, else
            Fashion-MNIST, else digits.
        board: The name of a board, or a `Board`.
        folder: The folder that gets `model.keras`, `model.tflite`, the sources for TFLite Micro,
            and `firmware/` with the engine's image.
        alpha: The width multiplier.
        float_epochs: The number of float epochs; what suits the images if None.
        qat_epochs: The number of epochs with fake quantization; what suits the images if None.
        mirror: Whether to train on mirrored images even where that does not suit the set.
        verbose: How much Keras prints, as `model.fit` takes it.
        announce: A function that is told what begins.
        warn: A function that is told what of a folder of images was left out, and why the network
            may not be worth its flash.

    Returns:
        The `DemoResult`.

    Raises:
        EdgeError: If a step fails.
        DataError: If the images cannot be loaded.

    Example:
        >>> done = run_demo("digits", "nucleo-f446re", pathlib.Path("demo"))  # doctest: +SKIP
    """
    from keras_mobilenet.training.data import load_images

    target = find_board(board)
    if source == AUTO:
        source, why = best_source()
        announce(why)
    recipe = recipe_for(source)
    recipe = dataclasses.replace(
        recipe,
        float_epochs=float_epochs or recipe.float_epochs,
        qat_epochs=qat_epochs or recipe.qat_epochs,
        is_mirrored=mirror or recipe.is_mirrored,
    )
    whole = load_images(source, recipe.side, recipe.channels)
    if sentence := whole.left_out.sentence():
        warn(sentence)
    data = fewer(whole)
    announce(
        f"Training a MobileNet on {recipe.side}x{recipe.side} images of {len(data.class_names)} "
        f"classes, {_counts(data, whole)}: {recipe.float_epochs} float epochs, then "
        f"{recipe.qat_epochs} with int8 fake quantization."
    )
    trained, simple = _trained(data, recipe, alpha, verbose, warn)
    announce("Converting to int8 with the trained ranges.")
    graph = read_graph(convert(trained.model))
    inputs = quantize_inputs(graph, data.test_inputs())
    announce(f"Running {len(inputs)} held-out images on LiteRT and on TFLite Micro.")
    proof = verify(graph, inputs)
    files = {"model.keras": keras_bytes(trained.model), "model.tflite": graph.content}
    ends = _written(graph, target, inputs, folder, files, data.class_names, announce)
    return DemoResult(
        source=source,
        simple=simple,
        float_accuracy=trained.float_test_accuracy,
        qat_accuracy=trained.evaluation.accuracy,
        int8_accuracy=float(np.mean(proof.outputs.argmax(axis=1) == data.test_labels)),
        verification=proof,
        labels=data.test_labels,
        **ends,
    )


def _trained(
    data: ImageData,
    recipe: Recipe,
    alpha: float,
    verbose: int | str,
    warn: Callable[[str], None],
) -> tuple[TrainedModel, Baselines]:
    """The network, and what simple classifiers make of the same images."""
    import keras

    from keras_mobilenet.training.augmentation import Augmentation
    from keras_mobilenet.training.baselines import baselines, doubts
    from keras_mobilenet.training.train import train

    keras.utils.set_random_seed(SEED)
    with signals.in_native_code():
        trained = train(
            data,
            model=recipe.network(len(data.class_names), alpha),
            float_epochs=recipe.float_epochs,
            qat_epochs=recipe.qat_epochs,
            batch_size=BATCH_SIZE,
            learning_rate=LEARNING_RATE,
            augmentation=Augmentation(shift=SHIFT, mirror=recipe.is_mirrored),
            verbose=verbose,
        )
        simple = baselines(data)
    for doubt in doubts(trained.evaluation, simple):
        warn(doubt)
    return trained, simple


def _written(
    graph: Graph,
    board: Board,
    inputs: np.ndarray,
    folder: pathlib.Path,
    files: dict[str, bytes],
    labels: Sequence[str],
    announce: Callable[[str], None],
) -> dict[str, Any]:
    """Both runtimes' sources, and what the engine's image did; the folder gets all or nothing."""
    announce(f"Writing sources for {board.name}: for TFLite Micro, and the engine's firmware.")
    ends: dict[str, Any] = {"compiled_model_bytes": None, "on_board": None}
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        staging = pathlib.Path(name)
        written = export(graph.content, board, staging, labels=labels)
        if shutil.which(COMPILER) is not None:
            ends["compiled_model_bytes"] = compiled_model_bytes(staging, board)
        try:
            announce(f"Running them in {board.name}'s own image of the engine, emulated.")
            ends["on_board"] = run_on_board(graph, board, inputs, staging / FIRMWARE)
        except DoesNotFitError:
            raise
        except EdgeError as error:
            ends["missing"] = str(error)
        files |= read_folder(staging)
    write_files(folder, files)
    return ends | {"export": dataclasses.replace(written, folder=folder)}


def _counts(data: ImageData, whole: ImageData) -> str:
    """How many images there are, and of how many."""
    parts = (("train on", "train"), ("choose an epoch on", "validation"), ("be judged on", "test"))
    said = []
    for what, part in parts:
        count, of = (len(getattr(images, f"{part}_labels")) for images in (data, whole))
        said.append(f"{count:,} {f'of {of:,} ' if of > count else ''}to {what}")
    return ", ".join(said)
