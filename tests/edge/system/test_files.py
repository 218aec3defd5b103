"""Output takes the place of regular files only, and leaves nothing behind, killed or not."""

import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import time

import pytest

from edge.errors import EdgeError
from edge.system.files import STAGING_PREFIX, output_path, require_writable, write_files
from edge.system.signals import SCRATCH_PREFIX
from edge.system.temporary import LockedFolder, remove_stale

ROOT = pathlib.Path(__file__).parents[3]


def make_device(path):
    """A copy of /dev/null."""
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root can make a device")


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        # Its name must be short.
        there = os.open(path.parent, os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{there}/{path.name}")
        os.close(there)


def make_link(path):
    (path.parent / "elsewhere").write_bytes(b"elsewhere")
    path.symlink_to("elsewhere")


KINDS = {
    "device": make_device,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "symbolic link": make_link,
    "symbolic link to nothing": lambda path: path.symlink_to("nowhere"),
    "folder": os.mkdir,
}


def state(folder):
    return {p.name: (p.lstat().st_mode, p.lstat().st_ino) for p in folder.rglob("*")}


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_is_no_regular_file_is_refused_and_stays(tmp_path, kind):
    KINDS[kind](tmp_path / "taken")
    (tmp_path / "a").write_bytes(b"earlier")
    before = state(tmp_path)
    for refused in (
        lambda: require_writable(tmp_path, ["a", "taken"]),
        lambda: write_files(tmp_path, {"a": b"new", "taken": b"new"}),
    ):
        with pytest.raises(EdgeError, match=f"taken is a {kind.removesuffix(' to nothing')} there"):
            refused()
    assert state(tmp_path) == before
    assert (tmp_path / "a").read_bytes() == b"earlier"


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "folder"])
@pytest.mark.parametrize("name", ["a", "sub/a"])
def test_a_folder_that_is_none_is_refused(tmp_path, kind, name):
    KINDS[kind](tmp_path / "taken")
    before = state(tmp_path)
    folder, name = (tmp_path / "taken", name) if name == "a" else (tmp_path, "taken/a")
    for refused in (
        lambda: require_writable(folder, [name]),
        lambda: write_files(folder, {name: b"new"}),
    ):
        with pytest.raises(EdgeError, match="taken is no folder"):
            refused()
    assert state(tmp_path) == before


def test_a_link_to_a_folder_is_a_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_files(tmp_path / "link", {"a": b"1", "sub/b": b"2"})
    assert (tmp_path / "real" / "sub" / "b").read_bytes() == b"2"


def test_the_empty_path_is_refused_and_a_dot_is_not():
    with pytest.raises(EdgeError, match="empty"):
        output_path("")
    assert output_path(".") == pathlib.Path(".")


# What a killed process leaves.


@pytest.fixture
def place(tmp_path):
    from networks import small_tflite

    (tmp_path / "model.tflite").write_bytes(small_tflite())
    return tmp_path


def test_a_folder_of_a_living_process_is_not_stale(tmp_path):
    for prefix in (STAGING_PREFIX, SCRATCH_PREFIX):
        folder = LockedFolder(tmp_path, prefix)
        remove_stale(tmp_path, prefix)
        assert folder.path.is_dir()
        folder.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_only_looks_stale_stays(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"1")
    (tmp_path / f"{STAGING_PREFIX}link").symlink_to("kept")
    (tmp_path / f"{STAGING_PREFIX}file").write_bytes(b"2")
    before = state(tmp_path)
    write_files(tmp_path, {})
    assert state(tmp_path) == before


KILLED_WRITER = """
import os, pathlib, signal
from edge.system import files
files.os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
files.write_files(pathlib.Path("."), {"a": b"1", "sub/b": b"2"})
"""


def test_the_next_run_removes_what_a_killed_writer_left(tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WRITER],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL
    assert list(tmp_path.glob(f"{STAGING_PREFIX}*"))
    require_writable(tmp_path)
    assert not list(tmp_path.glob(f"{STAGING_PREFIX}*"))


WRITER_KILLED_AT_A_STEP = """
import os, pathlib, signal, sys
from edge.system import files

calls = iter(range(100))

def killing(function):
    def called(*arguments, **options):
        if next(calls) == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return called

os.replace = killing(os.replace)
for name in ("mkdir", "write_bytes", "rename"):
    setattr(pathlib.Path, name, killing(getattr(pathlib.Path, name)))
new = {name: b"new" for name in ("a", "sub/b", "sub/deep/c")}
files.write_files(pathlib.Path("out"), new)
"""


def contents_of(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("has_earlier", [False, True])
def test_a_writer_killed_at_any_step_leaves_all_or_none(tmp_path, has_earlier):
    """After the next one, which ends what was begun: no mixture of the earlier and the new."""
    names = ("a", "sub/b", "sub/deep/c")
    outcomes = []
    for step in range(100):
        place = tmp_path / str(step)
        out = place / "out"
        if has_earlier:
            (out / "sub/deep").mkdir(parents=True)
            for name in names:
                (out / name).write_bytes(b"old")
        place.mkdir(exist_ok=True)
        command = [sys.executable, "-c", WRITER_KILLED_AT_A_STEP, str(step)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        code = subprocess.run(command, cwd=place, env=environment).returncode
        assert code in (0, -signal.SIGKILL)
        require_writable(out)
        found = contents_of(out)
        assert found in (dict.fromkeys(names, b"new"), dict.fromkeys(names, b"old"), {})
        assert bool(found) or not has_earlier
        outcomes.append(b"new" in found.values())
        if code == 0:
            break
    assert outcomes == sorted(outcomes), "from some step on it is the new one"
    assert outcomes.count(True) >= 1 + len(names), "once all is made, all of it comes"
    assert outcomes.count(False) >= 1 + len(names)


def test_the_next_run_removes_the_temporary_files_of_a_killed_one(place):
    temporary = place / "tmp"
    temporary.mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)}
    command = [sys.executable, "-m", "edge", "verify", "model.tflite", "--inputs"]
    with subprocess.Popen([*command, "100000"], cwd=place, env=environment) as process:
        while not list(temporary.glob("*/keras-mobilenet-*")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    assert list(temporary.iterdir())
    done = subprocess.run([*command, "1"], cwd=place, env=environment, capture_output=True)
    assert done.returncode == 0
    assert list(temporary.iterdir()) == []
