"""Tables 1 to 9 of the MobileNet paper, recomputed from real models beside what was printed.

Source: Howard et al., "MobileNets", arXiv 1704.04861. Costs are computed here; accuracies are
quoted.
"""

from __future__ import annotations

import dataclasses
import functools

from keras_mobilenet.analysis.cost import ModelCost, cost, separable_mult_adds, standard_mult_adds
from keras_mobilenet.analysis.paper_table import Cell, PaperTable
from keras_mobilenet.models import baselines as peers
from keras_mobilenet.models.mobilenet_v1 import MobileNetV1
from keras_mobilenet.models.variants import ConvMobileNet, ShallowMobileNet

MILLION = 1e6


def table(number: int) -> PaperTable:
    """Recomputes a table of the paper.

    Args:
        number: The number of the table, 1 to 9.

    Returns:
        The `PaperTable`.

    Raises:
        ValueError: If there is no such table.

    Example:
        >>> [cell.computed for cell in table(3).cells][:2]
        [462.422016, 2.359296]
    """
    if number not in _TABLES:
        raise ValueError(f"table must be one of {sorted(_TABLES)}, got {number!r}.")
    title, make = _TABLES[number]
    return PaperTable(number, title, tuple(make()))


@functools.cache
def _mobilenet(alpha: float = 1.0, side: int = 224) -> ModelCost:
    return cost(MobileNetV1((side, side, 3), alpha))


@functools.cache
def _of(builder) -> ModelCost:
    return cost(builder())


def _accuracy(row: str, percent: float) -> Cell:
    return Cell(row=row, column="accuracy", printed=percent, unit=0.1, computed=None)


def _mult_adds(row: str, printed: float, unit: float, count: float, reason: str = "") -> Cell:
    return _millions(row, "mult-adds", printed=printed, unit=unit, count=count, reason=reason)


def _parameters(row: str, printed: float, unit: float, count: float, reason: str = "") -> Cell:
    return _millions(row, "parameters", printed=printed, unit=unit, count=count, reason=reason)


def _millions(
    row: str, column: str, *, printed: float, unit: float, count: float, reason: str
) -> Cell:
    return Cell(
        row=row,
        column=column,
        printed=printed,
        unit=unit,
        computed=count / MILLION,
        reason=reason,
    )


def _text(row: str, column: str, printed: str, computed: str, *, reason: str = "") -> Cell:
    return Cell(row=row, column=column, printed=printed, unit=0, computed=computed, reason=reason)


def _architecture() -> list[Cell]:
    """Table 1: 28 layers, where each depthwise and each pointwise convolution is one."""
    cells = []
    side, channels = 224, 3
    for number, (layer, (stride, filters)) in enumerate(
        zip(_mobilenet().layers, _PRINTED_LAYERS, strict=True), start=1
    ):
        row = f"{number}: {layer.kind}"
        outputs = layer.output_shape[-1]
        size = layer.kind.split()[-1].replace("x", " x ")
        computed = {
            "conv": f"{size} x {channels} x {outputs}",
            "depthwise": f"{size} x {channels} dw",
            "fully": f"{channels} x {outputs}",
        }[layer.kind.split()[0]]
        made = layer.output_shape[0] if len(layer.output_shape) == 3 else 1
        if layer.kind == "fully connected":
            cells.append(_text(row, "filter", filters, computed))
            continue
        reason = "a misprint: 7x7 stays 7x7, and the next row reads 7x7" if number == 26 else ""
        cells += [
            _text(row, "stride", f"s{stride}", f"s{-(-side // made)}", reason=reason),
            _text(row, "filter", filters, computed),
        ]
        side, channels = made, outputs
    return cells


def _printed_layers() -> list[tuple[int, str]]:
    """Table 1 as printed: the stride and filter shape of each layer."""
    layers = [(2, "3 x 3 x 3 x 32")]
    widths = (32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024)
    strides = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 2)
    for stride, inputs, outputs in zip(strides, widths, widths[1:], strict=False):
        layers += [(stride, f"3 x 3 x {inputs} dw"), (1, f"1 x 1 x {inputs} x {outputs}")]
    return [*layers, (1, "1024 x 1000")]


_PRINTED_LAYERS = _printed_layers()


def _shares() -> list[Cell]:
    """Table 2: where the work and the weights are."""
    shares = _mobilenet().by_kind()
    cells = []
    for row, kind, mult_adds, parameters in (
        ("Conv 1 x 1", "conv 1x1", 94.86, 74.59),
        ("Conv DW 3 x 3", "depthwise 3x3", 3.06, 1.06),
        ("Conv 3 x 3", "conv 3x3", 1.19, 0.02),
        ("Fully Connected", "fully connected", 0.18, 24.33),
    ):
        reason = "a misprint: the column adds up to 99.29" if mult_adds == 1.19 else ""
        cells += [
            Cell(
                row=row,
                column="mult-adds %",
                printed=mult_adds,
                unit=0.01,
                computed=shares[kind][0],
                reason=reason,
            ),
            Cell(
                row=row,
                column="parameters %",
                printed=parameters,
                unit=0.01,
                computed=shares[kind][1],
            ),
        ]
    return cells


def _resources() -> list[Cell]:
    """Table 3: one layer of 14x14x512, step by step."""
    size, side, kernel = 512, 14, 3
    narrow = int(0.75 * size)
    return [
        _mult_adds("Convolution", 462, 1, standard_mult_adds(kernel, size, size, side)),
        _parameters("Convolution", 2.36, 0.01, kernel**2 * size * size),
        _mult_adds(
            "Depthwise Separable Conv", 52.3, 0.1, separable_mult_adds(kernel, size, size, side)
        ),
        _parameters("Depthwise Separable Conv", 0.27, 0.01, kernel**2 * size + size * size),
        _mult_adds(
            "alpha = 0.75", 29.6, 0.1, separable_mult_adds(kernel, size, size, side, alpha=0.75)
        ),
        _parameters("alpha = 0.75", 0.15, 0.01, kernel**2 * narrow + narrow * narrow),
        _mult_adds(
            "rho = 0.714",
            15.1,
            0.1,
            separable_mult_adds(kernel, size, size, side, alpha=0.75, rho=0.714),
        ),
        _parameters("rho = 0.714", 0.15, 0.01, kernel**2 * narrow + narrow * narrow),
    ]


def _network(row: str, accuracy: float, printed, counted: ModelCost) -> list[Cell]:
    (mult_adds, its_unit), (parameters, their_unit) = printed
    return [
        _accuracy(row, accuracy),
        _mult_adds(row, mult_adds, its_unit, counted.mult_adds),
        _parameters(row, parameters, their_unit, counted.parameters),
    ]


def _full() -> list[Cell]:
    return [*_network("MobileNet-224", 70.6, ((569, 1), (4.2, 0.1)), _mobilenet())]


def _convolutions() -> list[Cell]:
    """Table 4."""
    accuracy, mult_adds, parameters = _network(
        "Conv MobileNet", 71.7, ((4866, 1), (29.3, 0.1)), _of(ConvMobileNet)
    )
    reason = "4866.3 without the classifier's 1.024 M, which 569 counts"
    return [accuracy, dataclasses.replace(mult_adds, reason=reason), parameters, *_full()]


def _narrow_or_shallow() -> list[Cell]:
    """Table 5."""
    return [
        *_network("0.75 MobileNet", 68.4, ((325, 1), (2.6, 0.1)), _mobilenet(0.75)),
        *_network("Shallow MobileNet", 65.3, ((307, 1), (2.9, 0.1)), _of(ShallowMobileNet)),
    ]


def _widths() -> list[Cell]:
    """Table 6."""
    cells = _full()
    for alpha, accuracy, mult_adds, parameters in (
        (0.75, 68.4, 325, 2.6),
        (0.5, 63.7, 149, 1.3),
        (0.25, 50.6, 41, 0.5),
    ):
        printed = ((mult_adds, 1), (parameters, 0.1))
        cells += _network(f"{alpha} MobileNet-224", accuracy, printed, _mobilenet(alpha))
    return cells


def _resolutions() -> list[Cell]:
    """Table 7."""
    cells = _full()
    for side, accuracy, mult_adds in ((192, 69.1, 418), (160, 67.2, 290), (128, 64.4, 186)):
        printed = ((mult_adds, 1), (4.2, 0.1))
        made = _network(f"MobileNet-{side}", accuracy, printed, _mobilenet(1.0, side))
        if side == 160:
            reason = "289.7 without the classifier's 1.024 M, which the other rows count"
            made[1] = dataclasses.replace(made[1], reason=reason)
        cells += made
    return cells


def _large_peers() -> list[Cell]:
    """Table 8."""
    google, vgg = _of(peers.googlenet), _of(peers.vgg16)
    return [
        *_full(),
        _accuracy("GoogleNet", 69.8),
        _mult_adds(
            *("GoogleNet", 1550, 10, google.mult_adds),
            "the paper takes another count; the layers of arXiv 1409.4842 add up to this",
        ),
        _parameters(
            *("GoogleNet", 6.8, 0.1, google.parameters),
            "arXiv 1409.4842 prints 6.8 M; its layers add up to this",
        ),
        _accuracy("VGG 16", 71.5),
        _mult_adds(
            *("VGG 16", 15300, 100, vgg.mult_adds),
            "the paper leaves out the fully connected layers' 124 M",
        ),
        _parameters("VGG 16", 138, 1, vgg.parameters),
    ]


def _small_peers() -> list[Cell]:
    """Table 9."""
    squeeze, alex = _of(peers.squeezenet), _of(peers.alexnet)
    half = _network("0.50 MobileNet-160", 60.2, ((76, 1), (1.32, 0.01)), _mobilenet(0.5, 160))
    reason = "76.0 without the classifier's 0.512 M, which table 6 counts"
    half[1] = dataclasses.replace(half[1], reason=reason)
    return [
        *half,
        _accuracy("Squeezenet", 57.5),
        _mult_adds(
            *("Squeezenet", 1700, 100, squeeze.mult_adds),
            "the paper counts multiplications and additions apart here: twice as many",
        ),
        _parameters(
            *("Squeezenet", 1.25, 0.01, squeeze.parameters),
            "the paper counts the biases here: 1.248 M with them",
        ),
        _accuracy("AlexNet", 57.2),
        _mult_adds("AlexNet", 720, 10, alex.mult_adds),
        _parameters(
            *("AlexNet", 60, 1, alex.parameters),
            "the AlexNet paper's round figure; its layers have 61 M",
        ),
    ]


_TABLES = {
    1: ("MobileNet Body Architecture", _architecture),
    2: ("Resource Per Layer Type", _shares),
    3: ("Resource Usage for Modifications to Standard Convolution", _resources),
    4: ("Depthwise Separable vs Full Convolution MobileNet", _convolutions),
    5: ("Narrow vs Shallow MobileNet", _narrow_or_shallow),
    6: ("MobileNet Width Multiplier", _widths),
    7: ("MobileNet Resolution", _resolutions),
    8: ("MobileNet Comparison to Popular Models", _large_peers),
    9: ("Smaller MobileNet Comparison to Popular Models", _small_peers),
}
