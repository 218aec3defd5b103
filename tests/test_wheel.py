"""What pip installs works away from the repository."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PACKAGES = ("edge", "keras_mobilenet")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Both packages, as pip puts them into an environment."""
    folder = tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--root-user-action=ignore"]
    subprocess.run([*command, "--target", folder / "site", folder / "source"], check=True)
    return folder / "site"


def files_of(folder):
    paths = (path for name in PACKAGES for path in (folder / name).rglob("*") if path.is_file())
    return {str(p.relative_to(folder)) for p in paths if "__pycache__" not in p.parts}


def test_wheel_leaves_no_file_behind(installed):
    """Boards, templates, kernels and the page's style are no Python."""
    assert files_of(installed) == files_of(ROOT)


def test_installed_package_builds_a_firmware_without_the_repository(
    arm_compiler, installed, trained_tflite, tmp_path
):
    (tmp_path / "model.tflite").write_bytes(trained_tflite)
    command = [sys.executable, "-m", "edge", "build", "model.tflite", "--board", "nucleo-f446re"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stderr
    assert any(path.suffix == ".elf" for path in tmp_path.rglob("*"))
