"""A CMSIS-Pack: what its description names is there, and is all that compiles."""

import os
import subprocess
import xml.etree.ElementTree as ElementTree
import zipfile

import pytest

import edge
from edge.catalog.boards import core_flags, find_board
from edge.tflite.reader import read_graph

NAME = "keras_mobilenet.Words"
STRICT = ["-O1", "-Wall", "-Wextra", "-Werror"]


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


@pytest.fixture(scope="module")
def pack(kws, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pack") / "Words"
    return edge.export(
        read_graph(kws), None, folder, runtime="engine", shape="cmsis-pack", name="words"
    )


@pytest.fixture(scope="module")
def description(pack):
    return ElementTree.parse(pack.folder / f"{NAME}.pdsc").getroot()


def named_files(description, category):
    return [
        file.get("name")
        for file in description.iterfind("components/component/files/file")
        if file.get("category") == category and file.get("attr") is None
    ]


def test_description_has_what_the_schema_demands(description):
    assert description.tag == "package"
    first = [description.findtext(tag) for tag in ("vendor", "name", "releases/release")]
    assert f"{first[0]}.{first[1]}" == NAME
    assert all(first)
    assert description.find("url") is not None
    assert description.find("releases/release").get("version") == "1.0.0"
    (component,) = description.iterfind("components/component")
    keys = ("Cclass", "Cgroup", "Csub", "Cversion", "condition")
    assert [component.get(key) for key in keys] == [
        *("Machine Learning", "Model", "Words", "1.0.0", "GNU C")
    ]
    conditions = [condition.get("id") for condition in description.iterfind("conditions/condition")]
    assert conditions == ["GNU C"]


def test_description_names_every_source_and_no_other(pack, description):
    there = {path for path in pack.files if path.startswith(("src/", "include/", "example/"))}
    named = {file.get("name") for file in description.iter("file")}
    assert named - {"include/", "README.md"} == there
    assert len(list(description.iter("file"))) == len(named)


def test_pack_is_the_folder_in_one_file(pack):
    with zipfile.ZipFile(pack.folder / f"{NAME}.1.0.0.pack") as archive:
        assert archive.testzip() is None
        assert {*archive.namelist(), f"{NAME}.1.0.0.pack"} == set(pack.files)
        for path in archive.namelist():
            assert archive.read(path) == (pack.folder / path).read_bytes()


def test_same_model_is_the_same_file(pack, kws, tmp_path):
    again = edge.export(
        read_graph(kws), None, tmp_path, runtime="engine", shape="cmsis-pack", name="words"
    )
    path = f"{NAME}.1.0.0.pack"
    assert (again.folder / path).read_bytes() == (pack.folder / path).read_bytes()


def test_what_it_names_compiles_and_tests_itself(host_compiler, pack, description, tmp_path):
    """With the sources and the include paths of the description alone, as a tool does it."""
    sources = named_files(description, "source")
    includes = [f"-I{folder}" for folder in named_files(description, "include")]
    run("gcc", "-std=c11", *STRICT, *includes, *sources, "example/main.c", "-o", tmp_path / "app",
        cwd=pack.folder)  # fmt: skip
    assert run(tmp_path / "app").endswith("self-test: passed\n")


def test_what_it_names_compiles_for_a_core(arm_compiler, pack, description, tmp_path):
    flags = core_flags(find_board("nucleo-f446re"))
    for source in named_files(description, "source"):
        run("arm-none-eabi-gcc", "-std=c11", *flags, *STRICT, "-Iinclude", "-c", source,
            "-o", tmp_path / "source.o", cwd=pack.folder)  # fmt: skip


def test_description_is_valid_by_its_schema(pack):
    """`CMSIS_PACK_SCHEMA` is the path of Open-CMSIS-Pack's PACK.xsd, which is not kept here."""
    schema = os.environ.get("CMSIS_PACK_SCHEMA")
    if schema is None:
        pytest.skip("CMSIS_PACK_SCHEMA does not name Open-CMSIS-Pack's PACK.xsd")
    xmlschema = pytest.importorskip("xmlschema")
    xmlschema.validate(pack.folder / f"{NAME}.pdsc", schema)
