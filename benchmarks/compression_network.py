"""A small separable network for 32 x 32 images, plain and residual, in Keras 3 or in tf_keras."""

from __future__ import annotations

import types

import numpy as np

CHANNELS = (16, 32, 32, 64, 64, 128, 128)
STRIDES = (2, 1, 2, 1, 2, 1)
"""Of the separable layers; the first of `CHANNELS` is the stem's."""


def scaled(width: float, multiple: int) -> tuple[int, ...]:
    """The channels of a uniformly narrower network, in multiples."""
    return tuple(max(multiple, multiple * round(width * count / multiple)) for count in CHANNELS)


def network(
    keras: types.ModuleType, channels: tuple[int, ...] = CHANNELS, *, is_residual: bool = False
) -> object:
    """Builds the network: 1.8 million multiply-accumulates at its full width.

    Args:
        keras: `keras`, or `tf_keras`, which TF-MOT needs.
        channels: The channels of the stem and of each separable layer.
        is_residual: Whether a separable layer of stride 1 is added to its input.

    Returns:
        The model.
    """
    layers = keras.layers

    def normalized(x: object) -> object:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    def separable(x: object, count: int, stride: int) -> object:
        x = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(x)
        return layers.Conv2D(count, 1, use_bias=False)(normalized(x))

    image = keras.Input((32, 32, 3))
    x = normalized(layers.Conv2D(channels[0], 3, padding="same", use_bias=False)(image))
    for count, stride in zip(channels[1:], STRIDES, strict=True):
        made = layers.BatchNormalization(momentum=0.9)(separable(x, count, stride))
        x = layers.ReLU()(layers.Add()([x, made]) if is_residual and stride == 1 else made)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10)(x))


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images shifted by up to four pixels, half of them mirrored, as floats of -1 to 1."""
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)), mode="reflect")
    made = np.empty_like(images)
    tops, lefts = rng.integers(0, 9, (2, len(images)))
    for number, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        made[number] = padded[number, top : top + 32, left : left + 32]
    mirrored = rng.random(len(images)) < 0.5
    made[mirrored] = made[mirrored, :, ::-1]
    return as_floats(made)


def as_floats(images: np.ndarray) -> np.ndarray:
    """Pixels of 0 to 255 as floats of -1 to 1."""
    return images.astype("float32") / 127.5 - 1


def batches(keras: types.ModuleType, images: np.ndarray, labels: np.ndarray, seed: int) -> object:
    """Augmented batches of 128, in another order each epoch."""
    base = getattr(keras.utils, "PyDataset", None) or keras.utils.Sequence

    class Batches(base):
        def __init__(self) -> None:
            super().__init__()
            self.rng = np.random.default_rng(seed)
            self.order = self.rng.permutation(len(images))

        def __len__(self) -> int:
            return len(images) // 128

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            chosen = self.order[128 * index : 128 * (index + 1)]
            return augmented(images[chosen], self.rng), labels[chosen]

        def on_epoch_end(self) -> None:
            self.order = self.rng.permutation(len(images))

    return Batches()


def compiled(keras: types.ModuleType, model: object, epochs: int, steps: int, rate: float) -> None:
    """Compiles with Adam, whose rate goes to zero along a cosine."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * steps)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    extra = {} if keras.__name__ == "tf_keras" else {"jit_compile": False}
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"], **extra)
