"""Where an int8 model loses accuracy: layer by layer against the float network, on real inputs."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from edge.debugger.advice import Finding, advise
from edge.debugger.align import Match, folded_kernel, int8_kernel, match_operators
from edge.debugger.measure import Measurement, decibel, powers
from edge.debugger.result import Comparison, LayerError
from edge.errors import EdgeError, ModelError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.graph import Graph
from edge.tflite.quantize import real_range, to_real
from edge.tflite.reader import read_graph
from edge.tflite.requantization import scale_of
from edge.tflite.validate import require_int8

VALUES_AT_ONCE = 30_000_000
"""Activations of so many values, float and int8, are in memory together."""


def compare(
    float_model: Any,
    int8_model: str | os.PathLike | bytes | Graph,
    inputs: np.ndarray | None = None,
    count: int = 100,
    seed: int = 0,
) -> Comparison:
    """Compares an int8 .tflite with its float network, layer by layer.

    The int8 values come from LiteRT's reference kernels. A quantization-aware model stands for the
    float layers that it holds: their weights as trained last, with nothing rounded.

    Args:
        float_model: A built Keras model, or the path of a `.keras` file.
        int8_model: A path, the file's bytes, or a `Graph`: converted from that very model.
        inputs: Float array, (inputs, *input shape without the batch), as the float model reads
            them. None: random noise, which shows what is wrong with weights but not with ranges.
        count: How many inputs at most; drawn at random from more.
        seed: Of the draw and of the noise.

    Returns:
        The `Comparison`.

    Raises:
        ModelError: If a model cannot be read, or the two are not the same network.
        EdgeError: If the inputs do not fit the models, or LiteRT refuses the int8 one.

    Example:
        >>> comparison = compare("model.keras", "model.tflite", images)
        >>> comparison.worst.keras_layer, comparison.advice
        ('sum', ())

    Source: SQNR per tensor as in arXiv 2106.08295, section 3.
    """
    from edge.converter.keras_files import load_keras
    from keras_mobilenet.quantization.decompose import float_nodes
    from keras_mobilenet.quantization.transform import is_quantized

    graph = int8_model if isinstance(int8_model, Graph) else read_graph(int8_model)
    where = os.fspath(int8_model) if isinstance(int8_model, (str, os.PathLike)) else "The model"
    require_tflm_operators(graph, where)
    require_int8(graph, where)
    model = load_keras(float_model) if isinstance(float_model, (str, os.PathLike)) else float_model
    try:
        float_graph = float_nodes(model)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if tuple(model.input_shape[1:]) != graph.input.shape[1:]:
        raise ModelError(
            f"The float model reads {tuple(model.input_shape[1:])}, the int8 model "
            f"{graph.input.shape[1:]}: they are not the same network."
        )
    samples = _inputs(graph, inputs, count, seed)
    matching = match_operators(graph, float_graph)
    measured = Measurement(graph, float_graph, matching.matches)
    values_each = sum(tensor.element_count for tensor in graph.tensors if not tensor.is_constant)
    block = max(1, VALUES_AT_ONCE // values_each)
    for start in range(0, len(samples), block):
        measured.add(samples[start : start + block])
    layers = tuple(_layer(measured, match) for match in matching.matches)
    first = _input_error(measured)
    findings = [
        _finding(measured, match, layer)
        for match, layer in zip(matching.matches, layers, strict=True)
    ]
    return Comparison(
        layers,
        measured.agreeing / len(samples),
        advise(findings, first, real_range(graph.input), inputs is None),
        first,
        matching.unmatched,
        len(samples),
        inputs is None,
        f"the float layers inside quantization-aware model {model.name!r}, nothing rounded"
        if is_quantized(model)
        else f"float model {model.name!r}",
    )


def sqnr_db(signal: np.ndarray, noisy: np.ndarray) -> float:
    """Signal to quantization noise ratio.

    Args:
        signal: Float array.
        noisy: What became of it, of the same shape.

    Returns:
        `10 * log10(sum(signal ** 2) / sum((noisy - signal) ** 2))`, in dB; infinite without noise.

    Example:
        >>> sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
        20.0
    """
    return decibel(*powers(signal, noisy))


def _inputs(graph: Graph, inputs: np.ndarray | None, count: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shape = graph.input.shape[1:]
    if inputs is None:
        steps = rng.integers(-128, 128, (count, *shape))
        return to_real(steps, graph.input)
    samples = np.asarray(inputs)
    if not np.issubdtype(samples.dtype, np.floating):
        raise EdgeError(
            f"The inputs are {samples.dtype}; give floats as the float model reads them "
            "(keras_mobilenet.preprocessing.preprocessing.pixels_to_input makes them of pixels)."
        )
    if samples.shape[1:] != shape or len(samples) == 0 or not np.isfinite(samples).all():
        raise EdgeError(
            f"The inputs must be finite, of shape {('inputs', *shape)}; got {samples.shape}."
        )
    if len(samples) > count:
        samples = samples[np.sort(rng.choice(len(samples), count, replace=False))]
    return samples.astype(np.float32)


def _layer(measured: Measurement, match: Match) -> LayerError:
    op, sums = measured.graph.operators[match.operator], measured.sums[match.operator]
    noises = {"input": sums.input_noise, "output": sums.output_noise}
    if int8_kernel(measured.graph, op) is not None:
        noises["weights"] = sums.weight_noise
    return LayerError(
        op.index,
        op.opcode,
        measured.output_tensor(match).name,
        match.layer,
        decibel(*sums.whole),
        sums.saturation_rate,
        sums.range_use,
        decibel(*sums.own),
        max(noises, key=lambda cause: noises[cause]),
    )


def _input_error(measured: Measurement) -> LayerError:
    sums, name = measured.input_sums, measured.graph.input.name
    noise_db = decibel(*sums.whole)
    figures = noise_db, sums.saturation_rate, sums.range_use, noise_db
    return LayerError(-1, "INPUT", name, "input", *figures)


def _finding(measured: Measurement, match: Match, layer: LayerError) -> Finding:
    graph = measured.graph
    op = graph.operators[match.operator]
    kernel, rounded = folded_kernel(match.nodes), int8_kernel(graph, op)
    sums, output = measured.sums[op.index], measured.output_tensor(match)
    makers = {other.result: other.layer for other in measured.matches if other.nodes}
    scales = graph.tensors[op.inputs[1]].quantization if rounded is not None else None
    return Finding(
        layer,
        None if kernel is None or rounded is None else (kernel, rounded),
        scales is not None and scales.per_channel,
        makers.get(match.sources[0], "the model's input"),
        sums.input_peaks,
        real_range(output),
        # Rounding alone makes a twelfth of a squared step.
        sums.output_noise > 4 * sums.count * scale_of(output) ** 2 / 12,
    )
