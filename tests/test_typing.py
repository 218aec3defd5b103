"""A user's file that takes the public API passes mypy --strict, and a wrong one does not."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
SAMPLE = """
import edge
import keras_mobilenet

model = keras_mobilenet.MobileNetV1(input_shape=(96, 96, 1), alpha=0.25, classes=2)
callback = keras_mobilenet.QuantizationAwareTraining(start_epoch=3)
pruning = keras_mobilenet.ChannelPruning(target_macs=0.5, end_epoch=10)
magnitude = keras_mobilenet.MagnitudePruning(final_sparsity=0.5)
block = keras_mobilenet.SeparableBlock(8)
convolution = keras_mobilenet.ConvBNReLU(8)
quantized = keras_mobilenet.quantize_model(model)
keras_mobilenet.equalize_weights(model)
content: bytes = edge.convert(quantized)
edge.export(content, "nucleo-f446re", "firmware")
edge.build(content, "nucleo-f446re", "firmware")
is_same: bool = edge.verify(content).is_equal
board: edge.Board = edge.find_board("nucleo-f446re")
instructions: int = edge.run(content, board).instructions
largest: int = edge.plan(content, may_overlap=True).planned_bytes
version: str = edge.__version__
try:
    edge.export(content, runtime="engine", shape="arduino")
except edge.DoesNotFitError as error:
    code: int = error.exit_code
"""


@pytest.mark.parametrize(
    "wrong", ["", "length: int = edge.convert(model)\n", "edge.package(content)\n"]
)
def test_a_users_file_is_checked(tmp_path, tmp_path_factory, wrong):
    (tmp_path / "user.py").write_text(SAMPLE + wrong)
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "user.py"]
    # Both packages are analysed once.
    command += ["--cache-dir", str(tmp_path_factory.getbasetemp() / "mypy")]
    command += ["--ignore-missing-imports", "--follow-imports=silent"]
    environment = os.environ | {"MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == (1 if wrong else 0), done.stdout + done.stderr
    assert done.stdout.count(" error: ") == (1 if wrong else 0)
