"""Whether a model fits a board, to the byte."""

import dataclasses

import numpy as np
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
    assert "flash 420,206 of 253,952 bytes, over by 166,254" in str(error.value)
    assert "RAM 102,572 of 32,768 bytes, over by 69,804" in str(error.value)


# A refusal that rests on an upper bound says so; one that is certain does not.

DOUBTED_RAM = "Its RAM is an upper bound, so that it may fit after all."


@pytest.fixture(scope="module")
def squeezed():
    """SqueezeNet's fire module: its CONCATENATION has no rule, so that its arena is measured."""
    import keras
    from keras import layers

    import edge

    inputs = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 1, activation="relu")(inputs)
    branches = [layers.Conv2D(8, size, padding="same", activation="relu")(x) for size in (1, 3)]
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()(branches))
    samples = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype("float32")
    return read_graph(edge.convert(keras.Model(inputs, layers.Dense(2)(x)), samples))


def test_a_network_with_a_concatenation_may_fit_after_all(squeezed):
    use = budget(squeezed, find_board("nucleo-f446re"))
    assert not use.arena.is_exact
    assert use.doubt() == ""
    with pytest.raises(DoesNotFitError) as error:
        require_fit(squeezed, board_with(use.ram_bytes - 1))
    assert str(error.value).endswith(f"over by 1. {DOUBTED_RAM}")
    assert any(bank.is_bound and bank.over_bytes for bank in error.value.budget.bank_uses())


def test_what_is_known_exactly_leaves_no_doubt(squeezed):
    """The margin alone is more than the RAM, or the model more than the flash."""
    board = find_board("nucleo-f446re")
    assert budget(squeezed, board, 0, board.ram_bytes).doubt() == ""
    bank = dataclasses.replace(board.flash[0], bytes=squeezed.model_bytes - 1)
    tiny = dataclasses.replace(board_with(16), flash=(bank,))
    assert budget(squeezed, tiny).doubt() == ""


def test_the_code_is_an_upper_bound_too(graph):
    board = find_board("nucleo-f446re")
    needed = budget(graph, board).flash_bytes
    bank = dataclasses.replace(board.flash[0], bytes=needed - 1)
    use = budget(graph, dataclasses.replace(board, flash=(bank,)))
    assert use.sentence().endswith("Its flash is an upper bound, so that it may fit after all.")


def test_an_exact_arena_leaves_no_doubt(graph):
    needed = budget(graph, find_board("nucleo-f446re")).ram_bytes
    assert budget(graph, board_with(needed - 1)).doubt() == ""


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
