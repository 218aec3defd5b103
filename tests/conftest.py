"""What several tests need: real tools, real data, and one trained model."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys

import filelock
import hypothesis
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker has a core to itself; threads that wait for each other would take it from the others.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

ROOT = pathlib.Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# For mutation.py: the same examples each time, and none made smaller, which takes minutes in C.
hypothesis.settings.register_profile(
    "mutation",
    derandomize=True,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)

TRAINED = "trained"
"""The group of the tests that need the trained model: one worker trains, once."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Says what is not traced, and under xdist which tests go together."""
    for item in items:
        is_property_test = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        if is_property_test or item.get_closest_marker("slow"):
            # Tracing would more than double their time.
            item.add_marker(pytest.mark.no_cover)
    # The files with the longest tests come first, so that workers end together.
    if not hasattr(config, "workerinput"):
        return
    group_of, costs = {}, {}
    for item in items:
        group = TRAINED if TRAINED in item.fixturenames else str(item.path)
        if group == TRAINED:
            item.add_marker(pytest.mark.xdist_group(TRAINED))
        cost = 10 if item.get_closest_marker("slow") else 1
        group_of[item] = group
        costs[group] = costs.get(group, 0) + cost
    costs[TRAINED] = max(costs.values())
    items.sort(key=lambda item: (-costs[group_of[item]], group_of[item]))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file stays on one worker, but for its tests of the trained model."""
    from xdist.scheduler.loadgroup import LoadGroupScheduling

    class ByFile(LoadGroupScheduling):
        def _split_scope(self, nodeid):
            group = super()._split_scope(nodeid)
            return group if group == TRAINED else nodeid.split("::")[0]

    return ByFile(config, log)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    """Makes a file that all workers share: the first that needs it makes it, others wait."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def path_of(name, make):
        path = folder / name
        with filelock.FileLock(f"{path}.lock"):
            if not path.is_file():
                unfinished = path.with_suffix(".unfinished")
                unfinished.write_bytes(make())
                unfinished.rename(path)
        return path

    return path_of


@pytest.fixture(scope="session")
def arm_compiler():
    """The compiler, and what builds a firmware with it."""
    for tool in ("cmake", "make"):
        _tool(tool)
    return _tool("arm-none-eabi-g++")


@pytest.fixture(scope="session")
def host_compiler():
    return _tool("gcc")


@pytest.fixture(scope="session")
def qemu():
    return _tool("qemu-system-arm")


@pytest.fixture(scope="session")
def tool():
    """Asks for a tool by name, where a parametrized test needs another each time."""
    return _tool


@pytest.fixture(scope="session")
def chromium():
    _tool("chromium")
    return _tool("chromedriver")


@pytest.fixture(scope="session")
def shared_data():
    """Real models and images; absent on a user's machine."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no real models: {SHARED_DATA} is absent")
    return SHARED_DATA


@pytest.fixture(scope="session")
def vww(shared_data):
    """MLPerf Tiny's Visual Wake Words model: MobileNetV1 alpha 0.25, 96x96x3, int8."""
    return shared_data / "models" / "vww_96_int8.tflite"


@pytest.fixture(scope="session")
def kws(shared_data):
    """MLPerf Tiny's keyword spotting model: a separable network that is no MobileNet."""
    return shared_data / "models" / "kws_ref_model.tflite"


@pytest.fixture(scope="session")
def digits():
    from keras_mobilenet.training.data import load_images

    return load_images("digits", side=48, channels=1)


@pytest.fixture(scope="session")
def trained(digits):
    """MobileNetV1 on handwritten digits: float, then quantization-aware, in one model.fit."""
    import tensorflow as tf

    from keras_mobilenet.training.train import train

    tf.config.experimental.enable_op_determinism()
    return train(digits, alpha=0.25, float_epochs=18, qat_epochs=4, verbose=0)


@pytest.fixture(scope="session")
def trained_tflite(trained):
    import edge

    return edge.convert(trained.model)


@pytest.fixture(scope="session")
def random_weights():
    """Weights as large as a trained network's, for a model that nobody trained."""

    def draw(model, seed=0):
        rng = np.random.default_rng(seed)
        values = []
        for weight in model.weights:
            if weight.path.endswith(("moving_variance", "gamma")):
                value = rng.uniform(0.5, 1.5, weight.shape)
            elif len(weight.shape) == 4:
                is_depthwise = "depthwise" in weight.path
                fan_in = np.prod(weight.shape[:2]) * (1 if is_depthwise else weight.shape[2])
                value = rng.normal(0, np.sqrt(2 / fan_in), weight.shape)
            else:
                value = rng.normal(0, 0.2, weight.shape)
            values.append(value.astype("float32"))
        return values

    return draw


@pytest.fixture(scope="session")
def cli():
    """Runs the command line in a process of its own, as a user does."""

    def run(*arguments, **options):
        return subprocess.run(
            [sys.executable, "-m", "edge", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=os.environ | {"COLUMNS": "100"},
            **options,
        )

    return run


@pytest.fixture(scope="session")
def assert_refused():
    def check(done, words, exit_code=1):
        """One clear line, no traceback."""
        assert done.returncode == exit_code, done.stderr
        assert done.stdout == ""
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert words in done.stderr

    return check


def _tool(name):
    if shutil.which(name) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is missing, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return name
