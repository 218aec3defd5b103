"""Where the models, histories and checkpoints of a search lie: a folder, or a bucket of S3."""

from __future__ import annotations

import io
import os
import pathlib
from typing import Any

import optuna
from optuna.artifacts.exceptions import ArtifactNotFound

from edge.converter.keras_files import first_line
from edge.errors import EdgeError
from edge.system.files import require_writable, write_files

S3 = "s3://"


class Artifacts:
    """Optuna's artifact store, by its location; the workers of a search share one.

    Args:
        location: A folder, or `s3://bucket/prefix`.

    Raises:
        EdgeError: If boto3, which S3 needs, is not installed, or the location names no bucket.

    Example:
        >>> store = Artifacts("artifacts")
        >>> store.write("model", b"bytes")
        >>> store.read("model"), store.read("another")
        (b'bytes', None)
    """

    def __init__(self, location: str):
        self.location, self._prefix, self._folder = location, "", None
        if not location.startswith(S3):
            self._folder = pathlib.Path(os.path.abspath(location))
            self.location = str(self._folder)
            self._store: Any = optuna.artifacts.FileSystemArtifactStore(self._folder)
            return
        bucket, _, prefix = location.removeprefix(S3).partition("/")
        if not bucket:
            raise EdgeError(f"{location!r} names no bucket: give s3://bucket/prefix.")
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        try:
            self._store = optuna.artifacts.Boto3ArtifactStore(bucket)
        except ImportError as error:
            raise EdgeError(
                f"The artifacts at {location} need boto3, which is not installed: pip install "
                "boto3, or give a folder."
            ) from error
        except Exception as error:
            raise self._failed(error) from error

    def require_writable(self) -> None:
        """Refuses a folder that nothing can be written to, before hours of work.

        Raises:
            EdgeError: If it cannot; a bucket is not asked.
        """
        if self._folder is not None:
            require_writable(self._folder, ("store",))

    def write(self, name: str, content: bytes) -> None:
        """Writes an artifact.

        Args:
            name: The name, new in this store: nobody reads what is half written.
            content: The bytes.

        Raises:
            EdgeError: If the store takes no more.
        """
        if self._folder is not None:
            write_files(self._folder, {name: content})
            return
        try:
            self._store.write(self._prefix + name, io.BytesIO(content))
        except Exception as error:
            raise self._failed(error) from error

    def read(self, name: str | None) -> bytes | None:
        """Reads an artifact.

        Args:
            name: The name; None for none.

        Returns:
            The bytes; None if there is no such artifact.

        Raises:
            EdgeError: If the store cannot be read.
        """
        if name is None:
            return None
        try:
            with self._store.open_reader(self._prefix + name) as file:
                content: bytes = file.read()
                return content
        except ArtifactNotFound:
            return None
        except Exception as error:
            raise self._failed(error) from error

    def remove(self, name: str | None) -> None:
        """Removes an artifact, if there is one of that name.

        Args:
            name: The name; None for none.

        Raises:
            EdgeError: If the store refuses.
        """
        if name is None:
            return
        try:
            self._store.remove(self._prefix + name)
        except ArtifactNotFound:
            return
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> EdgeError:
        return EdgeError(f"The artifacts at {self.location} cannot be used: {first_line(error)}")
