"""Every public name has a docstring that says what its signature and its body do."""

import ast
import doctest
import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest

ROOT = pathlib.Path(__file__).parent.parent
FILES = sorted(path for name in ("edge", "keras_mobilenet") for path in (ROOT / name).rglob("*.py"))
FOLLOW_A_SPEC = (
    *(
        "edge/tflite/fixed_point.py",
        "edge/tflite/requantization.py",
        "edge/tflite/reference.py",
        "edge/memory/tflm_arena.py",
    ),
    *(
        "keras_mobilenet/quantization/int8_arithmetic.py",
        "keras_mobilenet/quantization/fake_quant.py",
    ),
    *("keras_mobilenet/analysis/cost.py", "keras_mobilenet/analysis/paper.py"),
    *("keras_mobilenet/preprocessing/resize.py", "keras_mobilenet/preprocessing/camera.py"),
)
"""Modules whose arithmetic is another's: of a paper, a specification or a program."""

NOT_RUN = {
    "edge/deploy/demo.py: run_demo": "trains for minutes",
    "edge/deploy/demo_data.py: best_source": "asks the network",
    "edge/deploy/run_all.py: run_all": "trains for minutes",
    "edge/search/training.py: train_trials": "trains for minutes",
    "edge/search/result.py: finish": "needs networks that were trained",
    "edge/search/result.py: trials_of": "needs networks that were trained",
    "keras_mobilenet/models/baselines.py: vgg16": "has half a gigabyte of weights",
}
"""The only examples with `+SKIP`, and why."""

SECTIONS = (
    "Args",
    "Call arguments",
    "Returns",
    "Raises",
    "Yields",
    "Attributes",
    "Example",
    "Examples",
    "Source",
)
SHAPE = re.compile(r"\(.*\)|array|tensor|numbers|shape|scalar", re.IGNORECASE | re.DOTALL)
FRAGMENT = re.compile(r"(After|As|At|Before|By|For|From|In|Of|On|See|To|With|Without)\b")
"""How the description of a name does not begin: what it belongs to is said after what it is."""

KERAS_METHODS = {
    *("build", "call", "compute_output_shape", "compute_output_spec", "get_config", "from_config"),
    *("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end"),
    *("on_train_batch_begin", "on_train_batch_end", "set_params", "set_model"),
}
"""What a layer or a callback overrides: Keras documents what these take and return."""

LAYER_METHODS = {
    *("compute", "compute_integers", "compute_float", "weights_of", "sum_products"),
    "kernel_variable",
}
"""What a quantized layer overrides: its base class documents what these take and return."""


def sections_of(docstring):
    """The text of each section, by its name; "" is what stands before the first."""
    found, name = {"": []}, ""
    for line in docstring.splitlines():
        head = re.match(r"([\w ]+):", line)
        if head and head[1] in SECTIONS:
            name = head[1]
            found[name] = [line[head.end() :]]
        else:
            found[name].append(line)
    return {name: "\n".join(lines) for name, lines in found.items()}


def entries_of(section):
    """Descriptions by name, of a section whose entries are `name: text`."""
    entries, names = {}, []
    for line in textwrap.dedent(section.strip("\n")).splitlines():
        head = re.match(r"([*\w`., ]+?)(?: \(.*?\))?: ", line + " ")
        if head and not line.startswith(" "):
            names = [name.strip(" *`") for name in head[1].split(",")]
            entries |= dict.fromkeys(names, line[head.end() :])
        else:
            entries |= {name: f"{entries[name]} {line.strip()}" for name in names}
    return entries


def fragments(parts):
    """The names whose descriptions in Args or Attributes begin in the middle of a sentence."""
    for section in ("Args", "Attributes"):
        for name, text in entries_of(parts.get(section, "")).items():
            if FRAGMENT.match(text.strip()):
                yield f"{section} says no more of {name} than {text.strip()!r}"


def own_nodes(function):
    """What a function itself holds, without the functions and classes inside."""
    stack = list(function.body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Lambda)):
            stack += ast.iter_child_nodes(node)


def is_decorated(node, word):
    return any(word in ast.unparse(decorator) for decorator in node.decorator_list)


def problems(source, needs_example=True):
    """What is missing in a module, one line each."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield "the module has no docstring"
    yield from _problems_of(tree, "", needs_example)


def _problems_of(parent, prefix, needs_example):
    for node in parent.body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
            continue
        name = prefix + node.name
        docstring = ast.get_docstring(node)
        if not docstring:
            yield f"{name} has no docstring"
        elif isinstance(node, ast.FunctionDef):
            is_method = isinstance(parent, ast.ClassDef)
            if not (is_method and node.name in KERAS_METHODS | LAYER_METHODS):
                found = _of_function(node, docstring, is_method, needs_example)
                yield from (f"{name}: {what}" for what in found)
        else:
            yield from (f"{name}: {what}" for what in _of_class(node, docstring))
        if isinstance(node, ast.ClassDef):
            yield from _problems_of(node, f"{name}.", needs_example)


def _of_function(node, docstring, is_method, needs_example):
    parts = sections_of(docstring)
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    arguments += [a for a in (node.args.vararg, node.args.kwarg) if a]
    arguments = [a for a in arguments if a.arg not in ("self", "cls")]
    texts = {a.arg: ast.unparse(a.annotation) if a.annotation else "" for a in arguments}
    if any(_is_option(text) for text in texts.values()):
        # A command: its docstring is its help, and what an option means stands beside it.
        # tests/edge/cli/test_cli.py asks for the example.
        yield from (f"{name} has no help" for name, text in texts.items() if not _has_help(text))
        return
    yield from fragments(parts)
    said = entries_of(parts.get("Args", ""))
    for argument in arguments:
        if argument.arg not in said:
            yield f"Args leaves out {argument.arg}"
        elif "ndarray" in texts[argument.arg] and not SHAPE.search(said[argument.arg]):
            yield f"Args says no shape of {argument.arg}"
    yield from (f"Args names {a}, which is none" for a in said.keys() - {a.arg for a in arguments})
    nodes = list(own_nodes(node))
    if not is_decorated(node, "property"):
        gives = any(isinstance(n, ast.Return) and not _is_none(n.value) for n in nodes)
        yields = any(isinstance(n, (ast.Yield, ast.YieldFrom)) for n in nodes)
        if gives and "Returns" not in parts:
            yield "no Returns"
        if not gives and not yields and "Returns" in parts and not _only_raises(node):
            yield "Returns, and it returns nothing"
        if yields and not {"Yields", "Returns"} & parts.keys():
            yield "no Yields"
    raised = {_class_name(n.exc) for n in nodes if isinstance(n, ast.Raise)} - {None}
    told = entries_of(parts.get("Raises", "")).keys()
    yield from (f"Raises leaves out {error}" for error in sorted(raised - told))
    if (
        needs_example
        and not is_method
        and ">>>" not in parts.get("Example", parts.get("Examples", ""))
    ):
        yield "no Example"


def _of_class(node, docstring):
    parts = sections_of(docstring)
    yield from fragments(parts)
    fields = [
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and not item.target.id.startswith("_")
    ]
    if is_decorated(node, "dataclass"):
        said = entries_of(parts.get("Attributes", parts.get("Args", "")))
        yield from (f"Attributes leaves out {field}" for field in fields if field not in said)
    init = next((i for i in node.body if getattr(i, "name", "") == "__init__"), None)
    if init is not None:
        said = entries_of(parts.get("Args", ""))
        arguments = [a.arg for a in init.args.args[1:] + init.args.kwonlyargs]
        yield from (f"Args leaves out {a}" for a in arguments if a not in said)


def _is_option(annotation):
    return "typer." in annotation or re.fullmatch(r"\w+(Option|Argument)", annotation) is not None


def _has_help(annotation):
    """Whether a parameter is an option with a help text, or a shared alias of one."""
    return _is_option(annotation) and ("help=" in annotation or "typer." not in annotation)


def _is_none(value):
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def _only_raises(node):
    return isinstance(node.body[-1], (ast.Raise, ast.Expr))


def _class_name(raised):
    """The class of `raise Class(...)`; None for an error that is passed on."""
    name = raised.func if isinstance(raised, ast.Call) else raised
    name = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "")
    return name if name[:1].isupper() else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_its_names_do(path):
    # The ends of processes do what no line of Python shows.
    is_end = path.parent.name == "cli" or path.stem == "__main__" or path.stem.endswith("_child")
    assert list(problems(path.read_text("utf-8"), needs_example=not is_end)) == []


def skipped(source):
    """Whose examples in a module have one that does not run."""
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, kinds) else None
        examples = doctest.DocTestParser().get_examples(text or "")
        if any(example.options.get(doctest.SKIP) for example in examples):
            yield getattr(node, "name", "the module")


def test_examples_run_but_for_a_few_with_a_reason():
    """All of them, but for a few with a reason."""
    names = {
        f"{path.relative_to(ROOT).as_posix()}: {name}"
        for path in FILES
        for name in skipped(path.read_text("utf-8"))
    }
    assert names == NOT_RUN.keys()


def test_a_skipped_example_is_found():
    function = 'def f():\n    """Does.\n\n    >>> f(){}\n    """'
    assert list(skipped(function.format("  # doctest: +SKIP"))) == ["f"]
    assert list(skipped(function.format(""))) == []


@pytest.mark.parametrize(("is_ci", "outcome"), [(False, "1 skipped"), (True, "1 failed")])
def test_example_whose_tool_is_missing_is_skipped_here_and_fails_in_ci(is_ci, outcome):
    """Is left out on a user's machine, and fails in CI."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment |= {"PATH": "", "CI": "1"} if is_ci else {"PATH": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "edge/firmware/host.py"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert outcome in done.stdout.splitlines()[-1]
    assert "gcc is not installed" in done.stdout


def sources(source):
    """What a module's docstring and those of its functions and classes name as their source."""
    kinds = (ast.Module, ast.FunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    return [found for text in texts for found in re.findall(r"^Source: (\S.*)", text, re.MULTILINE)]


@pytest.mark.parametrize("name", FOLLOW_A_SPEC)
def test_arithmetic_of_others_names_its_source(name):
    assert sources((ROOT / name).read_text("utf-8"))


def test_a_source_is_found_where_it_stands():
    function = 'def f():\n    """Does.\n\n    Source: {}\n    """'
    assert sources(function.format("TFLite's `add.cc`.")) == ["TFLite's `add.cc`."]
    assert sources('"""Predicts.\n\nSource: arXiv 1704.04861.\n"""') == ["arXiv 1704.04861."]
    assert sources(function.format("")) == sources("# Source: none\n") == []


GOOD = '''
"""A module."""
def scale(values: np.ndarray, factor: float) -> np.ndarray:
    """Scales.

    Args:
        values: int8 array, (count,).
        factor: Above 0.

    Returns:
        An array.

    Raises:
        ValueError: If the factor is not above 0.

    Example:
        >>> scale(np.ones(1), 2.0)
        array([2.])
    """
    if factor <= 0:
        raise ValueError(factor)
    return values * factor
'''


def test_the_good_sample_is_good():
    assert list(problems(GOOD)) == []


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"""A module."""', "", "the module has no docstring"),
        ("factor: Above 0.", "", "scale: Args leaves out factor"),
        (
            "factor: Above 0.",
            "factor: Of the values.",
            "scale: Args says no more of factor than 'Of the values.'",
        ),
        ("factor: Above", "share: Above", "scale: Args names share, which is none"),
        ("int8 array, (count,).", "What is scaled.", "scale: Args says no shape of values"),
        ("    Returns:\n        An array.\n", "", "scale: no Returns"),
        ("ValueError: If", "KeyError: If", "scale: Raises leaves out ValueError"),
        (">>> ", "", "scale: no Example"),
        ("(values: np", "(self, values: np", None),
    ],
)
def test_what_is_missing_in_a_function_is_found(old, new, what):
    found = list(problems(GOOD.replace(old, new, 1)))
    assert what in found if what else found == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("class A:\n    def of(self): pass", "A has no docstring"),
        ("class A:\n    'One.'\n    def of(self): pass", "A.of has no docstring"),
        ("class A:\n    'One.'\n    def __init__(self, size): pass", "A: Args leaves out size"),
        ("@dataclass\nclass A:\n    'One.'\n    size: int", "A: Attributes leaves out size"),
        (
            "class A:\n    'One.\\n\\nAttributes:\\n    size: In pixels.'",
            "A: Attributes says no more of size than 'In pixels.'",
        ),
        ("def f(a: int, b: JsonOption):\n    'Does.'", "f: a has no help"),
        ("def f(a: Annotated[int, typer.Option()]):\n    'Does.'", "f: a has no help"),
    ],
)
def test_what_is_missing_in_a_class_is_found(source, what):
    assert what in list(problems(source))
