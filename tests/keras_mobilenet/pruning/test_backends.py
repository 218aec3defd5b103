"""Pruning in `fit` on the other backends of Keras: each in a process of its own."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

CHILD = pathlib.Path(__file__).with_name("backend_child.py")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", pytest.param("torch", marks=pytest.mark.exhaustive)])
def test_pruning_works_in_fit(keras_backend, backend):
    environment = os.environ | {
        "KERAS_BACKEND": keras_backend(backend),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, str(CHILD)], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["backend"] == backend
    # The mask changes within an epoch of eight steps, and holds at each step.
    assert found["single"] == [0.0] * 4 + [0.75] * 12
    assert found["blocks"][0] == 0.0
    assert found["blocks"][3] > found["blocks"][1] > 0.05
    assert found["blocks"][-1] == 0.5
    assert found["whole_blocks"] == 16
    assert found["largest_norm"] <= 1.0 + 1e-6, "the weight's own constraint holds too"
    for criterion in ("bn_scale", "taylor"):
        assert found[criterion]["difference"] < 1e-5
        assert found[criterion]["macs"] <= 0.5
