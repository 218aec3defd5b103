"""Opens the storage of a study: SQLite, or a database that several machines share."""

from __future__ import annotations

import importlib.util
import pathlib
import time
import warnings

import optuna
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, SAWarning

from edge.converter.keras_files import first_line
from edge.errors import EdgeError
from edge.search.storage_url import masked, masked_url

STUDY_FILE = "study.db"
HEARTBEAT_SECONDS = 2
OPEN_ATTEMPTS = 3
GRACE_SECONDS = 10
"""A process without a heartbeat for so long is taken for dead, and its trial is given out again."""

POSTGRESQL = ("postgresql://", "postgres://")


def study_url(folder: pathlib.Path) -> str:
    """Returns the storage URL of a study that lies in a folder.

    Args:
        folder: The folder for the file `study.db`.

    Returns:
        The URL, in which special characters of the folder's name are escaped.

    Example:
        >>> study_url(pathlib.Path("/tmp/which one?"))
        'sqlite:////tmp/which one%3F/study.db'
    """
    return URL.create("sqlite", database=str(folder.resolve() / STUDY_FILE)).render_as_string()


def with_driver(url: str) -> str:
    """Names the driver of PostgreSQL that is installed, where a URL names none.

    Args:
        url: A storage URL.

    Returns:
        The URL, with psycopg 3 where psycopg2, SQLAlchemy's choice, is not installed.

    Raises:
        EdgeError: If neither is installed.

    Example:
        >>> with_driver("sqlite:///study.db")
        'sqlite:///study.db'
    """
    scheme = next((scheme for scheme in POSTGRESQL if url.startswith(scheme)), None)
    if scheme is None:
        return url
    rest = url.removeprefix(scheme)
    for module in ("psycopg2", "psycopg"):
        if importlib.util.find_spec(module) is not None:
            return f"postgresql+{module}://{rest}"
    raise EdgeError(
        f"The storage {masked_url(url)} needs a database driver that is not installed: psycopg. "
        "Install it: pip install 'keras-mobilenet[postgres]'."
    )


def open_storage(url: str) -> optuna.storages.RDBStorage:
    """Opens the storage of a study.

    Args:
        url: Optuna's storage URL.

    Returns:
        The storage.

    Raises:
        EdgeError: If the storage cannot be opened.

    Example:
        >>> open_storage("sqlite://").get_all_studies()  # in memory
        []
    """
    # Without heartbeats the trial of a killed process would never be given out again.
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    warnings.simplefilter("ignore", SAWarning)
    driven = with_driver(url)
    attempt = 1
    while True:
        try:
            return optuna.storages.RDBStorage(
                driven,
                heartbeat_interval=HEARTBEAT_SECONDS,
                grace_period=GRACE_SECONDS,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(
                    inherit_intermediate_values=True
                ),
            )
        except ImportError as error:
            raise EdgeError(
                f"The storage {masked_url(url)} needs a database driver that is not installed: "
                f"{_driver(error)}. Install it with pip, or name another in the URL."
            ) from error
        except ArgumentError as error:
            raise EdgeError(
                f"{masked_url(url)!r} is no storage of Optuna's: {masked(str(error), url)}"
            ) from error
        except Exception as error:
            # Of two processes that create the tables at the same moment, one is refused.
            if attempt == OPEN_ATTEMPTS:
                reason = masked(first_line(error), url)
                raise EdgeError(f"Cannot open the study at {masked_url(url)}: {reason}") from error
            attempt += 1
            time.sleep(HEARTBEAT_SECONDS)


def _driver(error: ImportError) -> str:
    """The name of the missing module; a sentence where a driver lacks a library of its own."""
    cause = error.__cause__ or error.__context__
    name = next((e.name for e in (cause, error) if isinstance(e, ImportError) and e.name), None)
    return name or first_line(error).rstrip(".")
