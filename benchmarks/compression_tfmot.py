"""TF-MOT's pruning of the network under tf_keras, on the same augmented batches; a child process.

`python compression_tfmot.py FOLDER SPARSITY EPOCHS IMAGES`: reads `tfmot_before.npz`, the weights
in the order of `get_weights`, and writes `tfmot_after.npz`.
"""

from __future__ import annotations

import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow_model_optimization as tfmot
import tf_keras
from compression_network import batches, compiled, network

RATE = 1e-3


def main() -> None:
    """Prunes along TF-MOT's polynomial over the first half, as MagnitudePruning does by default."""
    folder = pathlib.Path(sys.argv[1])
    share, epochs, count = float(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    model = network(tf_keras)
    with np.load(folder / "tfmot_before.npz") as weights:
        model.set_weights([weights[name] for name in weights.files])
    with np.load(folder / "cifar10.npz") as arrays:
        images, labels = arrays["train_images"][:count], arrays["train_labels"][:count]
    sequence = batches(tf_keras, images, labels, 0)
    half = epochs * len(sequence) // 2
    sparsity = tfmot.sparsity.keras
    schedule = sparsity.PolynomialDecay(0.0, share, 0, half, frequency=max(half // 20, 1))
    pruned = sparsity.prune_low_magnitude(model, pruning_schedule=schedule)
    compiled(tf_keras, pruned, epochs, len(sequence), RATE)
    pruned.fit(sequence, epochs=epochs, verbose=0, callbacks=[sparsity.UpdatePruningStep()])
    np.savez(folder / "tfmot_after.npz", *sparsity.strip_pruning(pruned).get_weights())


if __name__ == "__main__":
    main()
