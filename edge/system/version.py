"""Which version of this package writes a file."""

from __future__ import annotations

import importlib.metadata

DISTRIBUTION = "keras-mobilenet"


def package_version() -> str:
    """Says which version of this package is installed.

    Returns:
        The version, or `"from its sources"` where it is not installed.

    Example:
        >>> bool(package_version())
        True
    """
    try:
        return importlib.metadata.version(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return "from its sources"
