"""Counts multiply-adds and parameters, layer by layer, as the MobileNet paper counts them.

A multiply-add is one multiplication and one addition: half of what "FLOPs" means elsewhere.
Parameters are the kernels' weights, without biases and batch normalization; `trainable` has all.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import keras
from keras import layers

from keras_mobilenet.models.block import Block
from keras_mobilenet.quantization.layers.conv import QuantizedConvolution
from keras_mobilenet.quantization.layers.dense import QuantizedDense


@dataclasses.dataclass(frozen=True)
class LayerCost:
    """The cost of one layer with a kernel.

    Attributes:
        name: The layer's name, after its block's name.
        kind: The kind of layer: `"conv 1x1"`, `"conv 3x3"`, `"depthwise 3x3"`, `"fully connected"`
            and the like.
        output_shape: The shape of the output: (height, width, channels), or (units,).
        mult_adds: The multiply-adds for one image.
        parameters: The number of the kernel's weights.
        trainable: The number of weights, biases, and the scales and shifts of the batch
            normalization behind it.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    mult_adds: int
    parameters: int
    trainable: int


@dataclasses.dataclass(frozen=True)
class ModelCost:
    """The cost of a model.

    Attributes:
        layers: The costs of the layers with a kernel, in order of execution.
    """

    layers: tuple[LayerCost, ...]

    @property
    def mult_adds(self) -> int:
        """The multiply-adds for one image."""
        return sum(layer.mult_adds for layer in self.layers)

    @property
    def parameters(self) -> int:
        """The number of weights of all kernels."""
        return sum(layer.parameters for layer in self.layers)

    def by_kind(self) -> dict[str, tuple[float, float]]:
        """Computes the shares of multiply-adds and of parameters.

        Returns:
            The two shares in percent by kind of layer, as in table 2 of the paper.
        """
        kinds = dict.fromkeys(layer.kind for layer in self.layers)
        return {
            kind: (
                100 * sum(c.mult_adds for c in self.layers if c.kind == kind) / self.mult_adds,
                100 * sum(c.parameters for c in self.layers if c.kind == kind) / self.parameters,
            )
            for kind in kinds
        }

    def rows(self) -> list[dict[str, object]]:
        """Makes one dictionary per layer, as `pandas.DataFrame` takes them.

        Returns:
            The layers' fields by name.
        """
        return [dataclasses.asdict(layer) for layer in self.layers]

    def __str__(self) -> str:
        width = max((len(layer.name) for layer in self.layers), default=5)
        head = f"{'layer':{width}}  {'kind':16} {'output':>14} {'mult-adds':>15} {'parameters':>12}"
        lines = [head]
        for layer in self.layers:
            shape = "x".join(map(str, layer.output_shape))
            lines.append(
                f"{layer.name:{width}}  {layer.kind:16} {shape:>14} {layer.mult_adds:>15,} "
                f"{layer.parameters:>12,}"
            )
        lines.append(
            f"{'in all':{width}}  {'':16} {'':>14} {self.mult_adds:>15,} {self.parameters:>12,}"
        )
        return "\n".join(lines)


def cost(model: keras.Model) -> ModelCost:
    """Counts a model's multiply-adds and parameters.

    Args:
        model: The built functional or Sequential model with a fixed input size,
            quantization-aware or not; models within models and the blocks of this package are
            opened.

    Returns:
        The `ModelCost` of its Conv2D, DepthwiseConv2D, SeparableConv2D and Dense layers.

    Raises:
        ValueError: If the model is not built, a side of its images is not fixed, or it has another
            kind of layer with a kernel.

    Example:
        >>> from keras_mobilenet import MobileNetV1
        >>> cost(MobileNetV1()).mult_adds
        568740352

    Source: arXiv 1704.04861, section 3.1.
    """
    if not model.built:
        raise ValueError(f"Model {model.name!r} is not built: call it, or give it an Input.")
    return ModelCost(tuple(_costs(model, "")))


def standard_mult_adds(kernel: int, inputs: int, outputs: int, side: int) -> int:
    """Computes the multiply-adds of a standard convolution.

    Args:
        kernel: The side of the kernel, D_K, in pixels.
        inputs: The number of input channels, M.
        outputs: The number of output channels, N.
        side: The side of the feature map, D_F, in pixels.

    Returns:
        `D_K * D_K * M * N * D_F * D_F`.

    Example:
        >>> standard_mult_adds(3, 512, 512, 14)
        462422016

    Source: arXiv 1704.04861, equation 2.
    """
    return kernel * kernel * inputs * outputs * side * side


def separable_mult_adds(
    kernel: int, inputs: int, outputs: int, side: int, *, alpha: float = 1.0, rho: float = 1.0
) -> int:
    """Computes the multiply-adds of a depthwise separable convolution with both multipliers.

    Args:
        kernel: The side of the kernel, D_K, in pixels.
        inputs: The number of input channels before the width multiplier, M.
        outputs: The number of output channels before the width multiplier, N.
        side: The side of the feature map before the resolution multiplier, D_F, in pixels.
        alpha: The width multiplier.
        rho: The resolution multiplier.

    Returns:
        `D_K^2 * aM * (rD_F)^2 + aM * aN * (rD_F)^2`, with the channels and the side rounded.

    Example:
        >>> separable_mult_adds(3, 512, 512, 14, alpha=0.75, rho=0.714)
        15091200

    Source: arXiv 1704.04861, equation 7.
    """
    m, n = max(1, int(inputs * alpha)), max(1, int(outputs * alpha))
    pixels = round(side * rho) ** 2
    return kernel * kernel * m * pixels + m * n * pixels


def separable_ratio(kernel: int, outputs: int) -> float:
    """Computes the cost of a separable convolution as a share of that of a standard one.

    Args:
        kernel: The side of the kernel, D_K, in pixels.
        outputs: The number of output channels, N.

    Returns:
        `1 / N + 1 / D_K^2`.

    Example:
        >>> round(separable_ratio(3, 512), 4)
        0.1131

    Source: arXiv 1704.04861, section 3.1.
    """
    return 1 / outputs + 1 / kernel**2


def _costs(model: keras.Model, prefix: str) -> Iterator[LayerCost]:
    for layer in model.layers:
        name = f"{prefix}{layer.name}"
        if isinstance(layer, keras.Model):
            yield from _costs(layer, f"{name}/")
        elif isinstance(layer, Block):
            shape = layer.padded_shape(tuple(layer.input.shape))
            for stage in layer.fusable_stages():
                yield _layer_cost(stage[0], shape, f"{name}/{stage[0].name}", stage[1:])
                shape = stage[0].compute_output_shape(shape)
        elif isinstance(layer, layers.SeparableConv2D):
            yield from _separable_cost(layer, name)
        elif isinstance(layer, QuantizedConvolution):
            norm = [layer.batch_norm] if layer.batch_norm else []
            yield _layer_cost(layer.convolution, tuple(layer.input.shape), name, norm)
        elif isinstance(layer, QuantizedDense):
            yield _layer_cost(layer.dense, tuple(layer.input.shape), name, [])
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            yield _layer_cost(layer, tuple(layer.input.shape), name, _behind(layer))
        elif hasattr(layer, "kernel"):
            raise ValueError(
                f"Layer {name!r} ({type(layer).__name__}) has no rule to count it by; "
                "Conv2D, DepthwiseConv2D, SeparableConv2D and Dense have."
            )


def _behind(layer: layers.Layer) -> list[layers.Layer]:
    """The batch normalization that reads a layer's output."""
    nodes = layer._outbound_nodes
    return [n.operation for n in nodes if isinstance(n.operation, layers.BatchNormalization)]


def _layer_cost(layer: layers.Layer, shape, name: str, behind) -> LayerCost:
    output = layer.compute_output_shape(shape)[1:]
    if any(side is None for side in output):
        raise ValueError(f"Layer {name!r} makes {output}: give the model a fixed input size.")
    parameters = math.prod(layer.kernel.shape)
    pixels = math.prod(output[:-1])
    if isinstance(layer, layers.Dense):
        kind, mult_adds = "fully connected", parameters * pixels
    else:
        is_depthwise = isinstance(layer, layers.DepthwiseConv2D)
        is_classifier = output[:2] == (1, 1) and not behind and layer.use_bias
        size = "x".join(map(str, layer.kernel_size))
        kind = f"{'depthwise' if is_depthwise else 'conv'} {size}"
        # A 1x1 convolution of one pixel is the paper's fully connected layer.
        kind = "fully connected" if is_classifier and size == "1x1" else kind
        mult_adds = parameters * pixels
    trainable = sum(math.prod(w.shape) for part in (layer, *behind) for w in part.trainable_weights)
    return LayerCost(
        name=name,
        kind=kind,
        output_shape=tuple(output),
        mult_adds=mult_adds,
        parameters=parameters,
        trainable=trainable,
    )


def _separable_cost(layer: layers.SeparableConv2D, name: str) -> Iterator[LayerCost]:
    output = layer.compute_output_shape(tuple(layer.input.shape))[1:]
    pixels = math.prod(output[:-1])
    size = "x".join(map(str, layer.kernel_size))
    depthwise = math.prod(layer.depthwise_kernel.shape)
    pointwise = math.prod(layer.pointwise_kernel.shape)
    middle = (*output[:-1], layer.pointwise_kernel.shape[2])
    yield LayerCost(
        name=f"{name}/depthwise",
        kind=f"depthwise {size}",
        output_shape=middle,
        mult_adds=depthwise * pixels,
        parameters=depthwise,
        trainable=depthwise,
    )
    own = pointwise + (layer.filters if layer.use_bias else 0)
    yield LayerCost(
        name=f"{name}/pointwise",
        kind="conv 1x1",
        output_shape=output,
        mult_adds=pointwise * pixels,
        parameters=pointwise,
        trainable=own,
    )
