"""A batch may be shared out among devices: the network is that of one device."""

import os
import pathlib
import subprocess
import sys

import pytest

CHILD = pathlib.Path(__file__).with_name("devices_child.py")


def assert_equal(kind, **environment):
    done = subprocess.run(
        [sys.executable, CHILD, kind],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
    )
    assert done.stdout.splitlines()[-1:] == ["equal"], done.stderr[-3000:]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_devices_of_jax_train_one_network(keras_backend):
    flags = "--xla_force_host_platform_device_count=2"
    assert_equal("data-parallel", KERAS_BACKEND=keras_backend("jax"), XLA_FLAGS=flags)


@pytest.mark.exhaustive
@pytest.mark.slow
def test_two_mirrored_replicas_of_tensorflow_train_one_network():
    assert_equal("mirrored", KERAS_BACKEND="tensorflow")
