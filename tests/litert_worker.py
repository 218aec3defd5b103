"""LiteRT's reference kernels in a process of their own that stays: they may abort or hang."""

from __future__ import annotations

import math
import multiprocessing
import os
import resource

import numpy as np

SECONDS = 30
MOST_ELEMENTS = 1 << 18
ADDRESS_BYTES = 8 << 30
RANDOM_SAMPLES = 2


class LiteRT:
    """Answers for one model after the other; a process that dies is replaced by a new one."""

    def __init__(self) -> None:
        self._process = None
        self._pipe = None

    def run(self, content: bytes, seed: int) -> tuple[np.ndarray, np.ndarray] | str:
        """Inputs and outputs, a row each; or why there are none."""
        if self._process is None:
            context = multiprocessing.get_context("spawn")
            self._pipe, far = context.Pipe()
            self._process = context.Process(target=_serve, args=(far,), daemon=True)
            self._process.start()
            far.close()
        try:
            self._pipe.send((content, seed))
            if self._pipe.poll(SECONDS):
                return self._pipe.recv()
            reason = "LiteRT hangs"
        except (EOFError, OSError):
            reason = "LiteRT aborts"
        self.close()
        return reason

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
            self._process = None


def _serve(pipe) -> None:
    # What it prints about models that it dislikes is nobody's.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_BYTES, resource.RLIM_INFINITY))
    while True:
        try:
            content, seed = pipe.recv()
        except EOFError:
            return
        try:
            answer = _answer(content, seed)
        except Exception as error:
            answer = str(error)
        pipe.send(answer)


def _answer(content: bytes, seed: int) -> tuple[np.ndarray, np.ndarray] | str:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
        num_threads=1,
    )
    interpreter.allocate_tensors()
    ends = [*interpreter.get_input_details(), *interpreter.get_output_details()]
    if len(ends) != 2 or any(end["dtype"] is not np.int8 for end in ends):
        return "no single int8 input and output"
    source, result = ends
    if math.prod(source["shape"]) > MOST_ELEMENTS:
        return "a large input"
    inputs = samples(tuple(source["shape"]), seed)
    outputs = []
    for sample in inputs:
        interpreter.set_tensor(source["index"], sample.reshape(source["shape"]))
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"]).reshape(-1).copy())
    return inputs, np.stack(outputs)


def samples(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Random inputs, and those of the lowest and of the highest number alone."""
    count = math.prod(shape)
    drawn = np.random.default_rng(seed).integers(-128, 128, (RANDOM_SAMPLES, count), np.int8)
    ends = np.repeat(np.array([[-128], [127]], np.int8), count, axis=1)
    return np.concatenate([drawn, ends])
