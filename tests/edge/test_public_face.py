"""What `import edge` gives, and what it leaves alone."""

import ast
import importlib.util
import pathlib
import subprocess
import sys

import pytest

import edge
import keras_mobilenet

NAMES = {
    *("convert", "export", "build", "flash", "run", "verify", "verify_engine", "compare"),
    *(
        "plan",
        "report",
        "pruning_block",
        "engine_counter",
        "tflm_counter",
        "boards",
        "find_board",
        "Graph",
        "Board",
        "__version__",
    ),
    *("EdgeError", "ModelError", "ConversionError", "DoesNotFitError", "MissingToolError"),
}
HEAVY = {
    *("tensorflow", "keras", "keras_mobilenet", "numpy", "scipy", "matplotlib", "PIL", "sklearn"),
    *("jinja2", "typer", "rich", "optuna", "sqlalchemy", "flatbuffers", "ai_edge_litert"),
    *("tflite_micro", "h5py", "skimage"),
}
SECONDS = 0.2


def in_a_process_of_its_own(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return ast.literal_eval(done.stdout)


def test_the_public_names_are_these():
    assert set(edge.__all__) == NAMES
    assert set(dir(edge)) >= NAMES


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_public_name_resolves_and_is_no_module(name):
    value = getattr(edge, name)
    assert importlib.util.find_spec(f"edge.{name}") is None
    assert name == "__version__" or value.__name__ == name


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'edge' has no attribute 'package'"):
        _ = edge.package
    with pytest.raises(ImportError):
        from edge import package  # noqa: F401


def test_the_version_is_that_of_keras_mobilenet():
    assert edge.__version__ == keras_mobilenet.__version__


def test_importing_edge_loads_nothing_heavy():
    code = "import sys, edge; print([name.partition('.')[0] for name in sys.modules])"
    assert not HEAVY & set(in_a_process_of_its_own(code))


def test_importing_edge_costs_under_a_fifth_of_a_second():
    """Of the processor: what else runs on this machine must not count."""
    code = "import time; t = time.process_time(); import edge; print(time.process_time() - t)"
    assert in_a_process_of_its_own(code) < SECONDS


@pytest.mark.parametrize("module", ["edge", "edge.cli.main", "edge.deploy.export"])
def test_importing_changes_no_signal_handler(module):
    code = f"""
import signal
before = [signal.getsignal(number) for number in signal.valid_signals()]
import {module}
print(before == [signal.getsignal(number) for number in signal.valid_signals()])
"""
    assert in_a_process_of_its_own(code) is True


def test_the_errors_are_one_family():
    errors = (
        edge.ModelError,
        edge.ConversionError,
        edge.DoesNotFitError,
        edge.MissingToolError,
    )
    assert all(issubclass(error, edge.EdgeError) for error in errors)


def test_the_installed_command_handles_signals_before_it_loads_the_command_line():
    text = (pathlib.Path(edge.__file__).parents[1] / "setup.py").read_text("utf-8")
    assert '"keras-mobilenet=edge.__main__:main"' in text
    code = """
import signal, sys
from edge.__main__ import main
sys.argv = ["keras-mobilenet", "--help"]
class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "edge.cli.main":
            print(signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL)
            raise SystemExit
sys.meta_path.insert(0, Spy())
main()
"""
    assert in_a_process_of_its_own(code) is True
