"""Runs a model on LiteRT's reference kernels, as a child process."""

from __future__ import annotations

import pathlib
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from edge.runtimes.interpreters import INPUTS_FILE, MODEL_FILE, OUTPUTS_FILE, TENSORS_FILE


def main(folder: pathlib.Path) -> None:
    """Runs the model on every input and writes the outputs.

    Args:
        folder: The folder with the model, the inputs and, where other tensors than the outputs are
            wanted, their indices; the tensors are written there, one row per input.
    """
    wanted = folder / TENSORS_FILE
    interpreter = Interpreter(
        str(folder / MODEL_FILE),
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        experimental_preserve_all_tensors=wanted.is_file(),
    )
    interpreter.allocate_tensors()
    sources = interpreter.get_input_details()
    ends = np.cumsum([np.prod(source["shape"]) for source in sources])
    if wanted.is_file():
        results = np.load(wanted).tolist()
    else:
        results = [result["index"] for result in interpreter.get_output_details()]
    outputs = []
    for sample in np.load(folder / INPUTS_FILE):
        for source, part in zip(sources, np.split(sample.reshape(-1), ends[:-1]), strict=True):
            interpreter.set_tensor(source["index"], part.reshape(source["shape"]))
        interpreter.invoke()
        outputs.append(
            np.concatenate([interpreter.get_tensor(index).reshape(-1) for index in results])
        )
    np.save(folder / OUTPUTS_FILE, np.stack(outputs))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
