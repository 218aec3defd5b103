"""Keras's own callbacks work beside QuantizationAwareTraining, in any order, on every backend."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import pytest

CASES_FILE = pathlib.Path(__file__).with_name("callback_cases.py")


def _cases():
    spec = importlib.util.spec_from_file_location("callback_cases", CASES_FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


cases = _cases()

IN_CI = ("best_early-middle-after", "backup_2-step-before")
"""What a float epoch leaves is converted; a training is interrupted where rounding begins."""


@pytest.mark.parametrize(
    "case",
    [
        case if case in IN_CI else pytest.param(case, marks=pytest.mark.exhaustive)
        for case in cases.CASES
    ],
)
def test_callback_works_and_the_file_computes_what_predict_computes(case):
    if case.startswith("tensorboard"):
        pytest.importorskip("tensorboard")
    cases.run(case)


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        ("jax", IN_CI[:1]),
        ("torch", IN_CI[:1]),
        pytest.param("jax", cases.CASES, marks=pytest.mark.exhaustive),
        pytest.param("torch", cases.CASES, marks=pytest.mark.exhaustive),
    ],
)
def test_callbacks_work_on_other_backends(keras_backend, backend, names):
    if importlib.util.find_spec("tensorboard") is None:
        names = [name for name in names if not name.startswith("tensorboard")]
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras_backend(backend),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    command = [sys.executable, str(CASES_FILE), *names]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"passed {name}" for name in names]
