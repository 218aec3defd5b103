"""Does all that a run file asks for, from images to firmware; run again, it goes on where it is."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
import tempfile
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.catalog.boards import find_board
from edge.converter.convert import convert
from edge.converter.keras_files import keras_bytes, load_keras
from edge.converter.model_source import read_model
from edge.deploy.budget import budget
from edge.deploy.build import build
from edge.deploy.export import export
from edge.deploy.run import run
from edge.deploy.run_file import ModelTable, RunTable
from edge.deploy.verify import quantize_inputs, verify
from edge.errors import DoesNotFitError, EdgeError
from edge.system import signals
from edge.system.files import read_folder, require_writable, write_files
from edge.system.version import package_version

if TYPE_CHECKING:
    import keras

    from keras_mobilenet.training.data import ImageData
    from keras_mobilenet.training.train import TrainedModel

STATE_FILE = "run.json"
BACKUP = "backup-"
KEY_DIGITS = 16

Outcome = tuple[dict[str, bytes], dict[str, Any]]
"""The files that a step made, by their names in the run's folder, and its figures."""


@dataclasses.dataclass(frozen=True)
class WholeRun:
    """What came of a run.

    Attributes:
        folder: The folder with everything that was made.
        steps: The figures of each step, by its name, in their order.
        done_before: The names of the steps that an earlier run had done.
    """

    folder: pathlib.Path
    steps: dict[str, dict[str, Any]]
    done_before: tuple[str, ...]


def run_all(
    described: RunTable,
    folder: pathlib.Path,
    *,
    verbose: int | str = "auto",
    announce: Callable[[str], None] = print,
    warn: Callable[[str], None] = print,
) -> WholeRun:
    """Loads images, trains, converts, proves, budgets, and exports.

    A step whose inputs are those of an earlier run in the same folder is not done again: its fields
    of the file, the images' contents, and what the steps before it made. A training that was
    interrupted goes on after its last whole epoch.

    Args:
        described: What to do, as `read_run_file` reads it.
        folder: The folder for everything that is made: `model.keras`, `model.labels.txt`,
            `model.tflite`, `tflm/`, `engine/`, and `run.json` with the figures.
        verbose: How much Keras prints, as `model.fit` takes it.
        announce: A function that is told what begins, and what came of it.
        warn: A function that is told what of a folder of images was left out, and what makes the
            network doubtful.

    Returns:
        The `WholeRun`.

    Raises:
        EdgeError: If a step fails, or the folder cannot be written.
        DoesNotFitError: If the network does not fit the board.
        ValueError: If the images cannot be loaded, or an argument of the training is none.

    Example:
        >>> from edge.deploy.run_file import read_run_file, write_run_file
        >>> described = read_run_file(write_run_file("run.toml"))
        >>> run_all(described, pathlib.Path("run")).done_before  # doctest: +SKIP
        ()
    """
    require_writable(folder, (STATE_FILE, "model.keras", "tflm/x", "engine/x"))
    run_of_steps = _Run(described, folder, verbose=verbose, announce=announce, warn=warn)
    return run_of_steps.whole()


class _Run:
    def __init__(
        self,
        described: RunTable,
        folder: pathlib.Path,
        *,
        verbose: int | str,
        announce: Callable[[str], None],
        warn: Callable[[str], None],
    ):
        self.described, self.folder = described, folder
        self.verbose, self.announce, self.warn = verbose, announce, warn
        self.board = find_board(described.board.name)
        self.known: dict[str, dict] = _read_state(folder)
        self.kept: dict[str, dict] = {}
        self.done_before: list[str] = []

    def whole(self) -> WholeRun:
        self.data = self._load()
        options = self._tables("data", "model", "training", "quantization")
        begun_with = _file_digest(self.described.training.weights)
        made = self._step("train", [self.data.digest, options, begun_with], self._train)
        made = self._step("convert", made["files"], self._convert)
        self.graph = read_model(self.folder / "model.tflite")
        self._step("verify", [made["files"], self.data.digest], self._verify)
        board = [made["files"], repr(self.board)]
        runtimes = self.described.export.runtimes
        if "tflm" in runtimes:
            self._step("fit", board, self._fit)
            name = self.described.export.name
            self._step("export", [board, name, self.data.class_names], self._export)
        if "engine" in runtimes:
            self._step("build", [board, self.described.export.name], self._build)
            count = self.described.export.emulated_images
            if count:
                self._step("run", [board, self.data.digest, count], self._emulate)
        return WholeRun(
            folder=self.folder,
            steps={name: step["figures"] for name, step in self.kept.items()},
            done_before=tuple(self.done_before),
        )

    def _tables(self, *names: str) -> dict[str, Any]:
        return {name: getattr(self.described, name).model_dump() for name in names}

    def _step(self, name: str, inputs: Any, work: Callable[[], Outcome]) -> dict:
        """Does a step unless an earlier run has done it with the same inputs."""
        text = json.dumps([package_version(), name, inputs])
        self.key = hashlib.sha256(text.encode("utf-8")).hexdigest()
        known = self.known.get(name)
        if known is not None and known["inputs"] == self.key and self._has(known["files"]):
            self.done_before.append(name)
            self.announce(f"{name}: done before. {known['figures']['sentence']}")
            self.kept[name] = known
            return known
        contents, figures = work()
        files = {path: hashlib.sha256(content).hexdigest() for path, content in contents.items()}
        self.kept[name] = {"inputs": self.key, "files": files, "figures": figures}
        # What is not done again yet is kept for a run that asks for it again.
        state = json.dumps({"format": 1, "steps": self.known | self.kept}, indent=1)
        write_files(self.folder, contents | {STATE_FILE: state.encode("utf-8")})
        self.announce(f"{name}: {figures['sentence']}")
        return self.kept[name]

    def _has(self, files: dict[str, str]) -> bool:
        with contextlib.suppress(OSError):
            return all(
                hashlib.sha256((self.folder / path).read_bytes()).hexdigest() == digest
                for path, digest in files.items()
            )
        return False

    # The steps.

    def _load(self) -> ImageData:
        from keras_mobilenet.training.data import load_images

        asked = self.described.data
        side = _input_side(asked.side, self.described.model)
        data = load_images(asked.source, side, asked.channels, seed=asked.seed, groups=asked.groups)
        if sentence := data.left_out.sentence():
            self.warn(sentence)
        self.announce(
            f"load: {len(data.class_names)} classes, {len(data.train_labels):,} images to train, "
            f"{len(data.validation_labels):,} to choose, {len(data.test_labels):,} to test."
        )
        return data

    def _train(self) -> Outcome:
        from keras_mobilenet.training.augmentation import parse_augmentation
        from keras_mobilenet.training.train import ChanceWarning, train

        asked = self.described.training
        backup = self.folder / f"{BACKUP}{self.key[:KEY_DIGITS]}"
        rate: dict[str, Any] = {}
        if asked.learning_rate is not None:
            rate["learning_rate"] = asked.learning_rate
        with signals.in_native_code(), warnings.catch_warnings():
            # It is said beside the reference figures.
            warnings.simplefilter("ignore", ChanceWarning)
            trained = train(
                self.data,
                alpha=self.described.model.alpha if self._is_v1() else None,
                model=None if self._is_v1() else self._network(),
                float_epochs=asked.float_epochs,
                qat_epochs=self.described.quantization.epochs,
                batch_size=asked.batch_size,
                augmentation=parse_augmentation(asked.augment),
                class_weights="balanced" if asked.has_class_weights else None,
                patience=asked.patience,
                weights=asked.weights,
                frozen_epochs=asked.frozen_epochs,
                weight_bits=self.described.quantization.weight_bits,
                seed=asked.seed,
                verbose=self.verbose,
                backup=backup,
                **rate,
            )
        names = "".join(f"{name}\n" for name in self.data.class_names)
        contents = {
            "model.keras": keras_bytes(trained.model),
            "model.labels.txt": names.encode("utf-8"),
        }
        return contents, self._trained_figures(trained)

    def _trained_figures(self, trained: TrainedModel) -> dict[str, Any]:
        from keras_mobilenet.training.baselines import baselines, doubts

        simple = baselines(self.data, self.described.training.seed)
        for doubt in doubts(trained.evaluation, simple):
            self.warn(doubt)
        return {
            "float_test_accuracy": trained.float_test_accuracy,
            "test_accuracy": trained.evaluation.accuracy,
            "validation_accuracy": trained.validation_accuracy,
            "logistic_regression_accuracy": simple.logistic_regression,
            "random_forest_accuracy": simple.random_forest,
            "best_epoch": trained.best_epoch,
            "history": trained.history,
            "sentence": f"float {trained.float_test_accuracy:.2%}, int8 simulated "
            f"{trained.evaluation.accuracy:.2%}, a logistic regression "
            f"{simple.logistic_regression:.2%}, a random forest {simple.random_forest:.2%} of "
            f"{len(self.data.test_labels):,} test images.",
        }

    def _is_v1(self) -> bool:
        return self.described.model.stages is None

    def _network(self) -> keras.Model:
        import keras

        from keras_mobilenet.models.family import MobileNet

        # The weights that it begins with, and what its dropout drops.
        keras.utils.set_random_seed(self.described.training.seed)

        asked = self.described.model
        assert asked.stages is not None
        chosen: dict[str, Any] = asked.model_dump(include={"stem", "head", "is_residual"})
        return MobileNet(
            asked.stages,
            self.data.train_pixels.shape[1:],
            asked.alpha or 1.0,
            classes=len(self.data.class_names),
            **{name: value for name, value in chosen.items() if value is not None},
        )

    def _convert(self) -> Outcome:
        # A training that has become a model needs its backup no more, nor those before it.
        for path in self.folder.glob(f"{BACKUP}{'?' * KEY_DIGITS}"):
            shutil.rmtree(path)
        content = convert(load_keras(self.folder / "model.keras"))
        sentence = f"{len(content):,} bytes of int8 .tflite."
        return {"model.tflite": content}, {"bytes": len(content), "sentence": sentence}

    def _verify(self) -> Outcome:
        proof = verify(self.graph, quantize_inputs(self.graph, self.data.test_inputs()))
        right = float(np.mean(proof.outputs.argmax(axis=1) == self.data.test_labels))
        figures = {
            "int8_accuracy": right,
            "input_count": proof.input_count,
            "equal_count": proof.equal_count,
            "sentence": f"int8 {right:.2%} of the test images. {proof.sentence()}.",
        }
        return {}, figures

    def _fit(self) -> Outcome:
        use = budget(self.graph, self.board)
        if not use.fits:
            raise DoesNotFitError(f"model.tflite does not fit. {use.sentence()}", use, self.graph)
        figures = {"ram_bytes": use.ram_bytes, "flash_bytes": use.flash_bytes}
        return {}, figures | {"sentence": use.sentence()}

    def _export(self) -> Outcome:
        names = self.data.class_names
        with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
            staging = pathlib.Path(name)
            export(self.graph, self.board, staging, labels=names, name=self._c_name())
            contents = read_folder(staging, "tflm")
        return contents, {
            "file_count": len(contents),
            "sentence": f"{len(contents)} files for TFLite Micro in tflm.",
        }

    def _build(self) -> Outcome:
        with tempfile.TemporaryDirectory(prefix="keras-mobilenet-") as name:
            staging = pathlib.Path(name)
            built = build(self.graph, self.board, staging, name=self._c_name())
            contents = read_folder(staging, "engine")
        figures = {"ram_bytes": built.ram_bytes, "flash_bytes": built.flash_bytes}
        return contents, figures | {
            "sentence": f"a firmware for {self.board.name} in engine, of {built.flash_bytes:,} "
            f"bytes of flash and {built.ram_bytes:,} of RAM."
        }

    def _c_name(self) -> str:
        return self.described.export.name or "model"

    def _emulate(self) -> Outcome:
        count = min(self.described.export.emulated_images, len(self.data.test_labels))
        inputs = quantize_inputs(self.graph, self.data.test_inputs()[:count])
        done = run(self.graph, self.board, inputs)
        if not done.is_equal:
            raise EdgeError(
                f"The engine on {done.board.name} gives LiteRT's bytes on {done.equal_count} of "
                f"{count} test images only."
            )
        return {}, {
            "board": done.board.id,
            "input_count": count,
            "equal_count": done.equal_count,
            "instructions": done.instructions,
            "sentence": f"LiteRT reference == the engine on {done.equal_count} of {count} test "
            f"images, on emulated {done.board.name}: {done.instructions:,} instructions. "
            f"{done.cycles.sentence()}",
        }


def _input_side(side: int, model: ModelTable) -> int:
    from keras_mobilenet.models.topology import scaled_side

    return scaled_side(side, model.rho) if model.stages is None else round(model.rho * side)


def _file_digest(path: str | None) -> str | None:
    """What tells the weights to begin with from others of the same name."""
    if path is None or not pathlib.Path(path).is_file():
        return None
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def _read_state(folder: pathlib.Path) -> dict[str, dict]:
    """The steps that an earlier run has done; none if there was none, or the file is no such."""
    try:
        state = json.loads((folder / STATE_FILE).read_text("utf-8"))
        steps = state["steps"] if state["format"] == 1 else {}
        complete = {"inputs", "files", "figures"}
        return {name: step for name, step in steps.items() if complete <= step.keys()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
