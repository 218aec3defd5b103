"""The rooms of both packages, and that every import goes the way of the data.

A room may import the rooms that stand before it in its list, and nothing behind it. Imports inside
functions count as well. Within a room, files must not import each other in a circle.
"""

from __future__ import annotations

import ast
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parent.parent

ROOMS = {
    "keras_mobilenet": (
        "preprocessing",
        "models",
        "quantization",
        "pruning",
        "analysis",
        "training",
        "compat",
    ),
    "edge": (
        "errors",
        "system",
        "catalog",
        "tflite",
        "runtimes",
        "transforms",
        "memory",
        "converter",
        "engine",
        "debugger",
        "emit",
        "firmware",
        "deploy",
        "search",
        "reporting",
        "cli",
    ),
}
"""The rooms of each package, in the order of the data; single files at its top are rooms too."""

FACES = {
    "keras_mobilenet": ("", "weights", "cost", "paper", "data", "compat_tfmot"),
    "edge": ("", "__main__"),
}
"""What stands outside of the rooms: the package's own names, and the old ones that stay."""


def module_of(path: pathlib.Path, root: pathlib.Path = ROOT) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules(package: str, root: pathlib.Path = ROOT) -> dict[str, pathlib.Path]:
    return {module_of(path, root): path for path in sorted((root / package).rglob("*.py"))}


def imports(path: pathlib.Path, known: set[str]) -> list[tuple[int, str]]:
    """Line and module of every import of our own, those inside functions included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            names = [
                submodule if (submodule := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            ]
        else:
            continue
        found += [(node.lineno, name) for name in dict.fromkeys(names) if name in known]
    return found


def room_of(module: str) -> str:
    return module.partition(".")[2].partition(".")[0]


def upward_imports(package: str, root: pathlib.Path = ROOT) -> list[str]:
    """Every import of a room that does not stand before the importing one."""
    ours = modules(package, root)
    order = {room: place for place, room in enumerate(ROOMS[package])}
    wrong = []
    for module, path in ours.items():
        room = room_of(module)
        if room in FACES[package]:
            continue
        for line, target in imports(path, set(ours)):
            goal = room_of(target)
            if goal in FACES[package] or order[goal] > order[room]:
                wrong.append(f"{path.relative_to(root)}:{line}: {room} imports {target}")
    return wrong


def circles(package: str, root: pathlib.Path = ROOT) -> list[str]:
    """Modules that import each other, directly or through others."""
    ours = modules(package, root)
    arrows = {
        module: {target for _, target in imports(path, set(ours)) if target != module}
        for module, path in ours.items()
    }
    found: list[str] = []
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> None:
        if module in way:
            found.append(" -> ".join([*way[way.index(module) :], module]))
        elif module not in done:
            for target in sorted(arrows[module]):
                walk(target, [*way, module])
            done.add(module)

    for module in arrows:
        walk(module, [])
    return found


@pytest.mark.parametrize("package", ROOMS)
def test_every_file_is_in_a_room(package):
    rooms = {room_of(module) for module in modules(package)}
    assert rooms - set(FACES[package]) == set(ROOMS[package])


@pytest.mark.parametrize("package", ROOMS)
def test_no_room_imports_one_behind_it(package):
    assert upward_imports(package) == []


@pytest.mark.parametrize("package", ROOMS)
def test_no_module_imports_itself_through_others(package):
    assert circles(package) == []


def test_keras_mobilenet_knows_nothing_of_edge():
    ours = modules("edge")
    found = {path: imports(path, set(ours)) for path in (ROOT / "keras_mobilenet").rglob("*.py")}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_an_upward_import_is_found(tmp_path):
    """Of a made-up tree: the check itself must be able to fail, inside a function too."""
    for room in ROOMS["edge"]:
        (tmp_path / "edge" / room).mkdir(parents=True)
        (tmp_path / "edge" / room / "__init__.py").touch()
    (tmp_path / "edge" / "memory" / "arena.py").write_text(
        "def plan():\n    from edge.cli import main\n    return main\n"
    )
    (tmp_path / "edge" / "cli" / "main.py").write_text("from edge.memory import arena\n")
    (found,) = upward_imports("edge", tmp_path)
    assert found == "edge/memory/arena.py:2: memory imports edge.cli.main"
    assert circles("edge", tmp_path) == ["edge.cli.main -> edge.memory.arena -> edge.cli.main"]
