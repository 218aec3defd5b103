"""The command train."""

from __future__ import annotations

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
    ChannelsOption,
    DataOption,
    FloatEpochsOption,
    JsonOption,
    KerasOutOption,
    MirrorOption,
    QatEpochsOption,
    RhoOption,
    SeedOption,
    SideOption,
)
from edge.errors import EdgeError
from edge.system import signals


def train(
    out: KerasOutOption,
    data: DataOption = "digits",
    side: SideOption = 48,
    channels: ChannelsOption = 1,
    alpha: AlphaOption = 0.25,
    rho: RhoOption = 1.0,
    float_epochs: FloatEpochsOption = 30,
    qat_epochs: QatEpochsOption = 8,
    mirror: MirrorOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Train MobileNetV1 float, then quantization-aware, on images."""
    from edge.system.files import require_writable, write_files

    if out.suffix != ".keras":
        raise EdgeError(f"--out must name a .keras file, got {out}.")
    labels = out.with_suffix(".labels.txt")
    require_writable(out.parent, (out.name, labels.name))
    load_backend()
    from edge.converter.keras_files import keras_bytes
    from keras_mobilenet.models.topology import mobilenet_v1_filters, scaled_side
    from keras_mobilenet.training import train as training

    with bad_argument():
        # Before any data is read.
        mobilenet_v1_filters(alpha)
        side = scaled_side(side, rho)
    images = load_data(data, side, channels, seed)
    make_repeatable()
    verbosity = 0 if as_json else keras_verbosity()
    with signals.in_native_code():
        trained = training.train(
            images,
            alpha=alpha,
            float_epochs=float_epochs,
            qat_epochs=qat_epochs,
            mirror=mirror,
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
