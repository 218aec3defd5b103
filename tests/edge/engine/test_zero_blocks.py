"""The blocks that pruning zeroes are those that the kernels leave out, weight by weight."""

from types import SimpleNamespace

import numpy as np
import pytest

from edge.engine.packing_dsp import conv_dsp
from edge.engine.packing_mve import conv_mve
from edge.engine.packing_portable import conv_portable
from edge.engine.zero_blocks import pruning_block

WIDE = SimpleNamespace(width=16)
NETWORK = SimpleNamespace(rows={0: WIDE})
LAYER = SimpleNamespace(output=0, window=(3, 3), stride=(1, 1), dilation=(1, 1))
PACKS = {
    "raspberry-pi-pico": (lambda *made: conv_portable(*made), 2, 7, 5),
    "nucleo-f446re": (lambda *made: conv_dsp(NETWORK, LAYER, *made), 2, 7, 5),
    "mps3-an547": (lambda *made: conv_mve(*made), 4, 13, 17),
}
"""By board: the packing, the channels of a block, its words for them, and for each block left."""

SHAPES = [(3, 3, 16, 8), (1, 1, 32, 8), (3, 3, 3, 4), (1, 1, 20, 4), (3, 3, 5, 8), (1, 3, 6, 4)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("board", PACKS)
def test_a_block_alone_is_one_block_of_the_kernel(board, shape):
    pack, channels, fixed, each = PACKS[board]
    numbers = pruning_block(board)(shape)
    if numbers is None:
        assert (board, shape) == ("mps3-an547", (1, 1, 20, 4))
        return
    headers = np.array([[0, 2**30, 9]] * shape[3])
    groups = shape[3] // channels
    for number in range(numbers.max() + 1):
        kernel = np.moveaxis(np.where(numbers == number, 1, 0), -1, 0)
        packed = pack(kernel, headers.copy())
        assert "sparse" in packed.name
        assert len(packed.weights) == fixed * groups + each


@pytest.mark.parametrize("board", PACKS)
def test_kernels_without_a_sparse_twin_are_left_alone(board):
    assert pruning_block(board)((32, 16)) is None
