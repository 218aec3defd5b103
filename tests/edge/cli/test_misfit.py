"""What a model that does not fit is told of the engine is true of the engine."""

import dataclasses

from networks import small_tflite

from edge.catalog.boards import find_board
from edge.cli.misfit import of_the_engine
from edge.tflite.reader import read_graph

BOARD = find_board("arduino-zero")


def test_where_it_fits_it_says_how_much_it_takes(cli, vww):
    done = cli("fit", vww, "--board", BOARD.id)
    assert done.returncode == 2
    assert "The engine takes 14," in done.stdout
    assert "keras-mobilenet build MODEL --board arduino-zero" in done.stdout


def test_where_it_does_not_fit_either_it_says_so():
    tiny = dataclasses.replace(BOARD.flash[0], bytes=1000)
    told = of_the_engine(read_graph(small_tflite()), dataclasses.replace(BOARD, flash=(tiny,)))
    assert told == "The engine, which takes less memory, does not fit either."


def test_where_it_lacks_a_kernel_it_says_so():
    graph = read_graph(small_tflite())
    first = dataclasses.replace(graph.operators[0], opcode="TRANSPOSE_CONV")
    graph = dataclasses.replace(graph, operators=(first, *graph.operators[1:]))
    told = of_the_engine(graph, BOARD)
    assert told == "The engine, which takes less memory, has no kernel for one of its operators."
