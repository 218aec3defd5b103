"""The file of a run: each field has its place, its range and its words."""

import tomllib

import pytest

from edge.deploy.run_file import RunTable, read_run_file, write_run_file
from edge.errors import EdgeError
from edge.system.toml_file import table_of


def read(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return read_run_file(path)


def test_what_is_left_out_has_its_default(tmp_path):
    run = read(tmp_path, '[data]\nsource = "digits"\n')
    assert (run.data.side, run.training.float_epochs, run.quantization.epochs) == (48, 30, 8)
    assert run.export.runtimes == ["tflm", "engine"]
    assert run.model.stages is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"\[data\] is missing. The images."),
        ("[data]\nside = 48\n", r"\[data\] source is missing. digits, faces, a folder"),
        ("[date]\n", r"\[data\] is missing"),
        ('[data]\nsource = "digits"\nsid = 3\n', r"\[data\] sid is unknown; there is side."),
        (
            '[data]\nsource = "digits"\nside = "48"\n',
            r"\[data\] side is '48' but should be a valid integer. Height and width",
        ),
        ('[data]\nsource = "digits"\nside = 8\n', r"side is 8 but should be greater than or equal"),
        (
            '[data]\nsource = "digits"\nchannels = 2\n',
            r"\[data\] channels is 2 but should be 1 or 3",
        ),
        ('[data]\nsource = "x"\n[train]\n', "train is unknown; there is training"),
        (
            '[data]\nsource = "x"\n[model]\nstem = [8]\n',
            "stem goes with stages, and there are none",
        ),
        (
            '[data]\nsource = "x"\n[model]\nalpha = 0\n',
            r"\[model\] alpha is 0 but should be greater",
        ),
        (
            '[data]\nsource = "x"\n[export]\nruntimes = ["tflite"]\n',
            r"\[export\] runtimes 1 is 'tflite' but should be 'tflm' or 'engine'",
        ),
        (
            '[data]\nsource = "x"\n[quantization]\nweight_bits = 4\n',
            r"weight_bits is 4, which the engine runs: leave tflm out",
        ),
        ("data = 3\n", r"\[data\] is 3 but should be a valid dictionary"),
        ("[data\n", "Run file .* is no TOML"),
    ],
)
def test_a_wrong_field_is_named_in_one_line(tmp_path, text, message):
    with pytest.raises(EdgeError, match=message) as refused:
        read(tmp_path, text)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_can_be_written(tmp_path):
    with pytest.raises(EdgeError, match=r"run-all --new .* writes one"):
        read_run_file(tmp_path / "run.toml")


def test_the_example_explains_every_field_and_says_the_defaults(tmp_path):
    path = write_run_file(tmp_path / "run.toml")
    text = path.read_text()
    assert read_run_file(path) == read(tmp_path, '[data]\nsource = "digits"\n')
    # What is commented out is an example that would be taken.
    lines = [
        line.removeprefix("# ") if " = " in line and line[2:].split()[1] == "=" else line
        for line in write_run_file(tmp_path / "other.toml").read_text().splitlines()
    ]
    whole = tomllib.loads("\n".join(line for line in lines if not line.startswith("#")))
    RunTable.model_validate(whole)
    for name, field in RunTable.model_fields.items():
        assert set(whole[name]) == set(table_of(field.annotation).model_fields)
    assert max(map(len, text.splitlines())) <= 100


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    path = write_run_file(tmp_path / "run.toml")
    with pytest.raises(EdgeError, match="is there already"):
        write_run_file(path)
    with pytest.raises(EdgeError, match=r"ends in \.toml, got"):
        write_run_file(tmp_path / "run.yaml")
