"""Zips a package into the one file that CMSIS-Pack tools install."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from edge.emit.packages.names import PackageName
from edge.emit.packages.render import VENDOR, VERSION

NO_DATE = (1980, 1, 1, 0, 0, 0)
"""The first that a zip can hold: the same package is the same file at any time."""


def pack_file(name: PackageName, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Zips the files of a CMSIS-Pack.

    Args:
        name: The name of the package.
        files: The bytes of each file by its path in the package.

    Returns:
        The `.pack` file by its name, which is vendor, name and version, as its specification asks.

    Example:
        >>> from edge.emit.packages.names import package_name
        >>> list(pack_file(package_name("faces"), {"README.md": b"faces"}))
        ['keras_mobilenet.Faces.1.0.0.pack']
    """
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path, NO_DATE), content, zipfile.ZIP_DEFLATED)
    return {f"{VENDOR}.{name.camel}.{VERSION}.pack": made.getvalue()}
