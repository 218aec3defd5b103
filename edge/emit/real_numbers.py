"""How a model's bytes relate to real numbers, as constants and functions in C."""

from __future__ import annotations

from edge.emit.c_text import DEFAULT_NAME, float_literal, template
from edge.tflite.graph import Graph
from edge.tflite.requantization import scale_of, zero_point_of


def real_numbers(graph: Graph, name: str = DEFAULT_NAME) -> str:
    """Renders what goes into a model's header, whatever runs the model.

    Args:
        graph: An int8 model.
        name: The name of the model, in small letters, digits and underscores.

    Returns:
        C: scales, zero points, `NAME_quantize` and `NAME_dequantize`, which take the place of a
        QUANTIZE at the input and a DEQUANTIZE at the output.

    Example:
        >>> print(real_numbers(graph, "faces").splitlines()[1])
        #define FACES_INPUT_SCALE 0.0078125F
    """
    zero_point = zero_point_of(graph.input)
    return template("edge.emit", "real_numbers.h", name).render(
        input_scale=float_literal(scale_of(graph.input)),
        input_zero_point=zero_point,
        output_scale=float_literal(scale_of(graph.output)),
        output_zero_point=zero_point_of(graph.output),
        lowest_steps=-128 - zero_point,
        highest_steps=127 - zero_point,
    )
