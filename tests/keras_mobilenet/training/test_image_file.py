"""An image file is read as a viewer shows it, in little memory, or refused by name."""

import io
import os
import resource
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_mobilenet.preprocessing.preprocessing import resize_pixels
from keras_mobilenet.training.image_file import (
    DRAFT_PIXELS,
    FORMATS,
    ORIENTATION_TAG,
    DataError,
    read_image,
)

MIB = 1 << 20
WHITE, BLACK = 255, 0


def noise(height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, channels), np.uint8)


def smooth(height, width):
    """Like a photograph: colours that change slowly, with edges."""
    y, x = np.mgrid[0:height, 0:width] / np.array([height, width])[:, None, None]
    red, green = 127 + 120 * np.sin(9 * x + 4 * y), 127 + 120 * np.cos(7 * y)
    return np.stack([red, green, 255 * (x > y)], axis=-1).astype(np.uint8)


def read(path, side=32, channels=3):
    return read_image(path, side, channels).pixels


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (48, 64), (480, 640), (1021, 1999), (3, 40_000)])
def test_an_image_of_exact_bytes_is_resized_as_the_camera_code_does(tmp_path, size, channels):
    """Also one that is read in several strips."""
    pixels = noise(*size)
    Image.fromarray(pixels).save(tmp_path / "x.png", compress_level=0)
    expected = resize_pixels(pixels, 32, 32, channels)
    np.testing.assert_array_equal(read(tmp_path / "x.png", 32, channels), expected)


def test_a_jpeg_that_is_not_large_is_decoded_whole(tmp_path):
    Image.fromarray(smooth(768, 1024)).save(tmp_path / "x.jpg")
    assert DRAFT_PIXELS >= 768 * 1024
    with Image.open(tmp_path / "x.jpg") as image:
        expected = resize_pixels(np.asarray(image), 32, 32, 3)
    np.testing.assert_array_equal(read(tmp_path / "x.jpg"), expected)


@pytest.mark.parametrize("side", [32, 224])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_that_is_decoded_smaller_looks_the_same(tmp_path, orientation, side):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    Image.fromarray(smooth(1500, 2000)).save(tmp_path / "x.jpg", quality=95, exif=exif)
    with Image.open(tmp_path / "x.jpg") as image:
        upright = np.rot90(np.asarray(image), -1) if orientation == 6 else np.asarray(image)
        expected = resize_pixels(np.ascontiguousarray(upright), side, side, 3).astype(int)
    difference = np.abs(read(tmp_path / "x.jpg", side) - expected)
    assert difference.max() <= 2
    assert difference.mean() < 0.5


# EXIF's orientations: as each stores the image of a camera that is held some way.

STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a.swapaxes(0, 1)[::-1],
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a.swapaxes(0, 1)[:, ::-1],
}


@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg", ".webp"])
@pytest.mark.parametrize("orientation", STORED)
def test_an_image_is_turned_upright(tmp_path, orientation, suffix):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :24] = (250, 0, 0)
    upright[:16, 24:] = (0, 250, 0)
    upright[16:, :24] = (0, 0, 250)
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    path = tmp_path / f"x{suffix}"
    options = {".jpg": {"quality": 100, "subsampling": 0}, ".webp": {"lossless": True}}.get(
        suffix, {}
    )
    Image.fromarray(stored).save(path, exif=exif, **options)
    expected = resize_pixels(upright, 32, 32, 3).astype(int)
    difference = np.abs(read(path) - expected)
    assert difference.max() <= (4 if suffix == ".jpg" else 0)


def test_an_orientation_that_is_damaged_leaves_the_image_as_it_is(tmp_path):
    pixels = noise(32, 32)
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    np.testing.assert_array_equal(read(tmp_path / "x.png"), pixels)


# Modes.


def save(path, image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_gray_keeps_its_gray(tmp_path, suffix, channels):
    grays = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(np.uint16)
    path = save(tmp_path / f"x{suffix}", Image.fromarray(grays))
    got = read(path, 32, channels)
    assert np.abs(got - (grays / 257)[..., None]).max() <= 0.51
    assert got.min() == BLACK
    assert got.max() == WHITE


def test_16_bit_gray_of_the_other_byte_order(tmp_path):
    grays = np.linspace(0, 65_535, 32 * 32).reshape(32, 32).astype(">u2")
    path = tmp_path / "x.tif"
    entries = [(256, 4, 32), (257, 4, 32), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 122)]
    entries += [(277, 3, 1), (278, 4, 32), (279, 4, 2048)]
    content = struct.pack(">2sHIH", b"MM", 42, 8, len(entries))
    for tag, kind, value in entries:
        content += struct.pack(">HHI", tag, kind, 1)
        content += struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value)
    path.write_bytes(content + bytes(122 - len(content)) + grays.tobytes())
    np.testing.assert_array_equal(read(path, 32, 1)[..., 0], (grays.astype(int) + 128) // 257)


def figure(mode):
    """A black disc on transparency, and its alpha: whole, half and none."""
    y, x = np.mgrid[0:32, 0:32] - 16
    alpha = np.select([x**2 + y**2 < 60, x**2 + y**2 < 160], [255, 128], 0).astype(np.uint8)
    image = Image.merge("LA", (Image.new("L", (32, 32)), Image.fromarray(alpha)))
    return image.convert("RGBA").convert(mode) if mode != "LA" else image, alpha


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("RGBA", ".png"), ("LA", ".png"), ("RGBA", ".webp"), ("LA", ".tif")],
)
def test_a_black_figure_on_transparency_is_seen_on_white(tmp_path, mode, suffix):
    image, alpha = figure(mode)
    options = {"lossless": True} if suffix == ".webp" else {}
    got = read_image(save(tmp_path / f"x{suffix}", image, **options), 32, 1)
    assert got.is_on_white
    np.testing.assert_allclose(got.pixels[..., 0], 255 - alpha, atol=1)


@pytest.mark.parametrize("mode", ["P", "GIF", "PA", "L", "RGB", "1", "I;16"])
def test_a_transparent_colour_becomes_white(tmp_path, mode):
    """PNG and GIF name a colour, or an entry of the palette, that is transparent."""
    _, alpha = figure("LA")
    is_figure = alpha == 255
    path = tmp_path / {"PA": "x.tif", "GIF": "x.gif"}.get(mode, "x.png")
    if mode in ("P", "GIF"):
        image = Image.fromarray(is_figure.astype(np.uint8), "L").convert("P")
        image.putpalette([0, 0, 0, 10, 10, 10])
        image.save(path, transparency=0)
    elif mode == "PA":
        image = Image.new("P", (32, 32)).convert("PA")
        image.putalpha(Image.fromarray(is_figure.astype(np.uint8) * 255))
        image.save(path)
    elif mode == "I;16":
        Image.fromarray(np.where(is_figure, 10 * 257, 0).astype(np.uint16)).save(
            path, transparency=0
        )
    else:
        image = Image.fromarray(np.where(is_figure, 0 if mode == "1" else 10, 255).astype(np.uint8))
        clear = {"RGB": (255, 255, 255)}.get(mode, 255)
        image.convert(mode).save(path, transparency=clear)
    got = read_image(path, 32, 1)
    assert got.is_on_white
    assert (got.pixels[~is_figure] == WHITE).all()
    assert (got.pixels[is_figure] <= 10).all()


def test_what_is_opaque_is_not_changed_by_its_alpha(tmp_path):
    pixels = noise(32, 32, 4)
    pixels[..., 3] = 255
    got = read_image(save(tmp_path / "x.png", Image.fromarray(pixels)), 32, 3)
    assert not got.is_on_white
    np.testing.assert_array_equal(got.pixels, pixels[..., :3])


@pytest.mark.parametrize("color", ["white", "black", "red", "cyan"])
def test_cmyk_has_its_colours(tmp_path, color):
    image = Image.new("RGB", (64, 64), color)
    for name in ("x.jpg", "x.tif"):
        got = read(save(tmp_path / name, image.convert("CMYK")))
        assert np.abs(got.astype(int) - np.asarray(image)[:32, :32]).max() <= 3


@pytest.mark.parametrize(("luma", "color"), [(0, WHITE), (255, BLACK), (155, 100)])
def test_cmyk_as_print_shops_store_it_has_its_grays(tmp_path, luma, color):
    """Inverted, as luma and chroma beside black: a mark of Adobe's says so."""
    stored = io.BytesIO()
    # Pillow inverts what it writes, and writes the mark without the chroma.
    Image.new("CMYK", (32, 32), (255 - luma, 127, 127, 0)).save(stored, "JPEG", quality=100)
    content = bytearray(stored.getvalue())
    content[content.index(b"Adobe") + 11] = 2
    (tmp_path / "x.jpg").write_bytes(content)
    assert np.abs(read(tmp_path / "x.jpg").astype(int) - color).max() <= 2


def test_of_an_animation_the_first_frame_is_read(tmp_path):
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    for name in ("x.gif", "x.webp", "x.tif", "x.png"):
        more = {"lossless": True} if name == "x.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **more)
        assert (read(tmp_path / name) == (255, 0, 0)).all()


def test_bits_are_black_and_white(tmp_path):
    bits = noise(32, 32, 1)[..., 0] > 128
    for name in ("x.png", "x.bmp", "x.tif"):
        got = read(save(tmp_path / name, Image.fromarray(bits)), 32, 1)
        np.testing.assert_array_equal(got[..., 0], bits * 255)


# What is refused.


def assert_refused(path, word):
    with pytest.raises(DataError) as refused:
        read(path)
    message = str(refused.value)
    assert message.startswith(f"{path} is not a readable image: ")
    assert word in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("mode", "word"), [("F", "floats"), ("I", "32-bit integers"), ("LAB", "CIELAB")]
)
def test_pixels_without_an_agreed_white_are_refused(tmp_path, mode, word):
    assert_refused(save(tmp_path / "x.tif", Image.new(mode, (8, 8))), word)


@pytest.mark.parametrize("suffix", [s for suffixes in FORMATS.values() for s in suffixes])
@pytest.mark.parametrize("size", [(48, 64), (1200, 1600)])
def test_a_file_that_was_cut_is_refused(tmp_path, suffix, size):
    path = tmp_path / f"x{suffix}"
    Image.fromarray(noise(*size)).save(path)
    content = path.read_bytes()
    for share in (0.0, 0.001, 0.3, 0.7):
        path.write_bytes(content[: int(len(content) * share)])
        assert_refused(path, "")


@pytest.mark.parametrize("suffix", [s for suffixes in FORMATS.values() for s in suffixes])
def test_a_file_that_lacks_its_last_bytes_is_read_whole_or_refused(tmp_path, suffix):
    """PNG and GIF end with a mark that holds no pixels; without it they are whole."""
    path = tmp_path / f"x{suffix}"
    Image.fromarray(noise(48, 64)).save(path)
    whole, content = read(path), path.read_bytes()
    read_count = 0
    for count in range(1, 40):
        path.write_bytes(content[:-count])
        try:
            np.testing.assert_array_equal(read(path), whole)
            read_count += 1
        except DataError:
            continue
    assert (read_count > 0) == (suffix in (".png", ".gif"))


def test_another_format_in_a_file_of_that_name_is_refused(tmp_path):
    Image.fromarray(noise(32, 32)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    assert_refused(tmp_path / "x.png", "none of PNG, JPEG")


@pytest.mark.parametrize("size", [(100_000, 1), (12_000, 9_000), (20_000, 20_000)])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, size):
    Image.new("1", size).save(tmp_path / "x.png")
    assert os.path.getsize(tmp_path / "x.png") < 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert_refused(tmp_path / "x.png", "")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20 * 1024


@pytest.mark.parametrize("suffix", [s for suffixes in FORMATS.values() for s in suffixes])
def test_damaged_files_are_read_or_refused(tmp_path, suffix):
    """Whatever a decoder makes of them: nothing but a `DataError` comes out."""
    stored = io.BytesIO()
    image = Image.fromarray(noise(24, 24))
    image.save(stored, next(f for f, suffixes in FORMATS.items() if suffix in suffixes))
    rng = np.random.default_rng(0)
    refusals = []
    for _ in range(150):
        content = bytearray(stored.getvalue())
        for place in rng.integers(0, min(len(content), 300), rng.integers(1, 5)):
            content[place] = rng.integers(256)
        (tmp_path / f"x{suffix}").write_bytes(content)
        try:
            assert read(tmp_path / f"x{suffix}").shape == (32, 32, 3)
        except DataError as error:
            refusals.append(str(error))
    assert refusals
    assert not any("\n" in refusal for refusal in refusals)


# Memory.

MEASURE = """
import contextlib, pathlib, re, sys
from keras_mobilenet.training.data import load_images
def kib(what):
    return int(re.search(what + r":\\s*(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
load_images("faces", 32, 3)
with contextlib.suppress(OSError):
    # The peak so far, of the imports, is forgotten.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
before = kib("VmRSS")
data = load_images(sys.argv[1], 32, int(sys.argv[2]))
parts = data.train_labels, data.validation_labels, data.test_labels
print(kib("VmHWM") - before, sum(map(len, parts)))
"""


def measured_mib(folder, channels=3):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, folder, str(channels)],
        capture_output=True,
        text=True,
        check=True,
    )
    kib, count = map(int, done.stdout.split())
    return kib / 1024, count


def photographs(root, count, suffix=".jpg", **options):
    """Of 12 megapixels, each with its own name; all but the first few share their content."""
    Image.fromarray(smooth(3000, 4000)).save(root / f"photo{suffix}", **options)
    for number in range(count):
        folder = root / "photos" / f"class {number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        os.link(root / f"photo{suffix}", folder / f"{number}{suffix}")
    return root / "photos"


@pytest.mark.parametrize(
    ("count", "suffix", "options"),
    [
        (40, ".jpg", {}),
        pytest.param(1000, ".jpg", {}, marks=pytest.mark.exhaustive),
        (10, ".png", {"compress_level": 1}),
    ],
)
def test_photographs_take_little_memory(tmp_path, count, suffix, options):
    exif = Image.Exif()
    exif[ORIENTATION_TAG] = 6
    mib, loaded_count = measured_mib(photographs(tmp_path, count, suffix, exif=exif, **options))
    print(f"{count} photographs of 12 megapixels, {suffix}: {mib:.1f} MiB at the peak")
    assert loaded_count == count
    assert mib < 150
