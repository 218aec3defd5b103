"""The file of a whole run: data, network, training, quantization, board and export."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from edge.errors import EdgeError, readable
from edge.system.files import output_file, write_files
from edge.system.toml_file import comment_lines, read_toml_file, table_of

HEADING = (
    "A whole run, from images to firmware: `keras-mobilenet run-all THIS-FILE`. Run again, it goes "
    "on where it is; a step whose inputs have changed is done anew. What begins with # is left "
    "out, and its default is taken."
)

Text = Annotated[str, Field(min_length=1)]
Seed = Annotated[int, Field(ge=0, lt=1 << 32)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class DataTable(_Table):
    """`[data]`."""

    source: Text = Field(
        description="digits, faces, a folder with one subfolder of images per class (or with "
        "train/, val/ and test/ that have those), or a name of keras.datasets.",
        examples=['"digits"'],
    )
    side: int = Field(
        48, ge=16, le=512, description="Height and width of the images, in pixels.", examples=["48"]
    )
    channels: Literal[1, 3] = Field(1, description="1 for gray images, 3 for RGB.", examples=["1"])
    groups: str | None = Field(
        None,
        description="A regular expression that finds the same in the class/name of images that "
        'stay together in one part; "subfolder" for the folders inside a class.',
        examples=['"(film[0-9]+)_"'],
    )
    seed: Seed = Field(0, description="The seed of the split.", examples=["0"])


class ModelTable(_Table):
    """`[model]`."""

    alpha: Share | None = Field(
        None,
        description="The width multiplier; 0.25 for MobileNetV1 and 1 for stages if left out.",
        examples=["0.25"],
    )
    rho: Share = Field(
        1.0, description="The resolution multiplier: the input is rho * side.", examples=["1.0"]
    )
    stages: list[list[int | str]] | None = Field(
        None,
        min_length=1,
        description="In place of MobileNetV1: stages of keras_mobilenet.MobileNet, each filters, "
        "kernel, strides, repeats and kind.",
        examples=["[[48, 3, 2, 4], [96, 3, 2, 5]]"],
    )
    stem: list[int] | None = Field(
        None,
        description="With stages: filters, kernel and strides of the first convolution.",
        examples=["[24, 3, 1]"],
    )
    head: Count | None = Field(
        None,
        description="With stages: channels of a 1x1 convolution in front of the classifier.",
        examples=["192"],
    )
    is_residual: bool | None = Field(
        None,
        description="With stages: whether blocks are added to what they read.",
        examples=["true"],
    )

    @model_validator(mode="after")
    def _check_stages(self) -> ModelTable:
        for name in ("stem", "head", "is_residual"):
            if self.stages is None and getattr(self, name) is not None:
                raise ValueError(f"{name} goes with stages, and there are none")
        return self


class TrainingTable(_Table):
    """`[training]`."""

    float_epochs: Count = Field(30, description="Epochs in float.", examples=["30"])
    batch_size: Count = Field(32, description="Images of a step.", examples=["32"])
    learning_rate: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="The learning rate that the cosine begins with.", examples=["0.002"]
    )
    augment: list[Text] = Field(
        [],
        description="Changes of training images, as for train --augment.",
        examples=['["shift=0.1", "brightness=0.1"]'],
    )
    has_class_weights: bool = Field(
        False, description="Whether each class counts the same.", examples=["true"]
    )
    patience: Count | None = Field(
        None,
        description="Epochs without a better validation accuracy after which it ends.",
        examples=["8"],
    )
    weights: Text | None = Field(
        None,
        description="What it begins with: imagenet, or a .tflite, .keras or .h5 file.",
        examples=['"imagenet"'],
    )
    frozen_epochs: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="With weights: the first epochs, which train the classifier alone.",
        examples=["10"],
    )
    seed: Seed = Field(
        0, description="The seed of weights, augmentation and order.", examples=["0"]
    )


class QuantizationTable(_Table):
    """`[quantization]`."""

    epochs: Count = Field(8, description="Epochs with int8 fake quantization.", examples=["8"])
    weight_bits: Literal[4, 8] = Field(
        8, description="Bits of a weight; 4 for the engine alone.", examples=["8"]
    )


class TargetTable(_Table):
    """`[board]`."""

    name: Text = Field(
        "nucleo-f446re",
        description="See `keras-mobilenet boards`; or a board file of your own, .toml.",
        examples=['"nucleo-f446re"'],
    )


class ExportTable(_Table):
    """`[export]`."""

    runtimes: list[Literal["tflm", "engine"]] = Field(
        ["tflm", "engine"],
        min_length=1,
        description="tflm writes sources for TFLite Micro; engine compiles a firmware.",
        examples=['["tflm", "engine"]'],
    )
    name: Text | None = Field(
        None, description="What all names in C begin with.", examples=['"model"']
    )
    emulated_images: Annotated[int, Field(ge=0)] = Field(
        20,
        description="Test images that the engine classifies on an emulated board; 0 for none.",
        examples=["20"],
    )


class RunTable(_Table):
    """The whole file."""

    data: DataTable = Field(description="The images.")
    model: ModelTable = Field(ModelTable.model_validate({}), description="The network.")
    training: TrainingTable = Field(
        TrainingTable.model_validate({}), description="The training in float."
    )
    quantization: QuantizationTable = Field(
        QuantizationTable.model_validate({}),
        description="The training with int8 fake quantization.",
    )
    board: TargetTable = Field(
        TargetTable.model_validate({}), description="Where the network shall run."
    )
    export: ExportTable = Field(
        ExportTable.model_validate({}), description="What is written for the board."
    )

    @model_validator(mode="after")
    def _check_bits(self) -> RunTable:
        if self.quantization.weight_bits == 4 and "tflm" in self.export.runtimes:
            raise ValueError(
                "[quantization] weight_bits is 4, which the engine runs: leave tflm out of "
                "[export] runtimes"
            )
        return self


def read_run_file(path: str | os.PathLike) -> RunTable:
    """Reads the file of a run and checks every field.

    Args:
        path: The path of the TOML file.

    Returns:
        The `RunTable`.

    Raises:
        EdgeError: If the file is not there, is no TOML, or has a field that is unknown or wrong.

    Example:
        >>> path = write_run_file("run.toml")
        >>> read_run_file(path).data.source
        'digits'
    """
    shown = readable(os.fspath(path), 100)
    advice = f"`keras-mobilenet run-all --new {shown}` writes one"
    return read_toml_file(path, RunTable, what="run file", advice=advice)


def write_run_file(path: str | os.PathLike) -> pathlib.Path:
    """Writes the file of a run to change, with every field explained.

    Args:
        path: The file to write; it ends in `.toml`, and is not there yet.

    Returns:
        The path of the file.

    Raises:
        EdgeError: If the file is there already or cannot be written.

    Example:
        >>> write_run_file("run.toml").name
        'run.toml'
    """
    made = output_file(path)
    if made.suffix != ".toml":
        raise EdgeError(f"A run file ends in .toml, got {readable(str(made), 100)}.")
    if made.exists():
        raise EdgeError(
            f"{readable(str(made), 100)} is there already: give another name, or remove it."
        )
    write_files(made.parent, {made.name: "\n".join(_example()).encode("utf-8")})
    return made


def _example() -> Iterator[str]:
    yield from comment_lines(HEADING)
    for name, table_field in RunTable.model_fields.items():
        table = table_of(table_field.annotation)
        assert table is not None
        yield from ("", *comment_lines(table_field.description or ""), f"[{name}]")
        for key, field in table.model_fields.items():
            (example,) = field.examples or [""]
            yield from comment_lines(field.description or "")
            # What is an option is only shown.
            yield f"{'# ' if _is_off(field.default) else ''}{key} = {example}"
    yield ""


def _is_off(default: Any) -> bool:
    return default is None or default is False or default == []
