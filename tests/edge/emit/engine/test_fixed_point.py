"""The fixed-point arithmetic of the portable kernels, on cores with a long product and without."""

import subprocess

import numpy as np
import pytest

from edge.emit.engine.render import KERNEL_FOLDER
from edge.tflite.fixed_point import high_multiply, requantize

PROGRAM = """
#include <stdio.h>
#include "engine.h"
int main(void) {
  int32_t row[3];
  while (fread(row, sizeof(row), 1U, stdin) == 1U) {
    const int32_t results[2] = {engine_high_multiply(row[0], row[1]),
                                engine_requantize(row[0], row[1], row[2])};
    (void)fwrite(results, sizeof(results), 1U, stdout);
  }
  return 0;
}
"""


def values_at_the_limits(random):
    """Numbers about each power of two, about the middle of 16 bits, and any."""
    powers = np.concatenate([2 ** np.arange(31), [0, 2**31 - 1, 2**31 - 2**15, 2**31 - 2**16]])
    near = (powers[:, None] + np.arange(-2, 3)).reshape(-1)
    spread = random.integers(-(2**31), 2**31, 400) >> random.integers(0, 31, 400)
    return np.unique(np.clip(np.concatenate([near, -near, spread]), -(2**31), 2**31 - 1))


@pytest.mark.parametrize("switch", ["-DENGINE_SHORT_MULTIPLY", "-UENGINE_SHORT_MULTIPLY"])
def test_requantizes_as_litert_does(host_compiler, tmp_path, switch):
    (tmp_path / "main.c").write_text(PROGRAM)
    command = ["gcc", "-std=c11", "-O1", "-fsanitize=undefined", "-fno-sanitize-recover"]
    command += [switch, f"-I{KERNEL_FOLDER}", "main.c", "-o", "program"]
    subprocess.run(command, cwd=tmp_path, check=True)
    random = np.random.default_rng(0)
    values = values_at_the_limits(random)
    multipliers = values[values >= 2**30]
    table = np.stack(np.meshgrid(values, multipliers), axis=-1).reshape(-1, 2)
    table = np.column_stack([table, random.integers(-3, 32, len(table))])
    done = subprocess.run(
        [tmp_path / "program"], input=table.astype("<i4").tobytes(), capture_output=True, check=True
    )
    products, results = np.frombuffer(done.stdout, "<i4").reshape(-1, 2).T
    np.testing.assert_array_equal(products, high_multiply(table[:, 0], table[:, 1]))
    expected = requantize(table[:, 0], table[:, 1], -table[:, 2])
    np.testing.assert_array_equal(results, expected)
