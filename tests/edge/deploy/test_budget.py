"""Whether a model fits a board, to the byte."""

import dataclasses

import pytest

from edge.catalog.boards import find_board
from edge.deploy.budget import SIDE_STEP, budget, budget_of, fitting_variants, require_fit
from edge.errors import DoesNotFitError
from edge.runtimes.tflm_code_size import OPERATOR_BYTES, SET_BYTES, library_use
from edge.tflite.reader import read_graph
from edge.transforms.scale import scaled_model


@pytest.fixture
def graph(vww):
    return read_graph(vww)


def board_with(ram_bytes, like="nucleo-f446re"):
    board = find_board(like)
    bank = dataclasses.replace(board.ram[0], bytes=ram_bytes)
    return dataclasses.replace(board, ram=(bank,))


def test_the_items_add_up(graph):
    use = budget(graph, find_board("nucleo-f446re"))
    assert use.flash_bytes == 333_288 + 86_918
    assert use.ram_bytes == 100_720 + 576 + 1_276
    assert use.fits
    assert "28,500 to spare" in use.sentence()


def test_the_last_byte_decides(graph):
    needed = budget(graph, find_board("nucleo-f446re")).ram_bytes
    assert budget(graph, board_with(needed)).fits
    short = budget(graph, board_with(needed - 1))
    assert (short.fits, short.ram_over_bytes, short.flash_over_bytes) == (False, 1, 0)


def test_the_arena_must_fit_in_one_bank(graph):
    board = board_with(90 * 1024)
    banks = (dataclasses.replace(board.ram[0], name=f"SRAM{n}") for n in range(3))
    split = dataclasses.replace(board, ram=tuple(banks))
    use = budget(graph, split)
    assert use.ram_bytes < split.ram_bytes
    assert use.ram_over_bytes == use.arena.bytes - 90 * 1024
    assert [bank.over_bytes > 0 for bank in use.bank_uses()] == [False, True, False, False]


def test_a_misfit_says_by_how_much(graph):
    with pytest.raises(DoesNotFitError) as error:
        require_fit(graph, find_board("arduino-zero"), where="vww.tflite")
    assert error.value.exit_code == 2
    assert "flash 420,206 of 262,144 bytes, over by 158,062" in str(error.value)
    assert "RAM 102,572 of 32,768 bytes, over by 69,804" in str(error.value)


def test_what_would_fit_does_fit(graph):
    board = find_board("arduino-zero")
    variants = fitting_variants(graph, board)
    assert variants
    for variant in variants:
        assert variant.flash_bytes <= board.flash_bytes
        assert variant.ram_bytes <= board.ram_bytes
        assert min(variant.input_shape[:2]) >= 32


def test_a_larger_variant_would_not_fit(graph):
    board = find_board("arduino-zero")
    for variant in fitting_variants(graph, board):
        if variant.rho < 1:
            side = max(variant.input_shape[:2]) + SIDE_STEP
            larger = scaled_model(graph, variant.alpha_factor, side)
            assert not budget_of(larger, board).fits


def test_nothing_fits_a_board_that_is_far_too_small(graph):
    assert fitting_variants(graph, board_with(1024)) == []


def test_a_set_of_operators_takes_no_more_than_its_parts():
    for operators, (reference, cmsis_nn) in SET_BYTES.items():
        use = library_use(operators)
        assert (use.reference_flash_bytes, use.cmsis_nn_flash_bytes) == (reference, cmsis_nn)


def test_an_unmeasured_operator_is_named_not_guessed():
    assert library_use(["CONV_2D", "SVDF"]).unmeasured == ("SVDF",)


def test_measured_operators_are_operators_of_tflm():
    from edge.runtimes.tflm_operators import OPERATORS

    assert OPERATOR_BYTES.keys() <= OPERATORS
