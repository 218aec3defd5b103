"""Whatever stands where a command shall write: one line, and all is as it was.

The commands and their outputs are asked of the command line itself, so that a new one is tried too.
"""

import errno
import inspect
import json
import os
import pathlib
import re
import shutil
import socket
import stat
import subprocess
import sys
import typing

import pytest
from elf_files import firmware_folder
from networks import small_tflite
from typer.models import ArgumentInfo

import edge
from edge.cli.main import app
from edge.errors import EdgeError
from edge.firmware.flash.flash import flash
from edge.system.files import output_file, output_folder

ROOT = pathlib.Path(__file__).parents[3]
OUTPUT_CALLS = pathlib.Path(__file__).parent / "output_calls.py"
LONGEST_LINE = 300
INPUTS = {("export", "labels"), ("flash", "folder"), ("run-all", "file")}
"""The paths that a command reads."""

DEFAULTS = {"export": "firmware"}
ARGUMENTS = {
    **dict.fromkeys(("model", "float_model", "int8_model"), "model.tflite"),
    "file": "missing.toml",
}
"""The value of each argument that a command must have."""

NEEDED_OPTIONS = {"train": ("--out", "new.keras")}
"""An output that a command must have beside the one that is tried."""


class Output(typing.NamedTuple):
    """An option that names what is written; `default` is where it goes without the option."""

    command: str
    option: str
    is_folder: bool
    suffix: str
    arguments: tuple[str, ...]
    default: str | None


def suffix_of(help_text):
    if "Picture" in help_text:
        return ".png"
    found = re.search(r"\.keras|\.tflite|\.toml|HTML", help_text)
    return "" if found is None else found[0].replace("HTML", ".html")


def parameters():
    """The name, the type with Typer's own words, and the default of each command's parameters."""
    for registered in app.registered_commands:
        hints = typing.get_type_hints(registered.callback, include_extras=True)
        for name, parameter in inspect.signature(registered.callback).parameters.items():
            command = registered.callback.__name__.replace("_", "-")
            yield command, name, hints[name], parameter.default


def outputs():
    found = []
    for command, _, hint, default in parameters():
        (info,) = hint.__metadata__
        if getattr(info, "parser", None) in (output_file, output_folder):
            needed = [
                ARGUMENTS[name]
                for other, name, theirs, _ in parameters()
                if other == command and isinstance(theirs.__metadata__[0], ArgumentInfo)
            ]
            if info.default not in NEEDED_OPTIONS.get(command, (info.default,)):
                needed += NEEDED_OPTIONS[command]
            is_folder = info.parser is output_folder
            # `export` has a name of its own where none is given.
            place = str(default) if isinstance(default, pathlib.Path) else DEFAULTS.get(command)
            suffix = "" if is_folder else suffix_of(info.help)
            # Typer keeps the first name in the place of a default.
            found.append(Output(command, info.default, is_folder, suffix, tuple(needed), place))
    return found


OUTPUTS = outputs()


def test_every_path_is_an_output_or_an_input():
    """A path that passes no gate is one that is read."""
    gates = (output_file, output_folder)
    paths = {
        (command, name)
        for command, name, hint, _ in parameters()
        if "Path" in str(hint.__origin__) and hint.__metadata__[0].parser not in gates
    }
    assert paths == INPUTS
    writing = {"build", "compare", "demo", "export", "fit", "inspect", "plan", "report", "search"}
    assert {output.command for output in OUTPUTS} == writing | {
        "boards",
        "run-all",
        "stream",
        "train",
    }
    assert all(o.is_folder or o.suffix for o in OUTPUTS)


# What stands there


def make_device(path):
    os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as sock:
        # Its name must be short.
        there = os.open(path.parent, os.O_RDONLY)
        sock.bind(f"/proc/self/fd/{there}/{path.name}")
        os.close(there)


def make_link_to_file(path):
    (path.parent / "elsewhere").write_bytes(b"elsewhere")
    path.symlink_to("elsewhere")


def make_link_to_folder(path):
    (path.parent / "folder").mkdir()
    path.symlink_to("folder")


def make_locked(path):
    path.parent.chmod(0o555)


THINGS = {
    "device": make_device,
    "pipe": os.mkfifo,
    "socket": make_socket,
    "link to a file": make_link_to_file,
    "link to nothing": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "folder": os.mkdir,
    "file": lambda path: path.write_bytes(b"earlier"),
    # The folders on the way may be links: see `edge.system.files`.
    "link to a folder": make_link_to_folder,
    "locked folder": make_locked,
}
FOR_FOLDERS_ALONE, FOR_FILES_ALONE = {"file"}, {"folder", "link to a folder"}
ROOTS = {"device", "/dev/null", "/dev/full", "read-only disk", "full disk", "full disk, new folder"}
NO_THINGS = ("", "/dev/null", "/dev/full", "/dev/stdout", "below a file", "a null device's child")
DISKS = ("read-only disk", "full disk", "full disk, new folder")
KINDS = (*THINGS, *NO_THINGS, *DISKS)
WORDS = {
    "": "is empty",
    "read-only disk": os.strerror(errno.EROFS),
    "locked folder": os.strerror(errno.EACCES),
    "full disk": os.strerror(errno.ENOSPC),
    "full disk, new folder": os.strerror(errno.ENOSPC),
    "/dev/null": "null",
    "/dev/full": "full",
    "/dev/stdout": "stdout",
    "a null device's child": "null is no folder",
    "below a file": "model.tflite is no folder",
}


def kinds_of(is_folder):
    left_out = FOR_FILES_ALONE if is_folder else FOR_FOLDERS_ALONE
    return [kind for kind in KINDS if kind not in left_out]


IN_DEFAULT = "a pipe in the place of the default"
CASES = [(output, kind) for output in OUTPUTS for kind in kinds_of(output.is_folder)]
CASES += [(output, IN_DEFAULT) for output in OUTPUTS if output.default is not None]


def is_root():
    return os.geteuid() == 0


def can_mount(folder, options):
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder]
    if is_root() and shutil.which("mount"):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


@pytest.fixture(scope="module")
def disks(tmp_path_factory):
    """A full disk of 64 KiB, and a read-only one; root alone may mount."""
    root = tmp_path_factory.mktemp("disks")
    made = {}
    for name in ("full disk", "read-only disk"):
        (root / name).mkdir()
        if can_mount(root / name, "size=64k"):
            made[name] = root / name
            (root / name / "earlier").write_bytes(b"earlier")
    if "full disk" in made:
        with open(made["full disk"] / "filler", "wb") as file:
            file.write(bytes(4096 * (os.statvfs(made["full disk"]).f_bavail)))
        command = ["mount", "-o", "remount,ro", made["read-only disk"]]
        subprocess.run(command, check=True)
    elif os.environ.get("CI") and is_root():
        pytest.fail("CI must be able to mount a tmpfs")
    yield made
    for path in made.values():
        subprocess.run(["umount", "-l", path], check=True)


def tree(folder):
    """Everything below a folder: what it is, and its content."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            path.lstat().st_ino,
            path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else None,
        )
        for path in folder.rglob("*")
    }


def place_for(folder, kind, suffix, disks):
    """Makes what stands there, and returns the path to give; None where only root can make it."""
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_bytes(small_tflite())
    (folder / "out").mkdir()
    if kind in ROOTS and not is_root():
        return None
    if kind in THINGS:
        path = folder / "out" / f"taken{suffix}"
        THINGS[kind](path)
        return str(path.relative_to(folder))
    if kind in DISKS:
        disk = disks.get(kind.partition(",")[0])
        name = f"new/x{suffix}" if kind.endswith("new folder") else f"x{suffix}"
        return None if disk is None else str(disk / name)
    if kind == "below a file":
        return f"model.tflite/x{suffix}"
    return f"/dev/null/x{suffix}" if kind.startswith("a null") else kind


@pytest.fixture(scope="module")
def results(disks, tmp_path_factory):
    """What came of every case: the call, and what was there before and after."""
    root = tmp_path_factory.mktemp("outputs")
    (root / "tmp").mkdir()
    calls, before = {}, {}
    for number, (output, kind) in enumerate(CASES):
        folder = root / str(number) / "work"
        path = place_for(folder, kind, output.suffix, disks)
        if path is not None:
            option = [output.option, path]
            if kind == IN_DEFAULT:
                os.mkfifo(folder / output.default)
                option = []
            before[number] = tree(folder)
            calls[number] = (str(folder), [output.command, *output.arguments, *option])
    disks_before = {name: tree(path) for name, path in disks.items()}
    done = subprocess.run(
        [sys.executable, OUTPUT_CALLS, root / "tmp"],
        input="".join(f"{json.dumps(call)}\n" for call in calls.values()),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(calls)
    assert {name: tree(path) for name, path in disks.items()} == disks_before
    assert list((root / "tmp").iterdir()) == []
    assert stat.S_ISCHR(os.lstat("/dev/null").st_mode)
    return {
        number: (result, before[number], tree(pathlib.Path(calls[number][0])))
        for number, result in zip(calls, said, strict=True)
    }


@pytest.mark.parametrize(
    "number",
    range(len(CASES)),
    ids=[f"{o.command} {o.option} {kind or 'empty'}" for o, kind in CASES],
)
def test_a_command_refuses_in_one_line_and_changes_nothing(results, number):
    if number not in results:
        pytest.skip("root alone can make this")
    result, before, after = results[number]
    output, kind = CASES[number]
    assert result["code"] == 1, result
    assert result["stdout"] == ""
    assert result["stderr"].startswith("Error: ")
    assert result["stderr"].count("\n") == 1
    assert len(result["stderr"]) <= LONGEST_LINE + 1
    name = output.default if kind == IN_DEFAULT else f"taken{output.suffix}"
    assert WORDS.get(kind, f"{name} is") in result["stderr"]
    assert after == before


# The library


def export_to(path):
    edge.export(small_tflite(), None, path)


def package_to(path):
    edge.export(small_tflite(), None, path, runtime="engine", shape="arduino")


LIBRARY = {
    ("export", "out_dir"): export_to,
    ("build", "out_dir"): lambda path: edge.build(small_tflite(), out_dir=path),
    ("report", "out_file"): lambda path: edge.report(small_tflite(), out_file=path),
    ("report", "picture"): lambda path: edge.report(small_tflite(), picture=path),
}
OUTPUT_PARAMETER = re.compile(r"^out(_|$)|^picture$|^folder$|^path$|^file$|_to$")


def test_every_public_function_that_writes_is_listed():
    functions = {name: getattr(edge, name) for name in edge.__all__}
    found = {
        (name, parameter)
        for name, function in functions.items()
        if inspect.isfunction(function)
        for parameter in inspect.signature(function).parameters
        if OUTPUT_PARAMETER.search(parameter)
    }
    # The folder with the firmware is read; what `flash` writes to is below.
    assert found - {("flash", "folder")} == set(LIBRARY)


LIBRARY_CASES = [
    (call, parameter == "out_dir", kind)
    for (name, parameter), call in (*LIBRARY.items(), (("export", "out_dir"), package_to))
    for kind in kinds_of(parameter == "out_dir")
    if kind != "locked folder"
]


@pytest.mark.parametrize(("call", "is_folder", "kind"), LIBRARY_CASES)
def test_a_function_refuses_and_changes_nothing(
    disks, tmp_path, monkeypatch, call, is_folder, kind
):
    path = place_for(tmp_path / "work", kind, "" if is_folder else ".png", disks)
    if path is None:
        pytest.skip("root alone can make this")
    monkeypatch.chdir(tmp_path / "work")
    before = tree(tmp_path)
    with pytest.raises(EdgeError) as error:
        call(path)
    assert "\n" not in str(error.value)
    assert WORDS.get(kind, "taken") in str(error.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", ["device", "pipe", "socket", "link to a file", "link to nothing",
                                  "link to itself", "folder"])  # fmt: skip
@pytest.mark.parametrize("call", [export_to, package_to])
def test_what_stands_in_the_place_of_one_of_many_files_stays(tmp_path, call, kind):
    if kind in ROOTS and not is_root():
        pytest.skip("root alone can make this")
    out = tmp_path / "out"
    call(out)
    name = max(path for path in out.rglob("*") if path.is_file())
    name.unlink()
    THINGS[kind](name)
    before = tree(tmp_path)
    with pytest.raises(EdgeError, match=name.name):
        call(out)
    assert tree(tmp_path) == before


# A board's drive

PICO, INFO = "raspberry-pi-pico-2", b"Board-ID: RP2350\n"


def firmware_and_drive(folder):
    firmware_folder(folder / "firmware", PICO)
    drive = folder / "drives" / "RP2350"
    drive.mkdir(parents=True)
    return folder / "firmware", drive


@pytest.mark.parametrize("kind", [k for k in THINGS if k not in ("file", "locked folder")])
def test_flash_replaces_nothing_on_a_drive(tmp_path, kind):
    if kind in ROOTS and not is_root():
        pytest.skip("root alone can make this")
    firmware, drive = firmware_and_drive(tmp_path)
    (drive / "INFO_UF2.TXT").write_bytes(INFO)
    THINGS[kind](drive / "firmware.uf2")
    before = tree(tmp_path)
    with pytest.raises(EdgeError, match=r"firmware\.uf2 is a .*Is it the drive of the board\?"):
        flash(firmware, PICO, tool="uf2", drives=tmp_path / "drives")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("is_earlier", [False, True])
@pytest.mark.parametrize("options", ["size=8k", "ro"])
def test_flash_on_a_drive_that_takes_nothing(tmp_path, options, is_earlier):
    firmware, drive = firmware_and_drive(tmp_path)
    if not can_mount(drive, "size=64k" if options == "ro" else options):
        pytest.skip("root alone can mount")
    try:
        (drive / "INFO_UF2.TXT").write_bytes(INFO.ljust(4096) if options != "ro" else INFO)
        if is_earlier:
            (drive / "firmware.uf2").write_bytes(b"earlier")
        elif options != "ro":
            (drive / "filler").write_bytes(bytes(4096))
        if options == "ro":
            subprocess.run(["mount", "-o", "remount,ro", drive], check=True)
        before = tree(tmp_path)
        word = os.strerror(errno.EROFS if options == "ro" else errno.ENOSPC)
        with pytest.raises(EdgeError, match=word):
            flash(firmware, PICO, tool="uf2", drives=tmp_path / "drives")
        assert tree(tmp_path) == before
    finally:
        subprocess.run(["umount", "-l", drive], check=True)


def test_flash_refuses_no_name_of_drives(tmp_path):
    firmware, _ = firmware_and_drive(tmp_path)
    with pytest.raises(EdgeError, match="is empty"):
        flash(firmware, PICO, tool="uf2", drives="")


def test_a_path_with_a_null_character_is_refused(tmp_path):
    with pytest.raises(EdgeError, match="null character"):
        export_to("a\0b")


def test_a_report_is_not_written_over_its_own_picture(tmp_path):
    path = tmp_path / "report"
    with pytest.raises(EdgeError, match="name two files"):
        edge.report(small_tflite(), out_file=path, picture=str(path))
    assert list(tmp_path.iterdir()) == []
