"""The README and the site: every block runs, every command exists, the site builds.

The tutorials are followed as a reader does: one after the other in one empty folder, each in a
namespace of its own, and with what stands on them, no more. So is the README.

Another page is read from top to bottom in one namespace and one empty folder. Blocks in HTML
comments (`invisible-code-block`) set its stage: they run, but nobody sees them. A comment that says
`uses: digits.tflite` puts that file there, which the tests train once for all pages (see `stage`).

- `python` runs in this process; `bash` runs in a shell that stops at the first error;
- `console` runs what follows `$ ` and compares what is printed, `...` standing for anything;
- `c` and `cpp` are compiled for a Cortex-M4 with the headers that the page's commands wrote;
- `text` is output or a sketch, not run.
"""

from __future__ import annotations

import doctest
import importlib
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import unittest

import pytest

ROOT = pathlib.Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = [
    ROOT / "docs" / "tutorials" / f"{name}.md"
    for name in ("train", "prune", "quantize", "fit", "flash")
]
HONEST = [ROOT / "README.md", *TUTORIALS]
"""Pages that show everything that they need."""

LANGUAGES = ("python", "bash", "console", "c", "cpp", "text")
LEFT_OUT = ("needs a board", "needs an SDK", "needs a network", "needs a database")
LEFT_OUT += ("makes the environment", "trains for minutes")
"""How the reason of every block that does not run here begins."""

SKIP = re.compile(r'<!--- skip: next "(?P<reason>[^"]*)" -->')
USES = re.compile(r"<!--- uses: (?P<names>.*?) -->")
COMPILERS = {
    "c": ("arm-none-eabi-gcc", "-std=c11", "-Wstrict-prototypes"),
    "cpp": ("arm-none-eabi-g++", "-std=c++17"),
}
SECONDS = 600


def blocks_of(page):
    """(language, text) of all code in a page, as a Markdown reader sees it."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").parse(page.read_text("utf-8"))
    return [(t.info, t.content) for t in tokens if t.type in ("fence", "code_block")]


def runnable():
    pages = [page for page in PAGES if page not in TUTORIALS]
    return [page for page in pages if any(lang != "text" for lang, _ in blocks_of(page))]


def name_of(page):
    return page.relative_to(ROOT).as_posix()


def library(name):
    """A package of the extra `dev`: a user may do without, CI may not."""
    return importlib.import_module(name) if os.environ.get("CI") else pytest.importorskip(name)


@pytest.fixture
def stage(request):
    """The files that a page may ask for: a network on digits, trained once for all tests."""

    def put(page, folder):
        names = [n for m in USES.finditer(page.read_text("utf-8")) for n in m["names"].split()]
        for name in names:
            if name == "digits.keras":
                request.getfixturevalue("trained").model.save(folder / name)
            elif name == "digits.tflite":
                (folder / name).write_bytes(request.getfixturevalue("trained_tflite"))
            else:
                pytest.fail(f"{name_of(page)} uses {name}, which no test makes")

    return put


@pytest.mark.slow
@pytest.mark.parametrize("page", runnable(), ids=name_of)
def test_every_block_of_a_page_runs(page, tmp_path, monkeypatch, stage, request):
    need(page, request)
    stage(page, tmp_path)
    monkeypatch.chdir(tmp_path)
    follow(page, tmp_path)


@pytest.mark.slow
def test_the_tutorials_lead_from_images_to_a_board(tmp_path, monkeypatch, request):
    """From an empty folder, with nothing but what stands on the pages."""
    for page in TUTORIALS:
        need(page, request)
    monkeypatch.chdir(tmp_path)
    for page in TUTORIALS:
        follow(page, tmp_path)


@pytest.mark.parametrize("page", HONEST, ids=name_of)
def test_what_a_reader_follows_hides_nothing(page):
    """But why a block is left out: it needs a board, or a machine without this package."""
    comments = re.findall(r"<!--.*?-->", page.read_text("utf-8"), re.DOTALL)
    assert all(SKIP.fullmatch(comment) for comment in comments), comments


def test_the_tutorials_are_those_of_the_table_of_contents():
    listed = re.findall(
        r"^\d\. .*?\((\w+)\.md\)", (TUTORIALS[0].parent / "index.md").read_text(), re.M
    )
    assert listed == [page.stem for page in TUTORIALS]


def need(page, request):
    """Asks for the tools that a page needs."""
    text = page.read_text("utf-8")
    languages = {language for language, _ in blocks_of(page)}
    if languages & {"c", "cpp"} or "keras-mobilenet build" in text or "edge.build" in text:
        request.getfixturevalue("arm_compiler")
    if "keras-mobilenet run" in text:
        request.getfixturevalue("qemu")
    if 'load_images("fashion_mnist"' in text:
        request.getfixturevalue("fashion_mnist")


def follow(page, folder):
    """Runs a page in a folder, which is the current one."""
    sybil = library("sybil")
    from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

    shell = Shell(folder)
    parsers = [PythonCodeBlockParser(), SkipParser()]
    parsers += [
        CodeBlockParser(language, evaluator)
        for language, evaluator in (
            ("bash", shell.run_block),
            ("console", shell.run_console),
            ("c", shell.compile_block),
            ("cpp", shell.compile_block),
        )
    ]
    ran = 0
    for example in sybil.Sybil(parsers, encoding="utf-8").parse(page).examples():
        try:
            example.evaluate()
        except unittest.SkipTest:
            continue
        ran += 1
    assert ran, "no block was found to run"


class Shell:
    """Runs a page's commands in its folder, with the tools of this environment first."""

    def __init__(self, folder):
        self.folder = folder
        tools = pathlib.Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "COLUMNS": "100",
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }

    def run(self, command):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environment,
            timeout=SECONDS,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def run_block(self, example):
        self.run(example.parsed)

    def run_console(self, example):
        checker, flags = doctest.OutputChecker(), doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        for part in re.split(r"^\$ ", example.parsed, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            printed = self.run(command)
            if expected.strip():
                assert checker.check_output(expected, printed, flags), (
                    f"$ {command}\n--- the page says\n{expected}\n--- printed\n{printed}"
                )

    def compile_block(self, example):
        language = example.region.lexemes["arguments"]
        source = self.folder / f"block.{language}"
        source.write_text(example.parsed, "utf-8")
        folders = (self.folder, *sorted(self.folder.glob("*/")), *self.folder.glob("*/include/"))
        includes = [f"-I{path}" for path in folders]
        self.run(
            shlex.join(
                [
                    *COMPILERS[language],
                    *("-mcpu=cortex-m4", "-mthumb", "-Wall", "-Wextra", "-Werror", "-c"),
                    *("-o", os.devnull, *includes, str(source)),
                ]
            )
        )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_of_a_page_names_its_language(page):
    for language, text in blocks_of(page):
        assert language in LANGUAGES, f"{language!r}: {text[:60]}"


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        pytest.param(page, match["reason"], id=f"{name_of(page)}-{number}")
        for page in PAGES
        for number, match in enumerate(SKIP.finditer(page.read_text("utf-8")))
    ],
)
def test_a_block_is_left_out_for_a_reason(page, reason):
    assert reason.startswith(LEFT_OUT), reason
    pytest.skip(f"{name_of(page)}: {reason}")


def test_at_most_one_block_in_eight_is_left_out():
    total = sum(len(blocks_of(page)) for page in PAGES)
    left_out = sum(len(SKIP.findall(page.read_text("utf-8"))) for page in PAGES)
    assert left_out <= total // 8


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_within_a_sentence_exist(page):
    """What stands in a line of text is not run, but its command and options must be there."""
    import typer.main

    from edge.cli.main import app

    commands = typer.main.get_command(app).commands
    for text in re.findall(r"`keras-mobilenet ([^`]+)`", page.read_text("utf-8")):
        words = shlex.split(text)
        assert words[0] in commands, text
        known = {option for p in commands[words[0]].params for option in (*p.opts, "--help")}
        options = [word for word in words[1:] if word.startswith("-")]
        assert set(options) <= known, text


def test_make_knows_the_targets_that_pages_name():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    for target in sorted(set(re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE))):
        done = subprocess.run(
            ["make", "--dry-run", target], capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_to_files_lead_somewhere(page):
    """MkDocs looks after links within docs/; the README's lead into the tree."""
    generated = {"docs/reference/command-line.md", "docs/reference/boards.md"}
    generated |= {"docs/reference/changelog.md"}
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", text):
        if link.startswith("http") or (page.parent != ROOT and "img/" in link):
            continue
        target = (page.parent / link).resolve()
        assert target.exists() or target.relative_to(ROOT).as_posix() in generated, link


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a network and with warnings as errors."""
    library("mkdocs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_the_site_asks_no_other_server(site):
    """No font, script, style or picture comes from elsewhere."""
    loads = re.compile(r'<(?:script|img|link|iframe)\b[^>]*?(?:src|href)="(https?:)?//[^"]*"')
    for page in site.rglob("*.html"):
        found = [m[0] for m in loads.finditer(page.read_text("utf-8")) if "canonical" not in m[0]]
        assert not found, f"{page.name}: {found}"


@pytest.mark.slow
def test_every_public_name_has_a_page(site):
    import edge
    import keras_mobilenet

    text = (site / "reference" / "keras-mobilenet.html").read_text("utf-8")
    text += (site / "reference" / "edge.html").read_text("utf-8")
    for package in (keras_mobilenet, edge):
        for name in package.__all__:
            assert f">{package.__name__}.{name}<" in text or f"{package.__name__}.{name}" in text


@pytest.mark.slow
def test_every_module_has_a_page(site):
    pages = "".join(p.read_text("utf-8") for p in (site / "reference").glob("*.html"))
    for package in ("keras_mobilenet", "edge"):
        for path in (ROOT / package).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if path.stem.startswith("_") or path.stem.endswith("_child") or "cli" in path.stem:
                continue
            assert f'id="{".".join(parts)}' in pages, ".".join(parts)


@pytest.mark.slow
def test_every_command_and_board_has_its_place(site):
    import typer.main

    from edge.catalog.boards import boards
    from edge.cli.main import app

    commands = (site / "reference" / "command-line.html").read_text("utf-8")
    for name in typer.main.get_command(app).commands:
        assert f"keras-mobilenet {name}" in commands
    table = (site / "reference" / "boards.html").read_text("utf-8")
    assert all(board.id in table for board in boards())


@pytest.mark.slow
def test_formulas_are_drawn_without_a_script(site):
    text = (site / "explanation" / "quantization.html").read_text("utf-8")
    assert "<math" in text
    assert "arithmatex" not in text


def test_the_readme_picture_is_small():
    picture = ROOT / "docs" / "img" / "memory.svg"
    assert picture.stat().st_size < 200_000
    assert shutil.which("git") is None or picture.read_text("utf-8").startswith("<?xml")
