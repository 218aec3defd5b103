"""A small `.keras` file cannot take all of the memory."""

import io
import zipfile

import h5py
import numpy as np
import pytest

from edge.converter import keras_files
from edge.converter.keras_files import LARGEST_BYTES, load_keras
from edge.errors import ModelError

MEMBERS = ("config.json", "model.weights.h5", "assets/any.txt")


@pytest.fixture(autouse=True)
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


def test_many_members_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr(keras_files, "LARGEST_BYTES", 1000)
    path = tmp_path / "bomb.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(11):
            archive.writestr(f"{number}", bytes(100))
    with pytest.raises(ModelError, match="unpacks to 1,100 bytes"):
        load_keras(path)


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


@pytest.mark.parametrize("content", [b"", b"PK", b"no zip", bytes(1000)])
def test_what_is_no_zip_is_left_to_keras(tmp_path, content):
    (tmp_path / "x.keras").write_bytes(content)
    with pytest.raises(ModelError, match="is not a readable Keras model: Keras opened it"):
        load_keras(tmp_path / "x.keras")
