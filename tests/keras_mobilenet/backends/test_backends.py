"""Quantization-aware training, conversion and proof on JAX and torch, without TensorFlow."""

import hashlib
import os
import pathlib
import subprocess
import sys

import keras
import pytest

import edge

CHECKS = pathlib.Path(__file__).with_name("without_tensorflow.py")
RUN = """
import runpy, sys

# None is how Python's import system itself marks a module as missing.
sys.modules["tensorflow"] = None
runpy.run_path(sys.argv[1], run_name="__main__")
"""
SAVED = pathlib.Path(__file__).parent.parent / "saved" / "quantized.keras"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_trains_converts_and_computes_what_the_chip_computes(keras_backend, backend, host_compiler):
    environment = os.environ | {
        "KERAS_BACKEND": keras_backend(backend),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(CHECKS)], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    here = edge.convert(keras.saving.load_model(SAVED))
    assert done.stdout.splitlines()[-1] == hashlib.sha256(here).hexdigest()
