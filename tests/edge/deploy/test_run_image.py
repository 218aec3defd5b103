"""The board's own image answers for every input, on a board that unicorn emulates."""

import dataclasses
import functools

import numpy as np
import pytest
from networks import small_tflite

from edge.catalog.boards import find_board
from edge.deploy.build import build
from edge.deploy.run_image import ask_image
from edge.errors import EdgeError
from edge.tflite.reader import read_graph
from edge.tflite.reference import run_reference


@pytest.fixture(scope="module")
def small_graph():
    return read_graph(small_tflite())


@pytest.fixture(scope="module")
def images():
    """More than one emulated board takes."""
    return np.random.default_rng(3).integers(-128, 128, (90, 8, 8, 3)).astype(np.int8)


@pytest.fixture(scope="module")
def elf_of(small_graph, arm_compiler, unicorn, tmp_path_factory):
    """Builds a board's image once."""

    @functools.cache
    def built(name):
        folder = tmp_path_factory.mktemp(name) / "firmware"
        return build(small_graph.content, name, folder).firmware.elf

    return built


@pytest.mark.parametrize("name", ["nucleo-f446re", "arduino-zero"])
def test_the_own_image_answers_every_input_in_order(name, small_graph, images, elf_of):
    """On a core with a cycle counter, and on one without."""
    answers = ask_image(small_graph, elf_of(name), find_board(name), images)
    np.testing.assert_array_equal(answers, run_reference(small_graph, images))


def test_an_image_of_another_size_is_refused_in_one_line(small_graph, images, elf_of):
    larger = np.concatenate([images, images], axis=1)[:2]
    with pytest.raises(EdgeError, match=r"did not answer every input: e-\[db load: at most 192"):
        ask_image(small_graph, elf_of("nucleo-f446re"), find_board("nucleo-f446re"), larger)


def test_what_the_manual_forbids_is_no_answer(small_graph, images, elf_of):
    board = find_board("nucleo-f446re")
    # The crystal of this board makes another clock of the same registers.
    figures = board.chip.figures | {"hse_hz": 2 * board.chip.figures["hse_hz"]}
    other = dataclasses.replace(board, chip=dataclasses.replace(board.chip, figures=figures))
    with pytest.raises(EdgeError, match="image on unicorn"):
        ask_image(small_graph, elf_of("nucleo-f446re"), other, images[:2])
