"""What several tests need: real tools, real data, and one trained model."""

from __future__ import annotations

import importlib.util
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys

import filelock
import hypothesis
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A worker has a core to itself; threads that wait for each other would take it from the others.
    for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS"):
        os.environ.setdefault(name, "1")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts with it what it puts in the background, and every child would take it over.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = pathlib.Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"

# For mutation.py: the same examples each time, and none made smaller, which takes minutes in C.
hypothesis.settings.register_profile(
    "mutation",
    derandomize=True,
    phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
)

CPU_SECONDS = {
    "tests/test_docs.py": 376,
    "tests/keras_mobilenet/quantization/test_networks.py": 231,
    "tests/test_notebooks.py": 145,
    "tests/keras_mobilenet/pruning/test_channel.py": 121,
    "tests/edge/cli/test_cli.py": 116,
    "tests/keras_mobilenet/quantization/test_callback.py": 114,
    "tests/edge/memory/test_arena_of_networks.py": 85,
    "tests/edge/firmware/test_emulate.py": 78,
    "tests/edge/debugger/test_compare.py": 78,
    "tests/edge/cli/test_cli_survives.py": 78,
    "tests/keras_mobilenet/models/test_mobilenet_v1.py": 73,
    "tests/keras_mobilenet/models/test_weights.py": 69,
    "tests/edge/emit/engine/test_engine.py": 49,
    "tests/edge/emit/engine/test_aligned.py": 40,
    "tests/keras_mobilenet/training/test_resume.py": 24,
    "tests/edge/emit/packages/test_two_models.py": 110,
    "tests/keras_mobilenet/compat/test_tfmot.py": 38,
    "tests/keras_mobilenet/training/test_train.py": 35,
    "tests/edge/converter/test_convert.py": 32,
    "tests/edge/emit/engine/test_cmsis_nn.py": 31,
    "tests/edge/search/test_search.py": 28,
    "tests/edge/search/test_training.py": 20,
    "tests/edge/search/test_costs.py": 20,
    "tests/edge/transforms/test_scale.py": 27,
    "tests/edge/deploy/test_build.py": 27,
    "tests/edge/emit/engine/test_limits.py": 26,
    "tests/edge/emit/camera/test_camera.py": 25,
    "tests/edge/reporting/test_report.py": 24,
    "tests/edge/tflite/test_fuzz.py": 24,
    "tests/edge/memory/test_optimal.py": 24,
    "tests/edge/emit/engine/test_reached.py": 20,
}
"""About what the dearest files cost: only their order matters. Others count by their tests."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Says what is not traced, and under xdist which files come first."""
    costs = {}
    for item in items:
        is_property_test = getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
        is_slow = item.get_closest_marker("slow")
        if is_property_test or is_slow:
            # Tracing would more than double their time.
            item.add_marker(pytest.mark.no_cover)
        costs[item.path] = costs.get(item.path, 0) + (5 if is_slow else 0.1)
    # The dearest files come first, so that workers end together.
    if hasattr(config, "workerinput"):
        costs |= {ROOT / name: cost for name, cost in CPU_SECONDS.items()}
        items.sort(key=lambda item: (-costs[item.path], item.path))


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
def unicorn():
    """The emulator of cores, and what reads an image for it."""
    for name in ("unicorn", "elftools"):
        if importlib.util.find_spec(name) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{name} is missing, and CI must have it")
            pytest.skip(f"{name} is not installed: pip install -e '.[emulator]'")


@pytest.fixture(scope="session")
def tool():
    """Asks for a tool by name, where a parametrized test needs another each time."""
    return _tool


@pytest.fixture(scope="session")
def keras_backend():
    """Asks for a backend of Keras by name; torch is no part of what `make test` installs."""

    def require(name):
        if importlib.util.find_spec(name) is None:
            if os.environ.get("CI"):
                pytest.fail(f"{name} is missing, and CI must have it")
            pytest.skip(f"{name} is not installed: pip install -e '.[{name}]'")
        return name

    return require


@pytest.fixture(scope="session")
def chromium():
    _tool("chromium")
    return _tool("chromedriver")


@pytest.fixture(scope="session")
def fashion_mnist():
    """Debian's package of the images: a test asks no network."""
    from keras_mobilenet.training.data import DEBIAN_FASHION_MNIST

    if not DEBIAN_FASHION_MNIST.is_dir():
        if os.environ.get("CI"):
            pytest.fail("dataset-fashion-mnist is missing, and CI must have it")
        pytest.skip("dataset-fashion-mnist is not installed")


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
def trained(made_once, digits):
    """MobileNetV1 on handwritten digits: float, then quantization-aware, in one model.fit.

    One worker trains; the others load what it kept.
    """
    from keras_mobilenet.training.train import train

    def kept():
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        return pickle.dumps(train(digits, alpha=0.25, float_epochs=18, qat_epochs=4, verbose=0))

    return pickle.loads(made_once("trained.pickle", kept).read_bytes())


@pytest.fixture(scope="session")
def trained_tflite(made_once, request):
    def converted():
        import edge

        return edge.convert(request.getfixturevalue("trained").model)

    return made_once("trained.tflite", converted).read_bytes()


@pytest.fixture(scope="session")
def random_weights():
    """The function that draws weights as large as a trained network's."""
    from networks import weights_as_trained

    return weights_as_trained


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
