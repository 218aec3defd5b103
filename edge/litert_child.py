"""LiteRT's reference kernels, in a process of their own: `python -m edge.litert_child FOLDER`."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge.interpreters import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE


def main(folder: pathlib.Path) -> None:
    """Runs every input of a job.

    Args:
        folder: Holds the model and the inputs, gets the outputs.
    """
    interpreter = Interpreter(
        str(folder / MODEL_FILE), experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    source = interpreter.get_input_details()[0]["index"]
    result = interpreter.get_output_details()[0]["index"]
    outputs = []
    for sample in np.load(folder / INPUTS_FILE):
        interpreter.set_tensor(source, sample[np.newaxis])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result).reshape(-1))
    np.save(folder / OUTPUTS_FILE, np.stack(outputs))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
