"""Runs a model on TFLite Micro, as a child process because TFLite Micro may abort."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from tflite_micro import runtime

from edge.runtimes.interpreters import ARENA_FILE, INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE


def main(folder: pathlib.Path) -> None:
    """Runs the model on every input, and prints the use of the arena on the standard error.

    Args:
        folder: The folder with the model, the inputs and the size of the arena; the outputs are
            written there.
    """
    interpreter = runtime.Interpreter.from_file(
        str(folder / MODEL_FILE), arena_size=int((folder / ARENA_FILE).read_text())
    )
    outputs = []
    for sample in np.load(folder / INPUTS_FILE):
        interpreter.set_input(sample[np.newaxis], 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0).reshape(-1))
    interpreter.print_allocations()
    np.save(folder / OUTPUTS_FILE, np.stack(outputs))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
