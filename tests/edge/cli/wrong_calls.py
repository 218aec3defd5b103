"""Every command with every option given wrongly: `wrong_calls.py light|heavy SHARE FOLDER [MODEL]`.

Python and the libraries are loaded once; each call runs in a fork of its own, through the real
entry point, with the process's own streams in files. The heavy calls are those that come as far as
TensorFlow. Of a share of 3, every third call runs. Prints one JSON object a call.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import json
import os
import pathlib
import shutil
import signal
import struct
import sys
import time
import typing
import zlib

from edge.cli import main as cli

SECONDS = 120
CAPABILITY_VERSION_3, CAP_DAC_OVERRIDE = 0x20080522, 1
USAGE, BAD_INPUT = "while parsing", "while working"
NEEDS_MODEL = ("export", "verify", "inspect", "fit", "plan", "stream", "build", "run", "report")
"""Commands whose first argument is a model."""

WRONG = {
    int: ["abc", "", "1.5", "0x10", "9e3", "1 2", "--json"],
    float: ["abc", "", "0,25", "1/4", "--json"],
    pathlib.Path: [],
    str: [],
}
"""What is no value of a type at all; `--json` in the place of a value is one."""

WRONG_WORDS = ["", "TFLM", "stm32cube", "engine ", "cmake,arduino", "--json", "движок"]
"""What is none of the words that an option knows."""

LONG = "x" * 300
BAD_MODELS = [
    *("missing.tflite", "folder", "folder.tflite", "empty.tflite", "text.tflite", "cut.tflite"),
    *("my model.tflite", "modèle 模型.tflite", "picture.png", "pipe.tflite", "nowhere.tflite"),
    *("loop.tflite", "text.tflite/inside.tflite", f"{LONG}.tflite", "", "[/red] :b: [x.tflite"),
    *("/dev/zero", "two\nlines.tflite", "\x1b[31mred.tflite", os.fsdecode(b"\xff\xfe.tflite")),
]
BAD_KERAS = ["missing.keras", "folder.keras", "text.keras", "empty.keras", "my model.keras"]
BAD_BOARDS = [
    *("", "no-such-board", "плата", "../boards/arduino-zero", "[/red]", "nucleo f446re x"),
    *("missing.toml", "text.tflite/board.toml"),
]
BAD_DATA = [
    *("nowhere", "", "text.tflite", "folder", "one class", "bad images", "few images", "bomb"),
    *("DIGITS", "[/red]", LONG, "photos é", os.fsdecode(b"\xff")),
]
BAD_FOLDERS = ["text.keras", "text.keras/inside", "nowhere.tflite", "loop.tflite", LONG, "locked"]
"""To write into: a file, a link that leads nowhere, a name too long, a folder that is read-only."""


def sandbox(folder: pathlib.Path) -> None:
    """Fills a folder with what a wrong call may name."""
    for name in ("folder", "folder.tflite", "folder.keras", "folder.png", "locked"):
        (folder / name).mkdir()
    for name in ("empty.tflite", "empty.keras"):
        (folder / name).touch()
    for name in ("text.tflite", "text.keras", "my model.tflite", "my model.keras"):
        (folder / name).write_text("not a model\n" * 9)
    for name in ("modèle 模型.tflite", "[/red] :b: [x.tflite", "two\nlines.tflite"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("not a model either\n" * 9)
    (folder / "cut.tflite").write_bytes(b"\x1c\0\0\0TFL3" + bytes(40))
    (folder / "picture.png").write_bytes(png(8, 8))
    (folder / "labels.bin").write_bytes(bytes(range(256)))
    (folder / "labels.txt").write_text("one label\n")
    (folder / "run.toml").write_text('[data]\nsource = "nowhere"\n')
    (folder / "wrong.toml").write_text('[data]\nsource = "digits"\nsid = 3\n')
    os.mkfifo(folder / "pipe.tflite")
    (folder / "nowhere.tflite").symlink_to("nowhere at all")
    (folder / "loop.tflite").symlink_to("loop.tflite")
    for classes, content, count in (
        (["one class/a"], png(8, 8), 3),
        (["bad images/a", "bad images/b"], png(8, 8)[:-30], 3),
        (["few images/a", "few images/b"], png(8, 8), 1),
        (["bomb/a", "bomb/b"], png(60_000, 60_000), 2),
        (["photos é/a", "photos é/b"], b"GIF89a", 2),
    ):
        for name in classes:
            (folder / name).mkdir(parents=True)
            for number in range(count):
                (folder / name / f"{number}.png").write_bytes(content)
    (folder / "earlier").mkdir()
    for name in ("model_data.cc", "firmware.elf", "model.keras", "study.txt"):
        (folder / "earlier" / name).write_text("earlier\n")


def png(width: int, height: int) -> bytes:
    """A gray picture; its header says how large, whatever follows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(9) * 8)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def calls(has_model: bool) -> list[tuple[str, list[str]]]:
    """Every wrong call: when it is refused, and its arguments."""
    found = list(unknown()) + list(typed()) + list(files())
    if has_model:
        found += list(with_model())
    seen: set[tuple[str, ...]] = set()
    return [c for c in found if not (tuple(c[1]) in seen or seen.add(tuple(c[1])))]  # type: ignore


def good(command: str) -> list[str]:
    """What comes before the one thing that is wrong."""
    start = {
        "train": ["train", "--out", "new.keras"],
        "compare": ["compare", "missing.keras", "real.tflite"],
        "flash": ["flash", "earlier"],
        "search": ["search", "--out", "new"],
        "demo": ["demo", "--data", "digits", "--out", "new"],
    }
    if command in start:
        return start[command]
    return [command, "real.tflite"] if command in NEEDS_MODEL else [command]


def unknown() -> typing.Iterator[tuple[str, list[str]]]:
    """Commands, options and arguments that there are not."""
    for name in ("exprot", "EXPORT", "export.", "помощь", "--version", "-x", "model.tflite", "a b"):
        yield USAGE, [name]
    for info in cli.app.registered_commands:
        name = info.callback.__name__.replace("_", "-")
        yield USAGE, [*good(name), "--no-such-option"]
        yield USAGE, [*good(name), "--JSON"]
        yield USAGE, [*good(name), "-z"]
        yield USAGE, [*good(name), "--опция", "1"]
        yield USAGE, [*good(name), "surplus"]
        yield USAGE, [*good(name), "--json=yes"]
        yield USAGE, ["--json", *good(name)]
    for name in (*NEEDS_MODEL, "flash", "train"):
        yield USAGE, [name]


def typed() -> typing.Iterator[tuple[str, list[str]]]:
    """Every option of every command with what is no value of its type, and with none."""
    group = cli.typer.main.get_command(cli.app)
    for info in cli.app.registered_commands:
        name = info.callback.__name__.replace("_", "-")
        types = typing.get_type_hints(info.callback)
        for parameter in group.commands[name].params:
            option = parameter.opts[0]
            if parameter.name not in types or not option.startswith("-"):
                continue
            kind = types[parameter.name]
            kind = next((k for k in typing.get_args(kind) if k is not type(None)), kind)
            if kind is bool:
                yield USAGE, [*good(name), f"{option}=yes"]
                continue
            yield USAGE, [*good(name), option]
            if typing.get_origin(types[parameter.name]) is typing.Literal:
                for value in WRONG_WORDS:
                    yield USAGE, [*good(name), option, value]
                continue
            for value in WRONG[kind]:
                yield USAGE, [*good(name), option, value]
            if parameter.name == "board":
                for value in BAD_BOARDS:
                    yield BAD_INPUT, [*good(name), option, value]
    ranges = {
        "--inputs": (("verify", "run"), ["0", "-1"]),
        "--seed": (("verify", "run", "train"), ["-1", "4294967296"]),
        "--frozen-epochs": (("train",), ["-1"]),
        "--batch-size": (("train",), ["0", "-1", "5000"]),
        "--patience": (("train",), ["0", "-1"]),
        "--weight-bits": (("train",), ["0", "5", "16"]),
        "--float-epochs": (("train", "search", "demo"), ["0", "-3"]),
        "--qat-epochs": (("train", "search", "demo"), ["0", "-3"]),
        "--flash-margin": (("fit",), ["-1"]),
        "--ram-margin": (("fit",), ["-1"]),
        "--steps": (("plan",), ["-1", "0.5", "many"]),
        "--minutes": (("search",), ["-1"]),
        "--ms": (("search",), ["0", "-1"]),
        "--trials": (("search",), ["0", "-2"]),
        "--ram": (("stream", "build"), ["0", "-4096"]),
        "--side": (("train", "search"), ["513", "9" * 30]),
    }
    for option, (names, values) in ranges.items():
        for name in names:
            for value in values:
                yield USAGE, [*good(name), option, value]


def files() -> typing.Iterator[tuple[str, list[str]]]:
    """Models, data sets, labels and folders that are missing, of another kind, or locked."""
    for name in NEEDS_MODEL:
        for model in BAD_MODELS:
            yield BAD_INPUT, [name, model]
        for model in BAD_KERAS:
            yield BAD_INPUT, [name, model]
    for labels in ("missing.txt", "folder", "labels.bin", "text.keras/inside", LONG, "/dev/zero"):
        yield BAD_INPUT, ["export", "text.tflite", "--labels", labels]
    for folder in (
        "missing",
        "text.tflite",
        "folder",
        "with space",
        LONG,
        "прошивка",
        "loop.tflite",
    ):
        yield BAD_INPUT, ["flash", folder]
        yield BAD_INPUT, ["flash", folder, "--dry-run", "--board", "arduino-zero"]
    for out in ("model.h5", "model", "folder", ".keras", "", "model.keras/"):
        if out != "model.keras/":
            yield BAD_INPUT, ["train", "--out", out]
    for out in ("folder.keras", *(f"{name}/new.keras" for name in BAD_FOLDERS), f"{LONG}.keras"):
        yield BAD_INPUT, ["train", "--out", out]
    for word in (
        "swirl=1",
        "shift",
        "shift=",
        "shift=nan",
        "turn=0.7",
        "mirror=1",
        "",
        "=0.1",
        LONG,
    ):
        yield BAD_INPUT, [*good("train"), "--augment", word]
    yield BAD_INPUT, [*good("train"), "--augment", "colour=0.1", "--channels", "1"]
    for pattern in ("", "(", "subfolder", "film[0-9]"):
        yield BAD_INPUT, [*good("train"), "--groups", pattern]
        yield BAD_INPUT, [*good("train"), "--data", "few images", "--groups", pattern]
    for preview in ("x.jpg", "x", "", "folder.png", f"{LONG}.png", "locked/x.png"):
        yield BAD_INPUT, [*good("train"), "--preview", preview]
    for option, values in {
        "--stages": ("0,3", "8,3,2,1,dense", "8;3", "8,,3", "-8", "", " ", "9" * 40, LONG, "8,2.5"),
        "--stem": ("8", "0", "x", ""),
        "--learning-rate": ("0", "-1", "nan", "inf"),
        "--frozen-epochs": ("31",),
        "--weights": (
            "missing.keras",
            "text.keras",
            "text.tflite",
            "folder",
            "labels.bin",
            "",
            LONG,
        ),
        "--backup": ("text.tflite", LONG),
        "--tensorboard": ("text.tflite", LONG),
    }.items():
        for value in values:
            yield BAD_INPUT, [*good("train"), option, value]
    yield BAD_INPUT, [*good("train"), "--residual"]
    yield BAD_INPUT, [*good("train"), "--stages", "8,3,2", "--stem", "8,0"]
    for name in ("search", "demo"):
        for out in BAD_FOLDERS:
            yield BAD_INPUT, [name, "--out", out]
    for name in ("train", "search", "demo"):
        for data in BAD_DATA:
            yield BAD_INPUT, [*good(name), "--data", data]
    for name in ("train", "demo"):
        for alpha in ("0", "-0.25", "1.01", "nan", "inf"):
            yield BAD_INPUT, [*good(name), "--alpha", alpha]
    for rho in ("0", "-1", "1.5", "nan", "0.1"):
        yield BAD_INPUT, ["train", "--out", "new.keras", "--rho", rho]
    for name in ("train", "search"):
        for side in ("0", "-48", "31" if name == "train" else "15"):
            yield BAD_INPUT, [*good(name), "--side", side]
        for channels in ("0", "2", "-1", "4"):
            yield BAD_INPUT, [*good(name), "--channels", channels]
    for storage in ("", "abc", "nosuch://host/study", "sqlite:////proc/nowhere/study.db"):
        if storage:
            yield BAD_INPUT, ["search", "--out", "new", "--storage", storage]
    for artifacts in (*BAD_FOLDERS, "s3://"):
        yield BAD_INPUT, ["search", "--out", "new", "--artifacts", artifacts]
    yield BAD_INPUT, ["search", "--out", "new", "--runtime", "tflm", "--ms", "5"]


def with_model() -> typing.Iterator[tuple[str, list[str]]]:
    """What is wrong only once a good model has been read."""
    for name in ("inspect", "fit"):
        for plot in (
            "x.xyz",
            "folder.png",
            "",
            *(f"{n}/x.png" for n in BAD_FOLDERS),
            f"{LONG}.png",
        ):
            yield BAD_INPUT, [name, "real.tflite", "--plot", plot]
    for out in ("folder", "", f"{LONG}.tflite", *(f"{name}/x.tflite" for name in BAD_FOLDERS)):
        yield BAD_INPUT, ["plan", "real.tflite", "--out", out]
    for training in ("missing.json", "text.tflite", "folder", "/dev/zero", "", LONG):
        yield BAD_INPUT, ["report", "real.tflite", "--training", training]
    for out in BAD_FOLDERS:
        yield BAD_INPUT, ["export", "real.tflite", "--out", out]
    yield BAD_INPUT, ["export", "real.tflite", "--labels", "labels.txt"]
    yield BAD_INPUT, ["stream", "real.tflite", "--plot", "folder.png"]
    yield BAD_INPUT, ["stream", "real.tflite", "--ram", "1"]
    yield BAD_INPUT, ["build", "real.tflite", "--ram", "1"]
    for name in ("verify", "run"):
        for data in BAD_DATA:
            yield BAD_INPUT, [name, "real.tflite", "--data", data]
        yield BAD_INPUT, [name, "real.tflite", "--inputs", "99999999999999999999"]
    for name in ("export", "build", "inspect", "fit", "plan", "stream"):
        for data in ("nowhere", "digits", ""):
            yield BAD_INPUT, [name, "real.tflite", "--data", data]
    engine = ["export", "real.tflite", "--runtime", "engine"]
    for out in BAD_FOLDERS:
        yield BAD_INPUT, [*engine, "--shape", "arduino", "--out", out]
    for rest in (
        ["--labels", "labels.txt"],
        ["--camera", "rgb565", "--camera-size", "96x96"],
        ["--no-offline-plan"],
        ["--name", "!?"],
        ["--board", "no-such-board"],
    ):
        yield BAD_INPUT, [*engine, *rest]
    yield BAD_INPUT, ["export", "real.tflite", "--name", "?!"]


def snapshot(folder: pathlib.Path) -> dict[str, str]:
    """Everything below a folder, with its content."""
    result = {}
    for path in sorted(folder.rglob("*")):
        what = "folder"
        if path.is_symlink():
            what = os.readlink(path)
        elif path.is_file():
            what = hashlib.sha256(path.read_bytes()).hexdigest()
        result[os.fsencode(path.relative_to(folder)).decode("utf-8", "backslashreplace")] = what
    return result


def run(arguments: list[str], folder: pathlib.Path) -> dict:
    """Runs one call in a fork; its streams are files outside of the folder."""
    started = time.monotonic()
    paths = [folder.parent / name for name in ("stdout", "stderr")]
    child = os.fork()
    if child == 0:
        try:
            os.chdir(folder)
            signal.alarm(SECONDS)
            for number, path in enumerate(paths, start=1):
                os.dup2(os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY), number)
            cli.main(arguments)
        except SystemExit as end:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
            os._exit(end.code if isinstance(end.code, int) else 99)
        except BaseException:
            import traceback

            traceback.print_exc()
        os._exit(98)
    _, status = os.waitpid(child, 0)
    said = [path.read_bytes().decode("utf-8", "replace") for path in paths]
    return {
        "call": [os.fsencode(a).decode("utf-8", "backslashreplace") for a in arguments],
        "code": os.waitstatus_to_exitcode(status),
        "stdout": said[0],
        "stderr": said[1],
        "seconds": round(time.monotonic() - started, 2),
    }


def heed_permissions() -> None:
    """Makes root, too, meet read-only folders: gives up the capability to pass over permissions."""
    if os.geteuid() == 0:
        library = ctypes.CDLL(None, use_errno=True)
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        data = (ctypes.c_uint32 * 6)()
        if library.capget(header, data) != 0:
            raise OSError(ctypes.get_errno(), "capget")
        data[0] &= ~(1 << CAP_DAC_OVERRIDE)
        if library.capset(header, data) != 0:
            raise OSError(ctypes.get_errno(), "capset")


def is_heavy(when: str, arguments: list[str]) -> bool:
    """Whether a call comes as far as TensorFlow."""
    is_trained = arguments[0] in ("train", "search", "demo")
    return when == BAD_INPUT and (
        is_trained or "--data" in arguments or any(a.endswith(".keras") for a in arguments)
    )


def load(weight: str) -> None:
    """Imports what the calls import, once for all; TensorFlow for the heavy ones only."""
    import matplotlib.figure  # noqa: F401

    import edge.cli.plots

    for name in edge.__all__:
        getattr(edge, name)
    # What the parser itself loads at its first call.
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):
        cli.main(["no such command"])
    if weight == "light":
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import sklearn.datasets
    import sklearn.model_selection  # noqa: F401

    import edge.search.training
    import keras_mobilenet.training.train  # noqa: F401


def main(weight: str, share: int, folder: pathlib.Path, model: pathlib.Path | None = None) -> None:
    """Runs a share of the light or the heavy calls and prints what came of them."""
    work, temporary = folder / "work", folder / "tmp"
    work.mkdir()
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    sandbox(work)
    if model is not None:
        shutil.copy(model, work / "real.tflite")
    (work / "locked").chmod(0o555)
    load(weight)
    heed_permissions()
    before = snapshot(work)
    for when, arguments in calls(model is not None)[::share]:
        if is_heavy(when, arguments) != (weight == "heavy"):
            continue
        result = run(arguments, work)
        after = snapshot(work)
        left = sorted(set(after.items()) ^ set(before.items()))
        left += sorted(("TMPDIR", str(p)) for p in temporary.iterdir())
        print(json.dumps(result | {"changed": left}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *map(pathlib.Path, sys.argv[3:5]))
