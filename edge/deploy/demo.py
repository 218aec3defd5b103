"""The whole way on real images: train, quantize, convert, prove, emit."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Callable

import numpy as np

from edge.catalog.boards import Board, find_board
from edge.converter.convert import convert
from edge.converter.keras_files import keras_bytes
from edge.deploy.export import Export, export
from edge.deploy.verify import Verification, quantize_inputs, verify
from edge.emit.tflm.compiled import COMPILER, compiled_model_bytes
from edge.system import signals
from edge.system.files import write_files
from edge.tflite.reader import read_graph

SIDE = 48
CHANNELS = 1


@dataclasses.dataclass(frozen=True)
class DemoResult:
    """Everything the demo measured.

    Attributes:
        float_accuracy: The float model's accuracy on the held-out images, 0 to 1.
        qat_accuracy: The accuracy of the Keras model that simulates int8, on the same images.
        int8_accuracy: The .tflite's accuracy on LiteRT's reference kernels, on the same images.
        verification: The comparison of LiteRT and TFLite Micro on the same images.
        export: The firmware sources and the budget.
        compiled_model_bytes: The bytes of the model's section as compiled for the board; None
            without the Arm compiler.
    """

    float_accuracy: float
    qat_accuracy: float
    int8_accuracy: float
    verification: Verification
    export: Export
    compiled_model_bytes: int | None


def run_demo(
    source: str,
    board: str | Board,
    folder: pathlib.Path,
    *,
    alpha: float = 0.25,
    float_epochs: int = 30,
    qat_epochs: int = 8,
    mirror: bool = False,
    verbose: int | str = "auto",
    announce: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> DemoResult:
    """Trains on real images and goes all the way to firmware sources.

    Args:
        source: The images, as `keras_mobilenet.training.data.load_images` names them.
        board: The name of a board, or a `Board`.
        folder: The folder that gets `model.keras`, `model.tflite` and the sources.
        alpha: The width multiplier.
        float_epochs: The number of float epochs.
        qat_epochs: The number of epochs with fake quantization.
        mirror: Whether to train on mirrored images too.
        verbose: How much Keras prints, as `model.fit` takes it.
        announce: A function that is told what begins.
        warn: A function that is told what of a folder of images was left out.

    Returns:
        The `DemoResult`.

    Raises:
        EdgeError: If a step fails.
        DataError: If the images cannot be loaded.

    Example:
        >>> done = run_demo("digits", "nucleo-f446re", pathlib.Path("demo"))  # doctest: +SKIP
    """
    from keras_mobilenet.training.augmentation import Augmentation
    from keras_mobilenet.training.data import load_images
    from keras_mobilenet.training.train import train

    data = load_images(source, SIDE, CHANNELS)
    if sentence := data.left_out.sentence():
        warn(sentence)
    announce(
        f"Training MobileNetV1 alpha {alpha:g}, {SIDE}x{SIDE}, on {len(data.train_labels)} images, "
        f"{len(data.test_labels)} held out: {float_epochs} float epochs, then {qat_epochs} with "
        "int8 fake quantization."
    )
    with signals.in_native_code():
        trained = train(
            data,
            alpha=alpha,
            float_epochs=float_epochs,
            qat_epochs=qat_epochs,
            augmentation=dataclasses.replace(Augmentation.default(), mirror=mirror),
            verbose=verbose,
        )
    announce("Converting to int8 with the trained ranges.")
    graph = read_graph(convert(trained.model))
    announce(f"Running {len(data.test_labels)} held-out images on LiteRT and on TFLite Micro.")
    proof = verify(graph, quantize_inputs(graph, data.test_inputs()))
    int8_accuracy = float(np.mean(proof.outputs.argmax(axis=1) == data.test_labels))
    announce(f"Writing firmware sources for {find_board(board).id}.")
    compiled = None
    with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
        # Elsewhere first: the folder gets all of it or nothing.
        staging = pathlib.Path(name)
        written = export(graph.content, board, staging, labels=data.class_names)
        if shutil.which(COMPILER) is not None:
            compiled = compiled_model_bytes(staging, find_board(board))
        contents = {file: (staging / file).read_bytes() for file in written.files}
    contents |= {"model.keras": keras_bytes(trained.model), "model.tflite": graph.content}
    write_files(folder, contents)
    written = dataclasses.replace(written, folder=folder)
    return DemoResult(
        float_accuracy=trained.float_test_accuracy,
        qat_accuracy=trained.evaluation.accuracy,
        int8_accuracy=int8_accuracy,
        verification=proof,
        export=written,
        compiled_model_bytes=compiled,
    )
