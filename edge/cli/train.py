"""The command train."""

from __future__ import annotations

import pathlib
from typing import TYPE_CHECKING

from edge.cli import json
from edge.cli.arguments import (
    bad_argument,
    keras_verbosity,
    load_backend,
    load_data,
    make_repeatable,
)
from edge.cli.console import print_json, say
from edge.cli.options import (
    AlphaOption,
    AugmentOption,
    ChannelsOption,
    DataOption,
    FloatEpochsOption,
    GroupsOption,
    JsonOption,
    KerasOutOption,
    MirrorOption,
    PreviewOption,
    QatEpochsOption,
    RhoOption,
    SeedOption,
    SideOption,
)
from edge.errors import EdgeError
from edge.system import signals

if TYPE_CHECKING:
    from keras_mobilenet.training.augmentation import Augmentation
    from keras_mobilenet.training.data import ImageData


def train(
    out: KerasOutOption,
    data: DataOption = "digits",
    side: SideOption = 48,
    channels: ChannelsOption = 1,
    alpha: AlphaOption = 0.25,
    rho: RhoOption = 1.0,
    float_epochs: FloatEpochsOption = 30,
    qat_epochs: QatEpochsOption = 8,
    augment: AugmentOption = [],  # noqa: B006, Typer's way to say none
    mirror: MirrorOption = False,
    preview: PreviewOption = None,
    groups: GroupsOption = None,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train MobileNetV1 float, then quantization-aware, on images."""
    from edge.system.files import require_writable, write_files

    if out.suffix != ".keras":
        raise EdgeError(f"--out must name a .keras file, got {out}.")
    if preview is not None and preview.suffix != ".png":
        raise EdgeError(f"--preview must name a .png file, got {preview}.")
    labels = out.with_suffix(".labels.txt")
    require_writable(out.parent, (out.name, labels.name))
    load_backend()
    from edge.converter.keras_files import keras_bytes
    from keras_mobilenet.models.topology import mobilenet_v1_filters, scaled_side
    from keras_mobilenet.training import train as training
    from keras_mobilenet.training.augmentation import parse_augmentation

    with bad_argument():
        # Before any data is read.
        mobilenet_v1_filters(alpha)
        side = scaled_side(side, rho)
        chosen = parse_augmentation([*augment, "mirror"] if mirror else augment)
    images = load_data(data, side, channels, seed, groups)
    make_repeatable()
    _write_preview(preview, images, chosen, seed)
    verbosity = 0 if as_json else keras_verbosity()
    with signals.in_native_code(), bad_argument():
        trained = training.train(
            images,
            alpha=alpha,
            float_epochs=float_epochs,
            qat_epochs=qat_epochs,
            augmentation=chosen,
            seed=seed,
            verbose=verbosity,
        )
    names = "".join(f"{name}\n" for name in images.class_names).encode("utf-8")
    write_files(out.parent, {out.name: keras_bytes(trained.model), labels.name: names})
    count = len(images.validation_labels)
    if as_json:
        print_json(json.train_json(trained, out, labels, count))
        return
    say(
        f"{out}: accuracy float {trained.float_accuracy:.2%}, int8 simulated "
        f"{trained.qat_accuracy:.2%} on {count} validation images. Next: "
        f"keras-mobilenet export {out} --labels {labels}"
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
