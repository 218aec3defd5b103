"""Networks of others, in plain Keras layers: what quantization must take as it comes."""

from __future__ import annotations

import pytest
from networks import TRAINABLE


@pytest.fixture(scope="session")
def networks():
    """The networks' builders by name."""
    return TRAINABLE
