"""PNG files of every depth of bits, most of which Pillow does not write: made here by hand."""

import struct
import zlib

import numpy as np
import pytest

from keras_mobilenet.training.image_file import read_image

SIDE = 32
GRAY, RGB, PALETTE, GRAY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GRAY: 1, RGB: 3, PALETTE: 1, GRAY_ALPHA: 2, RGB_ALPHA: 4}
DEPTHS = [(GRAY, 1), (GRAY, 2), (GRAY, 4), (GRAY, 8), (GRAY, 16)]
DEPTHS += [(kind, bits) for kind in (RGB, GRAY_ALPHA, RGB_ALPHA) for bits in (8, 16)]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(values, kind, bits, *, clear=b"", palette=b""):
    """A file of the values, an array of shape (height, width, channels)."""
    height, width = values.shape[:2]
    digits = (values.reshape(height, -1, 1) >> np.arange(bits)[::-1]) & 1
    rows = np.packbits(digits.reshape(height, -1).astype(np.uint8), axis=1)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    parts = [(b"IHDR", header), (b"PLTE", palette), (b"tRNS", clear)]
    parts += [(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows)))]
    chunks = [chunk(name, data) for name, data in parts if data]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + chunk(b"IEND", b"")


def read(folder, content):
    (folder / "x.png").write_bytes(content)
    return read_image(folder / "x.png", SIDE, 3)


@pytest.mark.parametrize(("kind", "bits"), DEPTHS)
def test_black_is_black_white_is_white_and_between_them_a_level_is_kept(tmp_path, kind, bits):
    largest = 2**bits - 1
    shape = (SIDE, SIDE, CHANNELS[kind])
    values = np.random.default_rng(0).integers(0, largest + 1, shape)
    values[0], values[1] = 0, largest
    has_alpha = kind in (GRAY_ALPHA, RGB_ALPHA)
    alpha = values[..., -1:] / largest if has_alpha else 1.0
    colours = values[..., :-1] if has_alpha else values
    expected = 255 * (colours / largest * alpha + 1 - alpha)
    got = read(tmp_path, png(values, kind, bits))
    assert got.is_on_white == has_alpha
    # Of 16-bit colours and of their alpha the upper byte is read: a level each, and rounding.
    assert np.abs(got.pixels - expected).max() <= (3.0 if has_alpha else 1.0)
    if not has_alpha:
        assert (got.pixels[0] == 0).all()
        assert (got.pixels[1] == 255).all()


@pytest.mark.parametrize(("kind", "bits"), [depth for depth in DEPTHS if depth[0] in (GRAY, RGB)])
def test_the_transparent_colour_is_white_and_no_other(tmp_path, kind, bits):
    largest = 2**bits - 1
    for clear in {0, 1, largest // 3, largest // 2 + 1, largest}:
        other = 0 if clear > largest // 2 else largest
        values = np.full((SIDE, SIDE, CHANNELS[kind]), other)
        values[:, : SIDE // 2] = clear
        name = struct.pack(">H", clear) * CHANNELS[kind]
        got = read(tmp_path, png(values, kind, bits, clear=name))
        assert got.is_on_white
        assert (got.pixels[:, : SIDE // 2] == 255).all()
        assert (got.pixels[:, SIDE // 2 :] == (255 if other else 0)).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_a_palette_has_its_colours_and_their_alpha(tmp_path, bits, alpha):
    values = np.zeros((SIDE, SIDE, 1), int)
    values[:, SIDE // 2 :] = 1
    got = read(
        tmp_path,
        png(values, PALETTE, bits, clear=bytes([alpha]), palette=bytes([0, 0, 0, 9, 20, 30])),
    )
    assert got.is_on_white == (alpha < 255)
    assert np.abs(got.pixels[:, : SIDE // 2] - (255.0 - alpha)).max() <= 1
    assert (got.pixels[:, SIDE // 2 :] == (9, 20, 30)).all()
