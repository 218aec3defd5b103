"""Arguments and options of the commands that train."""

from __future__ import annotations

import pathlib
from typing import Annotated, Literal

import typer

from edge.system.files import output_file, output_folder

SideOption = Annotated[
    int, typer.Option("--side", max=512, help="Base height and width, in pixels.")
]
LargestSideOption = Annotated[
    int, typer.Option("--side", max=512, help="Largest input side, in pixels.")
]
ChannelsOption = Annotated[int, typer.Option("--channels", help="1 (gray) or 3 (RGB).")]
AlphaOption = Annotated[float, typer.Option("--alpha", help="Width multiplier, 0 < alpha <= 1.")]
RhoOption = Annotated[float, typer.Option("--rho", help="Resolution multiplier, 0 < rho <= 1.")]
MirrorOption = Annotated[
    bool,
    typer.Option(
        "--mirror", help="Train on mirrored images too: for faces and cats, not for text or arrows."
    ),
]
AugmentOption = Annotated[
    list[str],
    typer.Option(
        "--augment",
        metavar="NAME=STRENGTH",
        help="Change training images by shift, zoom, turn, brightness, contrast, colour, noise, "
        "blur, cutout or mixup, beside shift=0.08, zoom=0.1 and turn=0.03; repeatable.",
    ),
]
PreviewOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--preview",
        parser=output_file,
        metavar="PATH",
        help="Picture of changed training images to write first, .png.",
    ),
]
GroupsOption = Annotated[
    str | None,
    typer.Option(
        "--groups",
        metavar="PATTERN",
        help="Keep a folder's images together in one part whose class/name this regular expression "
        "finds the same in, such as '(film[0-9]+)_'; or subfolder, for folders inside a class.",
    ),
]
TrainAlphaOption = Annotated[
    float | None,
    typer.Option(
        "--alpha",
        help="Width multiplier, 0 < alpha <= 1; 0.25, with --stages 1, with --weights the file's "
        "if none is given.",
    ),
]
StagesOption = Annotated[
    str | None,
    typer.Option(
        "--stages",
        metavar="STAGES",
        help="A network of your own in place of MobileNetV1: filters,kernel,stride,repeats,kind of "
        "each stage, such as '48,3,2,3 96,3,2,4'; kind is separable or conv.",
    ),
]
StemOption = Annotated[
    str | None,
    typer.Option(
        "--stem",
        metavar="STEM",
        help="The first convolution of --stages: filters,kernel,stride; 32,3,2 if none is given.",
    ),
]
ResidualOption = Annotated[
    bool,
    typer.Option(
        "--residual", help="Add blocks of --stages to what they read, where shapes allow."
    ),
]
WeightsOption = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="WEIGHTS",
        help="Begin with trained weights: imagenet, or a .tflite, .keras or .h5 file; RGB ones "
        "serve gray images too.",
    ),
]
FrozenEpochsOption = Annotated[
    int | None,
    typer.Option(
        "--frozen-epochs",
        min=0,
        help="Float epochs that train the classifier alone, with --weights; a third of them if "
        "not given.",
    ),
]
BatchSizeOption = Annotated[
    int, typer.Option("--batch-size", min=1, max=4096, help="Images of a training step.")
]
LearningRateOption = Annotated[
    float, typer.Option("--learning-rate", help="Learning rate of the first epoch.")
]
ClassWeightsOption = Annotated[
    bool,
    typer.Option("--class-weights", help="Let all classes count the same, however few images."),
]
PatienceOption = Annotated[
    int | None,
    typer.Option(
        "--patience",
        min=1,
        help="Epochs without a better validation accuracy after which float, or int8, ends early.",
    ),
]
WeightBitsOption = Annotated[
    Literal["8", "4"], typer.Option("--weight-bits", help="Bits of a weight in int8 epochs.")
]
BackupOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--backup",
        parser=output_folder,
        metavar="PATH",
        help="Folder for the state after each epoch; the same command goes on from it.",
    ),
]
TensorBoardOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--tensorboard",
        parser=output_folder,
        metavar="PATH",
        help="Folder for a log of the training that TensorBoard reads.",
    ),
]
FloatEpochsOption = Annotated[int, typer.Option("--float-epochs", min=1, help="Epochs in float.")]
QatEpochsOption = Annotated[
    int, typer.Option("--qat-epochs", min=1, help="Epochs with int8 fake quantization.")
]
DemoFloatEpochsOption = Annotated[
    int | None,
    typer.Option("--float-epochs", min=1, help="Epochs in float; what suits the images if none."),
]
DemoQatEpochsOption = Annotated[
    int | None,
    typer.Option(
        "--qat-epochs", min=1, help="Epochs with int8 fake quantization; what suits the images."
    ),
]
TrialsOption = Annotated[int, typer.Option("--trials", min=1, help="How many networks to train.")]
MinutesOption = Annotated[
    float, typer.Option("--minutes", min=0.0, help="Time limit for training, in minutes.")
]
MillisecondsOption = Annotated[
    float | None,
    typer.Option(
        "--ms", min=0.001, help="The most milliseconds of an inference on the engine, estimated."
    ),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        help="Optuna storage URL to share, such as postgresql://host/name; a file in --out if not "
        "given.",
    ),
]
ArtifactsOption = Annotated[
    str | None,
    typer.Option(
        "--artifacts",
        metavar="PATH",
        help="Folder or s3://bucket/prefix of models and checkpoints, shared as the storage is; in "
        "--out if not given.",
    ),
]
