"""A small `.keras` file cannot take all of the memory."""

import io
import json
import resource
import zipfile

import h5py
import numpy as np
import pytest

from edge.converter import keras_files
from edge.converter.keras_files import LARGEST_BYTES, load_keras
from edge.errors import ModelError

MEMBERS = ("config.json", "model.weights.h5", "assets/any.txt")


@pytest.fixture
def nothing_is_loaded(monkeypatch):
    """Keras must not even begin."""
    import keras

    def load(path, compile):
        raise AssertionError("Keras opened it")

    monkeypatch.setattr(keras.saving, "load_model", load)


def write_zeros(member, size):
    chunk = bytes(1 << 20)
    for _ in range(size // len(chunk)):
        member.write(chunk)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("name", MEMBERS)
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, name):
    path = tmp_path / "bomb.keras"
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open(name, "w", force_zip64=True) as member,
    ):
        write_zeros(member, LARGEST_BYTES + (1 << 20))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match=r"bomb\.keras unpacks to 537,919,488 bytes, more than"):
        load_keras(path)


@pytest.mark.usefixtures("nothing_is_loaded")
def test_many_members_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_files, "LARGEST_BYTES", 1000)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(11):
            archive.writestr(f"{number}", bytes(100))
    with pytest.raises(ModelError, match="unpacks to 1,100 bytes"):
        load_keras(path)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("filters", [{"compression": "gzip"}, {"fillvalue": 0.0}])
def test_weights_that_hdf5_packed_count_as_unpacked(tmp_path, filters):
    packed = io.BytesIO()
    with h5py.File(packed, "w") as weights:
        weights.create_dataset("layers/dense/vars/0", (12_000, 12_000), np.float32, **filters)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", packed.getvalue())
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match="unpacks to 576,000,000 bytes"):
        load_keras(path)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", bytes(1000)])
def test_what_is_no_zip_is_left_to_keras(tmp_path, content):
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable Keras model: Keras opened it"):
        load_keras(tmp_path / "x.keras")


# What a few words of a configuration ask for.


def units(found):
    """Sets the units of the last layer with any to a billion, wherever it stands."""
    if isinstance(found, dict):
        if "units" in found:
            found["units"] = 10**9
        for value in found.values():
            units(value)
    elif isinstance(found, list):
        for value in found:
            units(value)


def many(found):
    """Repeats a layer of a Sequential model, each time under another name."""
    *before, last = found["config"]["layers"]
    copies = [json.loads(json.dumps(last)) for _ in range(200)]
    for number, copy in enumerate(copies):
        copy["config"]["name"] = f"copy_{number}"
        copy["config"]["units"] = 2000
        copy.pop("build_config", None)
    found["config"]["layers"] = [*before, *copies]


def rewritten(path, model, change):
    """Saves a model, and changes what the file says of its layers."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(members["config.json"])
    change(config)
    members["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(("change", "is_nested"), [(units, False), (units, True), (many, False)])
def test_a_configuration_that_asks_for_all_of_the_memory_is_refused(tmp_path, change, is_nested):
    import keras

    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(7)])
    if is_nested:
        inner = model
        for _ in range(3):
            outside = keras.Input((7,))
            inner = keras.Model(outside, inner(outside))
        model = inner
    path = rewritten(tmp_path / "bomb.keras", model, change)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"bomb\.keras asks for weights of [\d,]+ bytes or more"):
        load_keras(path)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < (keras_files.LARGEST_BYTES >> 10)


def test_nothing_stays_changed_after_a_refusal(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((7,)), keras.layers.Dense(7)])
    add_weight = keras.layers.Layer.add_weight
    path = rewritten(tmp_path / "bomb.keras", model, units)
    with pytest.raises(ModelError):
        load_keras(path)
    assert keras.layers.Layer.add_weight is add_weight
    model.save(path)
    assert load_keras(path).count_params() == 56


@pytest.mark.usefixtures("nothing_is_loaded")
def test_a_description_of_too_many_layers_is_not_read(tmp_path):
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", " " * ((4 << 20) + 1))
    with pytest.raises(ModelError, match="describes its layers in 4,194,305 bytes, more than"):
        load_keras(path)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("depth", [0, 3])
def test_more_layers_than_anybody_needs_are_not_built(tmp_path, depth):
    path = tmp_path / "bomb.keras"
    config = {"config": {"layers": [{"class_name": "ReLU"}] * 1001}}
    for _ in range(depth):
        config = {"config": {"layers": [config]}}
    write_config(path, json.dumps(config))
    with pytest.raises(ModelError, match=f"has {1001 + depth:,} layers, more than the 1,000"):
        load_keras(path)


@pytest.mark.usefixtures("nothing_is_loaded")
@pytest.mark.parametrize("config", ["", "[", "[" * 100_000 + "]" * 100_000, "7", '{"layers": 7}'])
def test_a_configuration_that_says_nothing_is_left_to_keras(tmp_path, config):
    path = tmp_path / "bomb.keras"
    write_config(path, config)
    with pytest.raises(ModelError, match="is not a readable Keras model: Keras opened it"):
        load_keras(path)


def write_config(path, config):
    weights = io.BytesIO()
    h5py.File(weights, "w").close()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", weights.getvalue())
