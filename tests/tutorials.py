"""The networks of Keras's and TensorFlow's tutorials, built anew and small.

Each function names its tutorial; the layers and their order are the tutorial's, sizes are not.
"""

from __future__ import annotations

import numpy as np


def mnist_convnet():
    """keras.io/examples/vision/mnist_convnet."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(8, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Conv2D(8, (3, 3), activation="relu"),
            layers.MaxPooling2D((2, 2)),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(4, activation="softmax"),
        ]
    )


def cats_and_dogs():
    """keras.io/examples/vision/image_classification_from_scratch, augmentation in the model."""
    import keras
    from keras import layers

    inputs = keras.Input((24, 24, 3))
    x = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(inputs))
    x = layers.Rescaling(1.0 / 255)(x)
    x = layers.Conv2D(8, 3, strides=2, padding="same")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("relu")(x)
    before = x
    for size in (8, 12):
        for _ in range(2):
            x = layers.Activation("relu")(x)
            x = layers.SeparableConv2D(size, 3, padding="same")(x)
            x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        residual = layers.Conv2D(size, 1, strides=2, padding="same")(before)
        x = before = layers.add([x, residual])
    x = layers.SeparableConv2D(16, 3, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization()(x))
    x = layers.Dropout(0.25)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def flowers():
    """tensorflow.org/tutorials/images/classification: models in a model, Rescaling first."""
    import keras
    from keras import layers

    augmentation = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    return keras.Sequential(
        [
            keras.Input((20, 20, 3)),
            augmentation,
            layers.Rescaling(1.0 / 255),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(8, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
            layers.Dense(4, name="outputs"),
        ]
    )


def cnn_with_norms():
    """The usual beginners' network: the batch normalization behind the activation."""
    import keras
    from keras import layers

    relu, pool = layers.ReLU(), layers.MaxPooling2D(2)
    inputs = keras.Input((16, 16, 3))
    x = layers.BatchNormalization()(inputs)
    x = layers.Conv2D(8, 3, activation="relu")(x)
    x = pool(layers.BatchNormalization()(x))
    x = relu(layers.Conv2D(8, 3)(x))
    x = pool(layers.BatchNormalization()(x))
    x = layers.Dense(12, use_bias=False)(layers.Flatten()(x))
    x = relu(layers.BatchNormalization()(x))
    x = layers.BatchNormalization()(layers.Dense(8, activation="leaky_relu")(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def transfer_learning():
    """keras.io/guides/transfer_learning: pixels to [-1, 1], a frozen model inside, a new head."""
    import keras
    from keras import layers

    base = keras.applications.MobileNet((32, 32, 3), 0.25, weights=None, include_top=False)
    base.trainable = False
    inputs = keras.Input((32, 32, 3))
    x = layers.Rescaling(scale=1 / 127.5, offset=-1)(layers.RandomFlip("horizontal")(inputs))
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.2)(x)))


def timeseries():
    """keras.io/examples/timeseries/timeseries_classification_from_scratch."""
    import keras
    from keras import layers

    x = inputs = keras.Input((50, 1))
    for _ in range(3):
        x = layers.Conv1D(8, 3, padding="same")(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(
        inputs, layers.Dense(4, activation="softmax")(layers.GlobalAveragePooling1D()(x))
    )


def speaker_recognition():
    """keras.io/examples/audio/speaker_recognition_using_cnn: residual blocks over time."""
    import keras
    from keras import layers

    def block(x, filters, count):
        shortcut = layers.Conv1D(filters, 1, padding="same")(x)
        for _ in range(count - 1):
            x = layers.Activation("relu")(layers.Conv1D(filters, 3, padding="same")(x))
        x = layers.Conv1D(filters, 3, padding="same")(x)
        x = layers.Activation("relu")(layers.Add()([x, shortcut]))
        return layers.MaxPool1D(pool_size=2, strides=2)(x)

    inputs = keras.Input((64, 1))
    x = block(block(inputs, 4, 2), 8, 3)
    x = layers.Flatten()(layers.AveragePooling1D(pool_size=3, strides=3)(x))
    x = layers.Dense(16, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def sensor():
    """A temporal network of separable, causal and dilated convolutions."""
    import keras
    from keras import layers

    inputs = keras.Input((40, 3))
    x = layers.Normalization(mean=[0.1, -0.2, 0.3], variance=[0.4, 0.3, 0.5])(inputs)
    x = layers.SeparableConv1D(8, 5, padding="same", activation="tanh")(x)
    y = layers.Conv1D(8, 3, padding="causal", dilation_rate=2)(x)
    x = layers.SpatialDropout1D(0.1)(layers.Add()([x, y]))
    x = layers.DepthwiseConv1D(3, strides=2)(layers.ZeroPadding1D(1)(x))
    x = layers.BatchNormalization()(layers.MaxPooling1D(2)(x))
    return keras.Model(
        inputs, layers.Dense(4, activation="softmax")(layers.GlobalMaxPooling1D()(x))
    )


def structured_data():
    """keras.io/examples/structured_data: numbers that a Normalization brings to scale."""
    import keras
    from keras import layers

    inputs = keras.Input((7,))
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (64, 7)).astype("float32"))
    x = layers.Dense(16, use_bias=False)(normalization(inputs))
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(0.5)(layers.Dense(8, activation="sigmoid")(x))
    return keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))


def lenet():
    """The LeNet-5 of many courses: tanh and average pooling."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((20, 20, 1)),
            layers.Conv2D(6, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Conv2D(8, 5, activation="tanh"),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dense(12, activation="tanh"),
            layers.Dense(4, activation="softmax"),
        ]
    )


PIXELS = (cats_and_dogs, flowers, transfer_learning)
"""They read pixels of 0 to 255."""
TUTORIALS = {
    build.__name__: build
    for build in (
        *(mnist_convnet, cats_and_dogs, flowers, cnn_with_norms, transfer_learning, timeseries),
        *(speaker_recognition, sensor, structured_data, lenet),
    )
}
