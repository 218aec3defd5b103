"""Turns the figures of a comparison into advice on what to do first."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from edge.debugger.measure import decibel, powers

if TYPE_CHECKING:
    from edge.debugger.result import LayerError

ALARM_DB = 25.0
"""A layer or a kernel below this is at fault: healthy layers stay above 28 dB, kernels above 38 dB.
Measured on MobileNetV1 and V2, ResNet8 and DS-CNN, quantized after training and in training."""

OUTPUT_ALARM_DB = 15.0
"""The limit for the noise summed up at the output; 23 dB cost a MobileNetV1 on digits no answer."""

WEIGHT_ALARM_DB = 35.0
"""The limit for int8 kernels against their float kernels; 8 bits give 39 to 48 dB."""

WIDE_CHANNELS = 8.0
"""From this ratio of the widest channel to the median one, three of eight bits are lost."""

CLIPPED_INPUTS = 0.01
"""The largest share of inputs beyond the int8 range that is taken for good."""

USED_INPUT_RANGE = 0.6
"""The smallest share of the input range in use; pixels in [0, 1] use half of [-1, 1)."""


@dataclasses.dataclass(frozen=True, eq=False)
class Finding:
    """What the advice needs to know about a layer.

    Attributes:
        layer: The layer's quantization error.
        weights: The float kernel with batch normalization folded in, and the int8 kernel as real
            numbers, both of shape (output channels, weights per output channel); None without a
            kernel.
        has_channel_scales: Whether the int8 kernel has a scale per output channel.
        input_layer: The name of the Keras layer that writes the layer's input.
        input_peaks: The largest magnitude in each channel of the float input.
        range: The lowest and the highest real value that the int8 output can hold.
        is_clipped: Whether the noise at the output is more than rounding explains.
    """

    layer: LayerError
    weights: tuple[np.ndarray, np.ndarray] | None
    has_channel_scales: bool
    input_layer: str
    input_peaks: np.ndarray
    range: tuple[float, float]
    is_clipped: bool

    @property
    def weight_sqnr_db(self) -> float:
        """The signal-to-noise ratio of the int8 kernel, in dB; infinity without a kernel."""
        return math.inf if self.weights is None else decibel(*powers(*self.weights))


def advise(
    findings: Sequence[Finding],
    first: LayerError,
    input_range: tuple[float, float],
    *,
    is_random: bool,
) -> tuple[str, ...]:
    """Writes advice on the layers that lose accuracy.

    Args:
        findings: What is known about every layer, in execution order.
        first: The quantization error of the model's input.
        input_range: The lowest and the highest real value that the int8 input can hold.
        is_random: Whether the inputs were noise, which says nothing about ranges.

    Returns:
        One sentence per problem, the most urgent first; empty if no layer stands out.

    Example:
        >>> from edge.debugger.result import LayerError
        >>> first = LayerError(
        ...     operator=-1, opcode="INPUT", name="image", keras_layer="input", sqnr_db=48.0,
        ...     saturation_rate=0.2, range_use=1.0, own_sqnr_db=48.0,
        ... )
        >>> advise([], first, (-1.0, 0.9921875), is_random=False)
        ('20.0% of the input values lie beyond [-1, 0.9922], which the int8 input holds: ...',)
    """
    advice = [] if is_random else _on_input(first, input_range)
    kernels = [finding for finding in findings if finding.weights is not None]
    strange = [finding for finding in kernels if finding.weight_sqnr_db < WEIGHT_ALARM_DB]
    is_another = len(strange) > len(kernels) / 2
    if is_another:
        advice.append(
            f"The int8 weights of {len(strange)} of {len(kernels)} layers differ from the float "
            "ones by more than rounding to 8 bits: the .tflite was converted from another "
            "checkpoint. Compare it with that one, or convert this model again."
        )
    faulty = [f for f in findings if min(f.layer.own_sqnr_db, f.weight_sqnr_db) < ALARM_DB]
    faulty.sort(key=lambda finding: finding.layer.own_sqnr_db)
    for finding in faulty:
        cause = finding.layer.cause
        if cause == "weights" and not is_another:
            advice.append(f"{_head(finding)} {_on_weights(finding)}")
        elif cause == "output" and not is_random:
            advice.append(f"{_head(finding)} {_on_output(finding)}")
        elif cause == "input" and not is_random:
            advice.append(f"{_head(finding)} {_on_channels(finding)}")
    if not advice and not is_random and kernels:
        last = kernels[-1].layer
        if last.sqnr_db < OUTPUT_ALARM_DB:
            advice.append(
                f"No single layer stands out, but the noise of all adds up to {last.sqnr_db:.1f} "
                f"dB at {last.keras_layer}: train with "
                "keras_mobilenet.QuantizationAwareTraining."
            )
    return tuple(advice)


def _head(finding: Finding) -> str:
    layer = finding.layer
    return (
        f"{layer.keras_layer} (operator {layer.operator}, {layer.opcode}) adds noise of its own "
        f"at {layer.own_sqnr_db:.1f} dB."
    )


def _on_input(first: LayerError, input_range: tuple[float, float]) -> list[str]:
    held = f"[{input_range[0]:.4g}, {input_range[1]:.4g}]"
    ask = "check that preprocessing is the same here, in calibration and in firmware."
    if first.saturation_rate > CLIPPED_INPUTS:
        return [
            f"{first.saturation_rate:.1%} of the input values lie beyond {held}, which the int8 "
            f"input holds: {ask}"
        ]
    if first.range_use < USED_INPUT_RANGE:
        return [f"The inputs use {first.range_use:.0%} of {held}, the int8 input's range: {ask}"]
    return []


def _on_weights(finding: Finding) -> str:
    layer = finding.layer
    assert finding.weights is not None, "the cause is weights only where there are some"
    kernel, _ = finding.weights
    spread = _spread(np.abs(kernel).max(axis=1))
    if not finding.has_channel_scales and spread > WIDE_CHANNELS:
        what = (
            f"Its int8 kernel has one scale, but its widest channel has {spread:.0f} times the "
            "weights of the median one"
        )
        if layer.opcode == "FULLY_CONNECTED":
            return f"{what}: make the Dense layer a 1x1 convolution, which has a scale per channel."
        return (
            f"{what}: convert with a scale per channel, as edge.convert does, or even the channels "
            "out first with keras_mobilenet.equalize_weights."
        )
    if finding.weight_sqnr_db < WEIGHT_ALARM_DB:
        if layer.opcode == "FULLY_CONNECTED" and not finding.has_channel_scales:
            return (
                f"Its kernel has one scale and {finding.weight_sqnr_db:.0f} dB: make the Dense "
                "layer a 1x1 convolution, which has a scale per channel."
            )
        return (
            f"Its int8 weights stand at {finding.weight_sqnr_db:.0f} dB to the float ones, where 8 "
            "bits give 40: they were rounded to fewer bits, or come from another checkpoint. "
            "Convert this model again."
        )
    return (
        "Its int8 weights are well rounded, yet it computes something else: look at its bias, and "
        "train with keras_mobilenet.QuantizationAwareTraining."
    )


def _on_output(finding: Finding) -> str:
    layer, (low, high) = finding.layer, finding.range
    if finding.is_clipped:
        return (
            f"{layer.saturation_rate:.2%} of its values are clipped to [{low:.4g}, {high:.4g}], "
            "the range of its int8 output: convert with more representative data, or learn the "
            "range with QuantizationAwareTraining(ranges='lsq')."
        )
    return (
        f"Its values use {layer.range_use:.0%} of [{low:.4g}, {high:.4g}], the range of its int8 "
        "output, which is too coarse for them: convert with representative data like these "
        "inputs, or learn the range with QuantizationAwareTraining(ranges='lsq')."
    )


def _on_channels(finding: Finding) -> str:
    ratio = _compensated_ratio(finding)
    if ratio > WIDE_CHANNELS:
        return (
            f"It magnifies the rounding of its input: a channel that {finding.input_layer} writes "
            f"stays {ratio:.0f} times below the widest one, and the weights here make up for it. "
            "Even them out with keras_mobilenet.equalize_weights before converting (layers with "
            "ReLU), or train with keras_mobilenet.QuantizationAwareTraining."
        )
    return (
        f"It magnifies the rounding of what {finding.input_layer} writes: train with "
        "keras_mobilenet.QuantizationAwareTraining."
    )


def _compensated_ratio(finding: Finding) -> float:
    """How many times smaller the input channel with the largest weights is than the widest one."""
    peaks = finding.input_peaks
    if finding.weights is None:
        return 1.0
    kernel, _ = finding.weights
    if finding.layer.opcode == "DEPTHWISE_CONV_2D":
        read = np.square(kernel).sum(axis=1).reshape(len(peaks), -1).sum(axis=1)
    else:
        read = np.square(kernel).reshape(-1, len(peaks)).sum(axis=0)
    loudest = int(np.argmax(np.where(peaks > 0, read, 0.0)))
    return float(peaks.max() / peaks[loudest]) if peaks[loudest] > 0 else 1.0


def _spread(peaks: np.ndarray) -> float:
    """The ratio of the widest channel to the median of the channels that are not all zero."""
    alive = peaks[peaks > 0]
    return float(alive.max() / np.median(alive)) if len(alive) else 1.0
