"""What to do in place of a layer that int8 has no rule for."""

from __future__ import annotations

_KINDS: dict[str, tuple[str, ...]] = {
    "recurrent layers keep a state: use Conv1D or DepthwiseConv1D along time": (
        *("LSTM", "GRU", "SimpleRNN", "RNN", "Bidirectional", "ConvLSTM1D", "ConvLSTM2D"),
        *("TimeDistributed",),
    ),
    "use BatchNormalization, which costs nothing in int8": (
        *("LayerNormalization", "GroupNormalization", "RMSNormalization", "UnitNormalization"),
        "SpectralNormalization",
    ),
    "use convolutions or Dense layers in its place": (
        *("MultiHeadAttention", "GroupQueryAttention", "Attention", "AdditiveAttention"),
        *("EinsumDense", "Embedding", "LocallyConnected1D", "LocallyConnected2D"),
    ),
    "do it to the images before the model: a Preprocessing, which the chip's code follows, resizes "
    "and crops": ("Resizing", "CenterCrop", "Cropping1D", "Cropping2D"),
    "do it in the data's pipeline, before the model": (
        *("MixUp", "CutMix", "AugMix", "RandAugment", "AutoContrast", "Equalization", "CLAHE"),
        *("Solarization", "Pipeline", "CategoryEncoding", "Hashing", "StringLookup"),
        *("IntegerLookup", "TextVectorization", "Discretization", "MelSpectrogram"),
        "STFTSpectrogram",
    ),
    "use Add or Concatenate, or scale with a convolution": (
        *("Multiply", "Subtract", "Average", "Maximum", "Minimum", "Dot", "Divide"),
    ),
    "its function is hidden from it: write it as layers, or do it to the data before the model": (
        "Lambda",
    ),
    "use ReLU, ReLU(6) or LeakyReLU": ("PReLU", "ELU", "SELU", "GELU", "ThresholdedReLU"),
    "use layers of stride 1 before it, or give up the larger output": (
        *("UpSampling1D", "UpSampling2D", "Conv1DTranspose", "Conv2DTranspose"),
    ),
    "use the layers of two dimensions": (
        *("Conv3D", "MaxPooling3D", "AveragePooling3D", "GlobalAveragePooling3D"),
        *("GlobalMaxPooling3D", "ZeroPadding3D", "UpSampling3D", "Cropping3D"),
    ),
    "give the model its input in the right order": ("Permute", "RepeatVector"),
}

_ADVICE = {name: advice for advice, names in _KINDS.items() for name in names}


def advice_for(kind: str, supported: list[str]) -> str:
    """Says what to do in place of a layer.

    Args:
        kind: The name of the layer's class.
        supported: The names of the layers that int8 has a rule for.

    Returns:
        The end of a sentence.

    Example:
        >>> advice_for("PReLU", [])
        'use ReLU, ReLU(6) or LeakyReLU'
    """
    return _ADVICE.get(kind, f"use others: {', '.join(supported)}")
