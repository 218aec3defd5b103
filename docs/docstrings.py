"""Docstrings here follow Keras, which writes `Example:`; griffe knows `Examples:`."""

from __future__ import annotations

import re
from typing import Any

import griffe


class Keras(griffe.Extension):
    """Hands each docstring to griffe with the heading that it knows."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Called by griffe for each object that it reads."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(
                r"^Example:$", "Examples:", obj.docstring.value, flags=re.MULTILINE
            )
