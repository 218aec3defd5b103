"""The rooms of both packages, and that every import goes the way of the data.

A room may import the rooms that stand before it in its list, and nothing behind it. Imports inside
functions count as well. Within a room, files must not import each other in a circle.
"""

from __future__ import annotations

import ast
import pathlib
from collections.abc import Iterable

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


# How long things are, and how they are called.

MOST_FILE_LINES = 400
MOST_FUNCTION_LINES = 60
MOST_POSITIONAL = 4
OURS = [path for package in ROOMS for path in sorted((ROOT / package).rglob("*.py"))]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """The lines from `def` to the end, without the docstring's."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def long_functions(tree: ast.Module) -> list[str]:
    """Every function, in a class or in another one too, that does not fit a screen."""
    return [
        f"{node.lineno}: {node.name} has {code_lines(node)} lines"
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and code_lines(node) > MOST_FUNCTION_LINES
    ]


def class_names(trees: Iterable[ast.Module]) -> set[str]:
    return {
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    }


def argument_count(argument: ast.expr) -> int:
    """One, or as many as a sequence holds that is written out behind a star."""
    is_written_out = isinstance(argument, ast.Starred) and isinstance(argument.value, ast.Tuple)
    return len(argument.value.elts) if is_written_out else 1


def calls_by_position(tree: ast.Module, classes: set[str]) -> list[str]:
    """Every constructor of ours that is given more than four arguments without their names."""
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        count = sum(map(argument_count, node.args))
        if name in classes and count > MOST_POSITIONAL:
            found.append(f"{node.lineno}: {name} takes {count} arguments by position")
    return found


@pytest.fixture(scope="module")
def trees() -> dict[pathlib.Path, ast.Module]:
    return {path: ast.parse(path.read_text("utf-8")) for path in OURS}


def by_file(found: dict[pathlib.Path, list[str]]) -> list[str]:
    return [f"{path.relative_to(ROOT)}:{line}" for path, lines in found.items() for line in lines]


def test_a_file_holds_one_idea():
    lengths = {path: path.read_text("utf-8").count("\n") for path in OURS}
    long = {path.relative_to(ROOT).as_posix(): n for path, n in lengths.items()}
    assert {path: n for path, n in long.items() if n > MOST_FILE_LINES} == {}


def test_a_function_fits_a_screen(trees):
    assert by_file({path: long_functions(tree) for path, tree in trees.items()}) == []


def test_a_constructor_with_many_arguments_is_called_by_name(trees):
    classes = class_names(trees.values())
    found = {path: calls_by_position(tree, classes) for path, tree in trees.items()}
    assert by_file(found) == []


def test_a_long_function_is_found():
    """The lines of a docstring do not count, those of a function inside do."""
    docstring = '    """Does.\n' + "\n" * MOST_FUNCTION_LINES + '    """\n'
    body = "    x = 1\n" * (MOST_FUNCTION_LINES - 1)
    assert long_functions(ast.parse(f"def f():\n{docstring}{body}")) == []
    assert long_functions(ast.parse(f"class A:\n  def f(self):\n{docstring}{body}    y = 2\n")) == [
        "2: f has 61 lines"
    ]


def test_a_call_by_position_is_found():
    tree = ast.parse("class A: pass\nA(1, 2, 3, 4)\nB(1, 2, 3, 4, 5)\nA(1, *(2, 3, 4, 5), z=6)\n")
    assert calls_by_position(tree, class_names([tree])) == ["4: A takes 5 arguments by position"]
