"""Labels, folders of images and messages, as people's systems write them."""

import pytest
from PIL import Image

from edge.cli.arguments import class_names, load_data
from edge.cli.console import one_line
from edge.errors import EdgeError


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"\xef\xbb\xbfa\r\nb\r\n", ["a", "b"]),
        ("n0144\ttench\n日本\nx\N{NO-BREAK SPACE}y\n".encode(), ["n0144\ttench", "日本", "x\xa0y"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"", []),
    ],
)
def test_labels_are_a_name_per_line(tmp_path, content, names):
    (tmp_path / "labels.txt").write_bytes(content)
    assert class_names(tmp_path / "labels.txt") == names


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"a\x0cb\n", "line 1 holds a control character"),
        (b"a\nb\x1b[31m\n", "line 2 holds a control character"),
        (b"a\rb\r", "line 1 holds a control character"),
        (b"a\x00\n", "line 1 holds a control character"),
        ("a\N{LINE SEPARATOR}b\n".encode(), "line 1 holds a control character"),
        (b"a\n" + 3500 * b"x", "line 2 has 3,500 letters"),
        (b"\xff\xfea\x00", "not UTF-8"),
    ],
)
def test_labels_that_cannot_be_shown_are_refused_by_line(tmp_path, content, word):
    (tmp_path / "labels.txt").write_bytes(content)
    with pytest.raises(EdgeError, match=word):
        class_names(tmp_path / "labels.txt")


def test_what_a_folder_left_out_is_said_in_one_line(tmp_path, capsys):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.new("L", (8, 8)).save(tmp_path / name / f"{number}.png")
    load_data(str(tmp_path), 8, 1)
    assert capsys.readouterr().err == ""
    (tmp_path / "cat" / "[red]\nnotes.txt").write_text("")
    load_data(str(tmp_path), 8, 1)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("Note: Left out: 1 entry that is no image (cat/[red] notes.txt)")
    assert printed.err.count("\n") == 1


# Messages that hold names.


@pytest.mark.parametrize("length", [10, 270, 280, 281, 3500])
@pytest.mark.parametrize("letter", ["x", "/", "\x1b", "\n", "я ", " "])
def test_a_line_is_never_long(length, letter):
    text = one_line(f"Cannot read {letter * length}: no such file, look again.")
    assert len(text) <= 280
    assert text.isprintable()
    assert text.startswith("Cannot read ")
    assert text.endswith("no such file, look again.")


def test_the_longest_name_is_cut_and_the_words_stay():
    first, second = "a" * 4000, "b" * 100
    text = one_line(f"Cannot write {second} beside {first}.tflite. Choose another folder.")
    assert second in text
    assert text.endswith("aaa.tflite. Choose another folder.")
    assert "aaa..." in text
