"""Makes the pages that the source already holds: commands, boards, modules, changelog, drawings.

MkDocs calls the functions named `on_...`.
"""

from __future__ import annotations

import ast
import pathlib
import re
import subprocess
import sys

from latex2mathml.converter import convert as mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parent.parent
# The packages of this checkout are shown, whichever are installed.
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests")]

from drawings import DRAWINGS  # noqa: E402

import edge  # noqa: E402
from edge.catalog.boards import Board, boards  # noqa: E402

FLASH_TOOLS = {"uf2": "drive (UF2)", "daplink": "drive", "none": "emulated only"}

PACKAGES = ("keras_mobilenet", "edge")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Lists the pages of the modules in the navigation, below the heading that is empty there."""
    (reference,) = (entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    (modules,) = (entry for entry in reference if "Modules" in entry)
    modules["Modules"] = [{room: page_of(room)} for room in rooms()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages and drawings that are made here."""
    generated = {
        "reference/command-line.md": command_line(),
        "reference/boards.md": boards_page(),
        "reference/changelog.md": (ROOT / "CHANGELOG.md").read_text("utf-8"),
    } | module_pages()
    generated |= {f"img/{name}": draw() for name, draw in DRAWINGS.items()}
    for path, content in generated.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Shows what `edge` exports, each name by what it is called there."""
    return re.sub(r"<!-- docs/hooks.py: (\w+) -->", lambda match: public_names(match[1]), markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Formulas become MathML, which browsers draw without a script."""

    def converted(match: re.Match[str]) -> str:
        display = "block" if match["tag"] == "div" else "inline"
        text = match["tex"].strip().removeprefix("\\(").removesuffix("\\)")
        text = text.removeprefix("\\[").removesuffix("\\]")
        text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        formula = mathml(text, display=display)
        return f'<div class="formula">{formula}</div>' if display == "block" else formula

    pattern = r'<(?P<tag>div|span) class="arithmatex">(?P<tex>.*?)</(?P=tag)>'
    return re.sub(pattern, converted, content, flags=re.DOTALL)


def command_line() -> str:
    """The commands' own help, as typer writes it out."""
    command = [sys.executable, "-m", "typer", "edge.cli.main", "utils", "docs"]
    done = subprocess.run(
        [*command, "--name", "keras-mobilenet", "--title", "Command line"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    text = done.stdout.replace("&#x27;", "'")
    # The list of commands cuts sentences short; each command's own part has the whole one.
    for name, sentence in re.findall(r"^## `keras-mobilenet (.*)`\n\n(.*)", text, flags=re.M):
        text = re.sub(rf"^\* `{name}`: .*$", f"* `{name}`: {sentence}", text, flags=re.M)
    # An example is a command: shown as one.
    return re.sub(r"^Example: (.*)$", r"**Example**:\n\n```console\n$ \1\n```", text, flags=re.M)


def public_names(kind: str) -> str:
    """A block of mkdocstrings for each of the functions, classes or errors that `edge` exports."""
    lines = []
    for name in edge.__all__:
        found = getattr(edge, name)
        if isinstance(found, str):
            continue
        is_error = isinstance(found, type) and issubclass(found, Exception)
        own_kind = "errors" if is_error else "classes" if isinstance(found, type) else "functions"
        if own_kind == kind:
            lines += [f"::: {found.__module__}.{name}", "    options:"]
            lines += [f"      heading: edge.{name}", f"      toc_label: {name}", ""]
    return "\n".join(lines)


def rooms() -> list[str]:
    """Both packages, and every package that lies directly in one of them."""
    return [
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in PACKAGES
        for pattern in ("__init__.py", "*/__init__.py")
        for path in sorted((ROOT / package).glob(pattern))
    ]


def page_of(room: str) -> str:
    """The path of the page that shows the modules of a room."""
    return f"reference/modules-{room.replace('.', '-').replace('_', '-')}.md"


def module_pages() -> dict[str, str]:
    """A page per room: what its docstring says, and every module from its docstrings."""
    pages = {}
    for room in rooms():
        folder = ROOT.joinpath(*room.split("."))
        # A room shows the folders within it as well; a package's own page shows only its files.
        paths = folder.glob("*.py") if room in PACKAGES else folder.rglob("*.py")
        modules = [
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path in sorted(paths)
            if not path.stem.startswith("_") and not path.stem.endswith("_child")
        ]
        about = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
        lines = [f"# Modules of {room}", "", about, ""]
        for module in modules:
            lines += [f"::: {module}", ""]
        pages[page_of(room)] = "\n".join(lines)
    return pages


def boards_page() -> str:
    """One table of all boards, and where each figure is from."""
    found = boards()
    lines = [
        "# Boards",
        "",
        f"{len(found)} boards, read from the TOML files in `edge/catalog/`, where each figure has "
        "its source. A name is taken with or without case, spaces, dots and dashes; "
        "[a board of your own](../how-to/own-board.md) is a file. Where the clock is *not set*, "
        "the firmware leaves the chip at that of its reset.",
        "",
        "| name | board | core | clock, MHz | flash, KiB | RAM, KiB | serial port | light | "
        "programmed with |",
        "|---|---|---|---:|---:|---:|---|---|---|",
        *(_row(board) for board in found),
        "",
        "RAM is the sum of all banks; a tensor arena and the engine's state must lie in one. "
        "Where a board has more than one, these are they:",
        "",
        "| board | bank | address | KiB |",
        "|---|---|---|---:|",
    ]
    for board in found:
        if len(board.ram) > 1:
            lines += [
                f"| {board.name} | {bank.name} | `0x{bank.address:08x}` | {bank.bytes / 1024:g} |"
                for bank in board.ram
            ]
    lines += ["", "## Sources", ""]
    for board in found:
        lines += [f"### {board.name}", ""]
        lines += [f"- {what}: {source}" for what, source in board.sources.items()]
        if board.aliases:
            lines += [f"- also called: {', '.join(board.aliases)}"]
        lines += [""]
    return "\n".join(lines)


def _row(board: Board) -> str:
    tool = FLASH_TOOLS.get(board.flash_method, board.flash_method)
    core = board.core.replace("cortex-m", "Cortex-M").replace("0plus", "0+")
    clock = f"{board.clock_hz / 1e6:g}{'' if board.is_at_full_clock else ', not set'}"
    port = "-" if board.port is None else f"{board.port.name}: {board.port.way}"
    light = "-" if board.led is None else board.led.name
    return (
        f"| `{board.id}` | {board.name} | {core} | {clock} | "
        f"{board.flash_bytes / 1024:g} | {board.ram_bytes / 1024:g} | {port} | {light} | {tool} |"
    )
