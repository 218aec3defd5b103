"""Compares an int8 model with its float model, layer by layer, and says where accuracy is lost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from edge.converter.model_source import message_name, read_model
from edge.debugger.advice import Finding, advise
from edge.debugger.align import AlignedOperator, align_operators
from edge.debugger.kernels import folded_kernel, int8_kernel
from edge.debugger.measure import Measurement, decibel, powers
from edge.debugger.result import Comparison, LayerError
from edge.errors import EdgeError, ModelError
from edge.runtimes.tflm_operators import require_tflm_operators
from edge.tflite.graph import Graph
from edge.tflite.operators import kernel_of
from edge.tflite.quantize import real_range, to_real
from edge.tflite.requantization import scale_of

if TYPE_CHECKING:
    from keras_mobilenet.quantization.decompose import FloatNodes

VALUES_AT_ONCE = 30_000_000
"""So many activation values, float and int8, are held in memory at a time."""


def compare(
    float_model: Any,
    model: Any,
    inputs: np.ndarray | None = None,
    *,
    count: int = 100,
    seed: int = 0,
) -> Comparison:
    """Compares an int8 model with its float model, layer by layer, on the same inputs.

    The int8 values come from LiteRT's reference kernels. A quantization-aware model stands for the
    float layers that it holds, with the weights as trained last and nothing rounded.

    Args:
        float_model: A built Keras model, or the path of a `.keras` file.
        model: The int8 model that was converted from the float one: the path of a `.tflite`, its
            bytes, a `Graph`, or a quantization-aware Keras model, which is converted first.
        inputs: A float array of shape (inputs, *input shape without the batch), as the float model
            reads them. None takes random noise, which shows errors in weights but not in ranges.
        count: The largest number of inputs to run; of more, so many are drawn at random.
        seed: The seed of the draw and of the noise.

    Returns:
        The `Comparison`.

    Raises:
        ModelError: If a model cannot be read, or the two are not the same network.
        EdgeError: If the inputs do not fit the models, or LiteRT refuses the int8 model.

    Example:
        >>> comparison = compare("model.keras", "model.tflite", images)
        >>> comparison.worst.keras_layer, comparison.advice
        ('sum', ())

    Source: SQNR per tensor as in arXiv 2106.08295, section 3.
    """
    graph = read_model(model)
    require_tflm_operators(graph, message_name(model))
    keras_model = _loaded(float_model)
    float_graph = _float_graph(keras_model, graph)
    samples = _inputs(graph, inputs, count, seed)
    alignment = align_operators(graph, float_graph)
    measured = _measured(Measurement(graph, float_graph, alignment.pairs), samples)
    layers = tuple(_layer(measured, pair) for pair in alignment.pairs)
    findings = [
        _finding(measured, pair, layer) for pair, layer in zip(alignment.pairs, layers, strict=True)
    ]
    first = _input_error(measured)
    return Comparison(
        layers=layers,
        output_agreement=measured.agreeing / len(samples),
        advice=advise(findings, first, real_range(graph.input), is_random=inputs is None),
        input=first,
        unmatched=alignment.unmatched,
        input_count=len(samples),
        is_random=inputs is None,
        reference=_reference(keras_model),
    )


def sqnr_db(signal: np.ndarray, noisy: np.ndarray) -> float:
    """Computes the signal-to-quantization-noise ratio.

    Args:
        signal: The exact values, a float array of any shape.
        noisy: The values with noise, a float array of the same shape.

    Returns:
        `10 * log10(sum(signal ** 2) / sum((noisy - signal) ** 2))` in dB; infinity without noise.

    Example:
        >>> sqnr_db(np.array([3.0, 4.0]), np.array([3.0, 4.5]))
        20.0
    """
    return decibel(*powers(signal, noisy))


def _loaded(model: Any) -> Any:
    if not isinstance(model, (str, os.PathLike)):
        return model
    # Keras takes seconds to import.
    from edge.converter.keras_files import load_keras

    return load_keras(model)


def _reference(model: Any) -> str:
    from keras_mobilenet.quantization.transform import is_quantized

    if is_quantized(model):
        return f"the float layers inside quantization-aware model {model.name!r}, nothing rounded"
    return f"float model {model.name!r}"


def _float_graph(model: Any, graph: Graph) -> FloatNodes:
    from keras_mobilenet.quantization.decompose import float_nodes

    try:
        float_graph = float_nodes(model)
    except ValueError as error:
        raise ModelError(str(error)) from error
    if tuple(model.input_shape[1:]) != graph.input.shape[1:]:
        raise ModelError(
            f"The float model reads {tuple(model.input_shape[1:])}, the int8 model "
            f"{graph.input.shape[1:]}: they are not the same network."
        )
    return float_graph


def _measured(measurement: Measurement, samples: np.ndarray) -> Measurement:
    """Runs the inputs block by block, so that their activations fit into memory."""
    activations = [t.element_count for t in measurement.graph.tensors if not t.is_constant]
    block = max(1, VALUES_AT_ONCE // sum(activations))
    for first in range(0, len(samples), block):
        measurement.add(samples[first : first + block])
    return measurement


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


def _layer(measured: Measurement, pair: AlignedOperator) -> LayerError:
    op, sums = measured.graph.operators[pair.operator], measured.sums[pair.operator]
    noises = {"input": sums.input_noise, "output": sums.output_noise}
    if int8_kernel(measured.graph, op) is not None:
        noises["weights"] = sums.weight_noise
    return LayerError(
        operator=op.index,
        opcode=op.opcode,
        name=measured.output_tensor(pair).name,
        keras_layer=pair.layer,
        sqnr_db=decibel(*sums.whole),
        saturation_rate=sums.saturation_rate,
        range_use=sums.range_use,
        own_sqnr_db=decibel(*sums.own),
        cause=max(noises, key=lambda cause: noises[cause]),
    )


def _input_error(measured: Measurement) -> LayerError:
    sums = measured.input_sums
    noise_db = decibel(*sums.whole)
    return LayerError(
        operator=-1,
        opcode="INPUT",
        name=measured.graph.input.name,
        keras_layer="input",
        sqnr_db=noise_db,
        saturation_rate=sums.saturation_rate,
        range_use=sums.range_use,
        own_sqnr_db=noise_db,
    )


def _finding(measured: Measurement, pair: AlignedOperator, layer: LayerError) -> Finding:
    graph = measured.graph
    op = graph.operators[pair.operator]
    kernel, rounded = folded_kernel(pair.nodes), int8_kernel(graph, op)
    sums, output = measured.sums[op.index], measured.output_tensor(pair)
    makers = {other.result: other.layer for other in measured.pairs if other.nodes}
    scales = kernel_of(graph, op).quantization if rounded is not None else None
    return Finding(
        layer=layer,
        weights=None if kernel is None or rounded is None else (kernel, rounded),
        has_channel_scales=scales is not None and scales.per_channel,
        input_layer=makers.get(pair.sources[0], "the model's input"),
        input_peaks=sums.input_peaks,
        range=real_range(output),
        # Rounding alone has a noise power of a twelfth of the squared scale.
        is_clipped=sums.output_noise > 4 * sums.count * scale_of(output) ** 2 / 12,
    )
