"""Every notebook runs from top to bottom."""

import os
import pathlib

import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
AT_LENGTH = ("02_train_small", "03_from_keras_to_cortex_m")
"""They train for two minutes."""

RUN = [
    pytest.param(path, marks=pytest.mark.exhaustive if path.stem in AT_LENGTH else (), id=path.stem)
    for path in NOTEBOOKS
]


@pytest.mark.slow
@pytest.mark.parametrize("path", RUN)
def test_notebook_runs_from_top_to_bottom(path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [
        output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    assert not any(output.output_type == "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    said = "".join(output.get("text", "") for output in outputs)
    assert "Left out:" not in said or not os.environ.get("CI"), "CI must have every tool"


def test_notebooks_are_kept_without_outputs():
    """Small files, and no diff from a mere run."""
    nbformat = pytest.importorskip("nbformat")
    for path in NOTEBOOKS:
        cells = nbformat.read(path, as_version=4).cells
        assert not any(cell.get("outputs") for cell in cells), path.name
