"""The breaks of mutation.py still fit the source; `make mutation` runs them."""

import ast
import pathlib
import runpy

import pytest

ROOT = pathlib.Path(__file__).parent.parent
MUTATION = runpy.run_path(str(ROOT / "tests" / "mutation.py"), run_name="mutation")
BREAKS = MUTATION["BREAKS"]


def test_mutation_list_has_twenty_breaks_or_more():
    """Of 20 breaks, 95 % is a whole number."""
    assert len({(slip.file, slip.old) for slip in BREAKS}) == len(BREAKS) >= 20


@pytest.mark.parametrize("slip", BREAKS, ids=lambda slip: f"{slip.file}: {slip.old}")
def test_break_changes_one_place_of_its_file(slip):
    text = (ROOT / slip.file).read_text("utf-8")
    assert text.count(slip.old) == 1, "the source changed: change the break, too"
    broken = text.replace(slip.old, slip.new)
    assert broken != text
    if slip.file.endswith(".py"):
        # Otherwise any test would catch it.
        ast.parse(broken)


@pytest.mark.parametrize("test", sorted({test for slip in BREAKS for test in slip.tests}))
def test_tests_that_should_notice_a_break_exist(test):
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text("utf-8"))
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert any(one.startswith("test_") for one in names)
    assert not name or name.partition("[")[0] in names
