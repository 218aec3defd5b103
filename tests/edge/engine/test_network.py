"""Which rows a layer reads, against its taps one by one."""

import pytest

from edge.engine.network import Layer
from edge.tflite.graph import Operator

HEIGHT = 11


@pytest.mark.parametrize(
    ("window", "stride", "dilation", "pad", "rows"),
    [
        (3, 1, 1, 1, 11),  # SAME
        (3, 2, 1, 1, 6),
        (5, 1, 1, 2, 11),
        (3, 1, 1, 0, 9),  # VALID
        (2, 3, 1, 0, 4),
        (3, 1, 2, 2, 11),  # SAME, dilated
        (3, 1, 3, 0, 5),
        (1, 2, 1, 0, 6),
    ],
)
def test_the_rows_that_are_read(window, stride, dilation, pad, rows):
    layer = Layer(
        *(0, Operator(0, "CONV_2D", (0, 1), (2,), {}), (0,), 2),
        window=(window, 1),
        stride=(stride, 1),
        dilation=(dilation, 1),
        pad=(pad, 0),
    )
    read = [[row * stride - pad + tap * dilation for tap in range(window)] for row in range(rows)]
    inside = [[tap for tap in taps if 0 <= tap < HEIGHT] for taps in read]
    for row, taps in enumerate(inside):
        from_here_on = {tap for later in inside[row:] for tap in later}
        first, last = layer.first_row(row, HEIGHT), layer.last_row(row, HEIGHT)
        # Between dilated taps, at the border, the range may begin or end at a row that none reads.
        is_exact = dilation == 1 or taps == read[row]
        assert first == min(from_here_on) if is_exact else first <= min(from_here_on)
        assert last == max(taps) if is_exact else last >= max(taps)


def test_a_layer_that_needs_all_reads_from_the_first_row_to_the_last():
    op = Operator(0, "FULLY_CONNECTED", (0, 1), (2,), {})
    layer = Layer(0, op, (0,), 2, needs_all=True)
    assert (layer.first_row(0, HEIGHT), layer.last_row(0, HEIGHT)) == (0, HEIGHT - 1)
