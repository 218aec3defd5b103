"""Breaks one line at a time and sees whether the tests that should notice do notice.

`make mutation` runs it (six minutes on two cores). Each break is applied to a copy of the tree, and
the tests that are named beside it run there: if they fail, it was caught. The tests must
pass on the unbroken copy first, and the old text must stand exactly once in its file. `python
tests/mutation.py arithmetic` runs the breaks of files with that word in their path.

A break that survives is a test to write. The exit code is 0 if at least 19 of 20 were caught.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).parent.parent
COPIED = ("edge", "keras_mobilenet", "tests", "pyproject.toml")
LEAST_CAUGHT = 0.95
WORKERS = 2


@dataclasses.dataclass(frozen=True)
class Break:
    """A slip that somebody could make.

    Attributes:
        file: Path from the root of the repository.
        old: What stands there, exactly once.
        new: What stands there after the slip.
        tests: What should fail, as pytest takes it.
    """

    file: str
    old: str
    new: str
    tests: tuple[str, ...]


ARITHMETIC = ("tests/edge/tflite/test_fixed_point.py",)
REFERENCE = ("tests/edge/tflite/test_reference.py::test_equals_litert",)
MAX_POOL = (
    "tests/edge/tflite/test_reference.py::test_the_padding_of_a_max_pool_is_never_the_largest",
    *REFERENCE,
)
PARAMETERS = ("tests/edge/tflite/test_requantization.py",)
PAIRS = ("tests/edge/emit/engine/test_every_pair.py::test_on_this_machine",)
CORES = ("tests/edge/emit/engine/test_every_pair.py::test_on_a_core",)
LOOPS = ("tests/edge/engine/test_program.py", "tests/edge/emit/engine/test_schedule.py")
ADD = (
    "tests/edge/tflite/test_reference.py::test_the_multipliers_of_add_are_those_of_add_cc",
    *REFERENCE,
)
SHAPES = ("tests/edge/tflite/test_operators.py", *REFERENCE)
GREEDY = (
    "tests/edge/memory/test_tflm_arena.py::test_is_the_arena_of_a_cortex_m4",
    "tests/edge/memory/test_tflm_arena.py::test_is_the_arena_that_tflm_reports_here",
)
OFFLINE = ("tests/edge/memory/test_optimal.py",)
OVERLAP = ("tests/edge/memory/test_overlap.py", *OFFLINE)
STREAM = ("tests/edge/engine/test_schedule.py",)
BUDGET = ("tests/edge/deploy/test_budget.py",)
CONSTANT = ("tests/edge/transforms/test_constant_channels.py",)
TIES = ("tests/edge/emit/engine/test_limits.py::test_ties_of_a_dense_layer_are_those_of_litert",)
FIXED_POINT = ("tests/edge/emit/engine/test_fixed_point.py",)
HOST = (
    "tests/edge/emit/engine/test_engine.py::test_a_padded_pixel_is_zero_and_not_the_next_row",
    "tests/edge/emit/engine/test_engine.py::test_computes_any_network",
    "tests/edge/emit/engine/test_engine.py::test_computes_the_reference_on_this_machine",
)
OUTPUTS = (
    "tests/edge/transforms/test_dead_operators.py",
    "tests/edge/emit/engine/test_outputs.py",
)
LIMITS = ("tests/edge/emit/engine/test_limits.py",)
LAYERS = ("tests/edge/engine/test_network.py", *STREAM, *HOST)
QEMU = ("tests/edge/firmware/test_emulate.py::test_firmware_computes_the_bytes_of_the_reference",)
ALIGNED = ("tests/edge/emit/engine/test_aligned.py::test_rows_of_the_input_may_lie_anywhere",)
PIPELINES = ("tests/edge/firmware/test_pipelines.py",)
CYCLES = ("tests/edge/firmware/test_cycles.py::test_a_loops_end_is_mispredicted_at_worst",)

BREAKS = [
    # Rounding and fixed point.
    Break("edge/tflite/fixed_point.py", "+ 2**30) >> 31", "+ 2**30 - 1) >> 31", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", " - ((value < 0) & (exponent > 0))", "", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", "if shift < -31:", "if shift <= -31:", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", "if shift > 30:", "if shift > 31:", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", "(1 << (right - 1))", "(1 << right)", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", " - (product < 0)) >> right", ") >> right", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", "steps <= farthest", "steps < farthest", ARITHMETIC),
    Break("edge/tflite/fixed_point.py", "for _ in range(3):", "for _ in range(2):", ARITHMETIC),
    # The oracle's operators.
    Break("edge/tflite/requantization.py", "return zero_point + int(", "return int(", PARAMETERS),
    Break(
        "edge/tflite/reference.py", "count // 2) // count", "(count - 1) // 2) // count", REFERENCE
    ),
    Break(
        "edge/tflite/reference.py",
        "reshape(-1, kernel.shape[1]) - zero_point_of(source)",
        "reshape(-1, kernel.shape[1])",
        REFERENCE,
    ),
    Break("edge/tflite/reference.py", "pad_value=-128", "pad_value=0", MAX_POOL),
    Break("edge/tflite/requantization.py", "widest = 2.0 *", "widest = 1.0 *", ADD),
    Break("edge/tflite/requantization.py", "shift - extra", "shift", PARAMETERS),
    # Shapes and padding.
    Break("edge/tflite/windows.py", "(taps - 1) * dilation + 1 if", "taps * dilation if", SHAPES),
    Break("edge/tflite/windows.py", "stride + reach - size)", "stride + reach + 1 - size)", SHAPES),
    # Lifetimes and plans for TFLite Micro.
    Break(
        "edge/memory/live_ranges.py", "self.first <= other.last", "self.first < other.last", OFFLINE
    ),
    Break("edge/memory/overlap.py", "dtype=np.int64) + 1)", "dtype=np.int64))", OVERLAP),
    Break("edge/memory/overlap.py", "stride - before, 0)", "stride, 0)", OVERLAP),
    Break("edge/memory/optimal.py", "offset < at + self", "offset <= at + self", OFFLINE),
    Break("edge/memory/greedy.py", "ALIGNMENT = 16", "ALIGNMENT = 8", GREEDY),
    Break("edge/memory/greedy.py", "(-sizes[i], -i)", "(-sizes[i], i)", GREEDY),
    Break("edge/memory/greedy.py", "- offset >= sizes[index]", "- offset > sizes[index]", GREEDY),
    Break("edge/memory/tflm_arena.py", "take(4 + 4 * len", "take(4 * len", GREEDY),
    Break("edge/tflite/writer.py", "BUFFER_ALIGNMENT = 16", "BUFFER_ALIGNMENT = 8", OFFLINE),
    # The streamed schedule.
    Break(
        "edge/engine/row_flow.py",
        "self.made[tensor] > last[row]",
        "self.made[tensor] >= last[row]",
        STREAM,
    ),
    Break(
        "edge/engine/simulation.py",
        "now_made * result_bytes",
        "made * result_bytes",
        STREAM,
    ),
    Break(
        "edge/engine/network.py",
        "(self.window[0] - 1) * self.dilation[0]",
        "self.window[0] - 1",
        LAYERS,
    ),
    Break(
        "edge/engine/network.py",
        "max(0, row * self.stride[0] - self.pad[0]))",
        "row * self.stride[0])",
        LAYERS,
    ),
    # Groups of channels.
    Break(
        "edge/transforms/groups.py",
        "values[group, :, :, :, group] = by_group[group]",
        "values[group, :, :, :, 0] = by_group[group]",
        ("tests/edge/transforms/test_groups.py",),
    ),
    # Constant channels.
    Break(
        "edge/transforms/constant_channels.py",
        "return constant & (self.values[source.index] == zero_point_of(source))",
        "return constant",
        CONSTANT,
    ),
    Break(
        "edge/transforms/constant_channels.py",
        "bias + analysis.weights",
        "bias - analysis.weights",
        CONSTANT,
    ),
    Break(
        "edge/transforms/constant_channels.py",
        "CHANNEL_MULTIPLE if mask.any()",
        "CHANNEL_MULTIPLE + 1 if mask.any()",
        CONSTANT,
    ),
    # Budgets.
    Break("edge/deploy/budget.py", "held[max(room,", "held[min(room,", BUDGET),
    Break("edge/runtimes/tflm_code_size.py", "if known <= measured", "if known < measured", BUDGET),
    Break("edge/runtimes/tflm_code_size.py", "max(STACK_BYTES)", "min(STACK_BYTES)", BUDGET),
    # What the engine is given, and its kernels in C.
    Break(
        "edge/engine/kernel.py",
        "bias_of(graph, op) - zero_point_of",
        "bias_of(graph, op) + zero_point_of",
        HOST,
    ),
    Break("edge/emit/engine/kernels/engine.h", " + ((value < 0) ? 1U : 0U)", "", HOST),
    Break("edge/emit/engine/kernels/engine.h", "(1LL << 30)", "(1LL << 29)", HOST),
    Break("edge/emit/engine/kernels/pool.c", ": -(count / 2)", ": (count / 2)", HOST),
    Break(
        "edge/emit/engine/kernels/pool.c",
        "sums[n] - (count * layer->zero_point)",
        "sums[n] - layer->zero_point",
        HOST,
    ),
    Break("edge/emit/engine/kernels/elementwise.c", "(at >= inside)", "(at > inside)", HOST),
    Break("edge/emit/engine/kernels/elementwise.c", "NARROWER_BITS + up)", "NARROWER_BITS)", PAIRS),
    Break("edge/emit/engine/templates/model.c.j2", "    *rounds = 0U;\n", "", LOOPS),
    Break("edge/engine/program.py", "MOST_AGAIN) + 1", "MOST_AGAIN)", LOOPS),
    Break(
        "edge/emit/engine/kernels/conv_tiles.h", "(at >= 0) && (at <", "(at >= 0) && (at <=", HOST
    ),
    Break("edge/emit/engine/kernels/depthwise.c", "|| (at >=", "|| (at >", HOST),
    Break("edge/emit/engine/kernels/engine.h", "(scaled >> 31)", "0", FIXED_POINT),
    Break("edge/emit/engine/kernels/engine.h", "(1L << 14)", "(1L << 13)", FIXED_POINT),
    Break("edge/emit/engine/kernels/dense_output.h", " - ((product < 0) ? 1 : 0)", "", TIES),
    Break("edge/emit/engine/kernels/softmax.c", "- headroom) + 23U", "- headroom) + 22U", HOST),
    # Outputs anywhere, and sums at the limits of 32 bits.
    Break(
        "edge/tflite/graph.py",
        "needed.update(op.inputs)",
        "needed |= {*op.inputs[:1]}",
        OUTPUTS,
    ),
    Break("edge/emit/engine/kernels/softmax.c", "(exponent > 31U)", "(exponent > 32U)", LIMITS),
    Break("edge/emit/engine/kernels/softmax.c", "(512UL <<", "(8192UL <<", LIMITS),
    Break(
        "edge/emit/engine/kernels/engine.h", "(int32_t)((uint32_t)a + (uint32_t)b)", "a + b", LIMITS
    ),
    Break(
        "edge/tflite/reference.py",
        "wrapped(total + bias_of(graph, op))",
        "total + bias_of(graph, op)",
        LIMITS,
    ),
    Break(
        "edge/emit/engine/kernels/depthwise_dsp.c",
        "(end > (int32_t)layer->width)",
        "(end >= (int32_t)layer->width)",
        QEMU,
    ),
    Break("edge/engine/packing_dsp.py", "2 ** (32 - last[1])", "2 ** (31 - last[1])", CORES),
    Break("edge/engine/packing_dsp.py", "256 * high + low + 128", "256 * high + low + 127", QEMU),
    Break("edge/emit/engine/kernels/dsp.h", "(address) % 4U", "(address) % 2U", ALIGNED),
    Break(
        "edge/emit/engine/kernels/dsp.h",
        "bytes(&from[words], step, 1U",
        "bytes(&from[words], step, 2U",
        ALIGNED,
    ),
    Break("edge/emit/engine/kernels/engine.h", "(bytes & ~3U) : 0U", "bytes : 0U", ALIGNED),
    Break("edge/emit/engine/kernels/dsp.h", '", #8, r"', '", #7, r"', QEMU),
    Break("edge/emit/engine/kernels/conv_mve.c", "pixels / 2U;", "(pixels + 1U) / 2U;", QEMU),
    # Cycles of a block.
    Break("edge/firmware/single_issue.py", "1 + instruction.count + stall", "2 + stall", PIPELINES),
    Break("edge/firmware/single_issue.py", "= 1 if follows_load else 2", "= 2", PIPELINES),
    Break(
        "edge/firmware/single_issue.py", "before.addresses != ", "before.addresses == ", PIPELINES
    ),
    Break("edge/firmware/in_order.py", "1 if is_long else side", "side", PIPELINES),
    Break("edge/firmware/in_order.py", "issued + 2", "issued + 1", PIPELINES),
    Break("edge/firmware/in_order.py", "at = min(at, sums.get(register, at))", "pass", PIPELINES),
    Break("edge/firmware/cycles.py", "and count <= counts[", "and count > counts[", CYCLES),
]


def copy_of_tree(folder: pathlib.Path) -> pathlib.Path:
    """Copies what the tests need; the real models are linked to."""
    tree = folder / "tree"
    ignored = shutil.ignore_patterns("__pycache__", ".*", "build")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=ignored)
        else:
            shutil.copy(source, tree / name)
    if (ROOT.parent / "shared").exists():
        (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
    return tree


def run_tests(tree: pathlib.Path, tests: Sequence[str]) -> subprocess.CompletedProcess:
    """Runs tests in a copy, up to the first that fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-m", "not exhaustive", "--no-header"]
    command += ["--hypothesis-profile=mutation"]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, *tests], cwd=tree, env=environment, capture_output=True, text=True
    )


def is_caught(slip: Break) -> tuple[bool, float]:
    """Applies a break to a copy and runs its tests; whether one failed, and seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        tree = copy_of_tree(pathlib.Path(name))
        file = tree / slip.file
        file.write_text(file.read_text("utf-8").replace(slip.old, slip.new), "utf-8")
        done = run_tests(tree, slip.tests)
    # 1: tests failed. Anything else, as a break that cannot be imported, is no answer.
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.returncode != 0, time.monotonic() - start


def misplaced(breaks: Sequence[Break]) -> list[Break]:
    """Breaks whose old text does not stand exactly once in its file."""
    return [s for s in breaks if (ROOT / s.file).read_text("utf-8").count(s.old) != 1]


def main() -> int:
    """Runs the breaks and prints the score."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="only breaks of files with one of these words")
    words = parser.parse_args().words
    breaks = [s for s in BREAKS if not words or any(word in s.file for word in words)]
    for slip in misplaced(breaks):
        print(f"{slip.file}: {slip.old!r} does not stand there exactly once")
        return 1
    tests = sorted({test for slip in breaks for test in slip.tests})
    with tempfile.TemporaryDirectory(prefix="mutation-") as name:
        whole = run_tests(copy_of_tree(pathlib.Path(name)), tests)
    if whole.returncode != 0:
        print(f"The tests fail on the unbroken copy:\n{whole.stdout}{whole.stderr}")
        return 1
    print(f"unbroken: {whole.stdout.splitlines()[-1]}", flush=True)
    caught = 0
    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        for slip, (is_found, seconds) in zip(breaks, pool.map(is_caught, breaks), strict=True):
            caught += is_found
            state = "caught  " if is_found else "SURVIVED"
            print(f"{state} {seconds:4.0f} s  {slip.file}: {slip.old} -> {slip.new}", flush=True)
    print(f"{caught} of {len(breaks)} caught")
    return 0 if caught >= LEAST_CAUGHT * len(breaks) else 1


if __name__ == "__main__":
    sys.exit(main())
