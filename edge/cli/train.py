"""The command train."""

from __future__ import annotations

import functools
import pathlib
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from edge.cli import json
from edge.cli.arguments import (
    bad_argument,
    keras_verbosity,
    load_backend,
    load_data,
    make_repeatable,
)
from edge.cli.console import print_json, print_warning, say, show, status
from edge.cli.network import network_of
from edge.cli.options import DataOption, JsonOption, KerasOutOption, SeedOption
from edge.cli.training_options import (
    AugmentOption,
    BackupOption,
    BatchSizeOption,
    ChannelsOption,
    ClassWeightsOption,
    FloatEpochsOption,
    FrozenEpochsOption,
    GroupsOption,
    LearningRateOption,
    MirrorOption,
    PatienceOption,
    PreviewOption,
    QatEpochsOption,
    ResidualOption,
    RhoOption,
    SideOption,
    StagesOption,
    StemOption,
    TensorBoardOption,
    TrainAlphaOption,
    WeightBitsOption,
    WeightsOption,
)
from edge.cli.training_output import (
    accuracies_table,
    classes_table,
    threshold_sentence,
    training_contents,
    training_files,
)
from edge.errors import EdgeError
from edge.system import signals

if TYPE_CHECKING:
    from keras_mobilenet.training.augmentation import Augmentation
    from keras_mobilenet.training.data import ImageData
    from keras_mobilenet.training.train import TrainedModel


def train(
    out: KerasOutOption,
    data: DataOption = "digits",
    side: SideOption = 48,
    channels: ChannelsOption = 1,
    alpha: TrainAlphaOption = None,
    rho: RhoOption = 1.0,
    stages: StagesOption = None,
    stem: StemOption = None,
    residual: ResidualOption = False,
    weights: WeightsOption = None,
    frozen_epochs: FrozenEpochsOption = None,
    float_epochs: FloatEpochsOption = 30,
    qat_epochs: QatEpochsOption = 8,
    batch_size: BatchSizeOption = 32,
    learning_rate: LearningRateOption = 2e-3,
    class_weights: ClassWeightsOption = False,
    patience: PatienceOption = None,
    weight_bits: WeightBitsOption = "8",
    augment: AugmentOption = [],  # noqa: B006, Typer's way to say none
    mirror: MirrorOption = False,
    preview: PreviewOption = None,
    groups: GroupsOption = None,
    backup: BackupOption = None,
    tensorboard: TensorBoardOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train a network float, then quantization-aware, on images: MobileNetV1, or its family."""
    files = _writable(out, preview, (backup, tensorboard))
    load_backend()
    with bad_argument():
        # Before any data is read.
        chosen, side = _checked(alpha, side, rho, [*augment, *["mirror"] * mirror], stages)
    shape = (side, side, channels)
    make_network = functools.partial(
        network_of, stages, stem, residual, alpha=alpha, shape=shape, classes=2
    )
    make_network()
    images = load_data(data, side, channels, seed, groups)
    make_repeatable()
    _write_preview(preview, images, chosen, seed)
    options = {
        "model": make_network(classes=len(images.class_names)),
        "alpha": alpha,
        "weights": weights,
        "frozen_epochs": frozen_epochs,
        "float_epochs": float_epochs,
        "qat_epochs": qat_epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "class_weights": "balanced" if class_weights else None,
        "patience": patience,
        "weight_bits": int(weight_bits),
        "augmentation": chosen,
        "seed": seed,
        "verbose": 0 if as_json else keras_verbosity(),
        "backup": backup,
    }
    _finish(_trained(images, options, tensorboard), images, files, seed, as_json)


def _writable(
    out: pathlib.Path, preview: pathlib.Path | None, folders: Iterable[pathlib.Path | None]
) -> dict[str, pathlib.Path]:
    from edge.system.files import require_writable

    if out.suffix != ".keras":
        raise EdgeError(f"--out must name a .keras file, got {out}.")
    if preview is not None and preview.suffix != ".png":
        raise EdgeError(f"--preview must name a .png file, got {preview}.")
    files = training_files(out)
    require_writable(out.parent, [path.name for path in files.values()])
    for folder in folders:
        if folder is not None:
            require_writable(folder)
    return files


def _checked(
    alpha: float | None, side: int, rho: float, augment: list[str], stages: str | None
) -> tuple[Augmentation, int]:
    from keras_mobilenet.models import family, topology
    from keras_mobilenet.training.augmentation import parse_augmentation

    topology.mobilenet_v1_filters(1.0 if alpha is None else alpha)
    smallest = family.SMALLEST_SIDE if stages else topology.SMALLEST_SIDE
    return parse_augmentation(augment), topology.scaled_side(side, rho, smallest)


def _trained(
    images: ImageData, options: dict[str, Any], tensorboard: pathlib.Path | None
) -> TrainedModel:
    import keras

    from keras_mobilenet.training import train as training

    callbacks = [] if tensorboard is None else [keras.callbacks.TensorBoard(str(tensorboard))]
    with signals.in_native_code(), bad_argument(), warnings.catch_warnings():
        # It is said at the end, beside the reference figures.
        warnings.simplefilter("ignore", training.ChanceWarning)
        return training.train(images, callbacks=callbacks, **options)


def _finish(
    trained: TrainedModel,
    images: ImageData,
    files: dict[str, pathlib.Path],
    seed: int,
    as_json: bool,
) -> None:
    """Writes all files, and prints how good the network is beside simple classifiers."""
    from edge.converter.keras_files import keras_bytes
    from edge.system.files import write_files
    from keras_mobilenet.training.baselines import baselines, doubts

    with status("Training a logistic regression and a random forest beside it"):
        simple = baselines(images, seed)
    reasons = doubts(trained.evaluation, simple)
    shown = json.train_json(trained, simple, reasons, files)
    contents = training_contents(trained, shown) | {"model": keras_bytes(trained.model)}
    out = files["model"]
    write_files(out.parent, {files[name].name: content for name, content in contents.items()})
    for reason in reasons:
        print_warning(reason)
    if as_json:
        print_json(shown)
        return
    show(accuracies_table(trained, simple), classes_table(trained.evaluation))
    if sentence := threshold_sentence(trained.evaluation):
        say(sentence)
    say(
        f"Wrote {out}, and its history, pictures and evaluation beside it. Next: keras-mobilenet "
        f"export {out} --labels {files['labels']}"
    )


def _write_preview(
    path: pathlib.Path | None, images: ImageData, augmentation: Augmentation, seed: int
) -> None:
    from edge.system.files import write_files
    from keras_mobilenet.training.preview import augmentation_preview

    if path is not None:
        with bad_argument():
            picture = augmentation_preview(images, augmentation, seed=seed)
        write_files(path.parent, {path.name: picture})
