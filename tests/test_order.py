"""The files that the two workers begin with."""

import pathlib
import runpy

ROOT = pathlib.Path(__file__).parent.parent


def test_files_whose_cost_is_known_exist():
    costs = runpy.run_path(str(ROOT / "tests" / "conftest.py"))["CPU_SECONDS"]
    assert [name for name in costs if not (ROOT / name).is_file()] == []
