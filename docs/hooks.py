"""What the site does not write twice: the command line, the boards, the changelog, the drawings.

MkDocs calls the functions named `on_...`.
"""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

from latex2mathml.converter import convert as mathml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parent.parent
# Of this checkout, whatever is installed.
sys.path[:0] = [str(ROOT), str(ROOT / "docs"), str(ROOT / "tests")]

from drawings import DRAWINGS  # noqa: E402

from edge.catalog.boards import Board, boards  # noqa: E402

FLASH_TOOLS = {"uf2": "drive (UF2)", "teensy": "its maker's SDK", "none": "emulated only"}

PACKAGES = {
    "keras_mobilenet": "Networks, their costs, their weights, and the data to train on.",
    "keras_mobilenet.quantization": "Quantization-aware training.",
    "keras_mobilenet.pruning": "Pruning of weights and of channels.",
    "edge": "From the int8 model to the board: one module per job.",
    "edge.plan": "Memory plans: TFLite Micro's own, the best, and the streamed schedule.",
    "edge.emit": "What writes C.",
    "edge.firmware": "What builds and emulates images.",
}


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


def module_pages() -> dict[str, str]:
    """A page per package below the public names: every module, from its docstrings."""
    pages = {}
    for name in PACKAGES:
        folder = ROOT.joinpath(*name.split("."))
        # emit/ and firmware/ hold folders of their own; a page of `edge` holds only its files.
        paths = folder.glob("*.py") if name in ("edge", "keras_mobilenet") else folder.rglob("*.py")
        modules = [
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path in sorted(paths)
            if not path.stem.startswith("_") and not path.stem.endswith("_child")
        ]
        lines = [f"# Modules of {name}", "", PACKAGES[name], ""]
        for module in modules:
            if not module.startswith("edge.cli.main"):
                lines += [f"::: {module}", ""]
        pages[f"reference/modules-{name.replace('.', '-').replace('_', '-')}.md"] = "\n".join(lines)
    return pages


def boards_page() -> str:
    """One table of all boards, and where each figure is from."""
    found = boards()
    lines = [
        "# Boards",
        "",
        f"{len(found)} boards, read from the TOML files in `edge/boards/`, where each figure has "
        "its source. A name is taken with or without case, spaces, dots and dashes.",
        "",
        "| name | board | core | clock, MHz | flash, KiB | RAM, KiB | programmed with |",
        "|---|---|---|---:|---:|---:|---|",
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
    return (
        f"| `{board.id}` | {board.name} | {core} | {board.clock_hz / 1e6:g} | "
        f"{board.flash_bytes / 1024:g} | {board.ram_bytes / 1024:g} | {tool} |"
    )
