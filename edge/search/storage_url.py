"""Storage URLs in messages: without their passwords."""

from __future__ import annotations

import re
from urllib.parse import unquote


def masked_url(url: str) -> str:
    """Makes a storage URL that may be shown.

    Args:
        url: Optuna's storage URL.

    Returns:
        The URL, with three asterisks in place of its password, and of what may be one behind the
        question mark.

    Example:
        >>> masked_url("postgresql://ann:secret@host/studies?password=secret")
        'postgresql://ann:***@host/studies?***'
    """
    scheme, user, password, host = _parts(url)
    shown = scheme + user + (":***" if password else "") + host
    before, mark, _ = shown.partition("?")
    return before + ("?***" if mark else "")


def masked(text: str, url: str) -> str:
    """Masks in a message what must not be shown of a storage URL.

    Args:
        text: The message, perhaps a driver's own.
        url: Optuna's storage URL.

    Returns:
        The message, with neither the password nor the options of the URL.

    Example:
        >>> masked("no password 'secret' for ann", "mysql://ann:secret@host/studies")
        "no password '***' for ann"
    """
    text = text.replace(url, masked_url(url))
    _, _, password, host = _parts(url)
    options = host.partition("?")[2].split("&")
    values = [password, *(option.partition("=")[2] for option in options)]
    secrets = {secret for value in values for secret in (value, unquote(value)) if secret}
    # The longest first: one may be a part of another.
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def _parts(url: str) -> tuple[str, str, str, str]:
    """Scheme, user, password, and the rest from the last @ on: a password may hold anything."""
    scheme = re.match(r"[\w+.-]*://|", url)[0]  # type: ignore[index] # it always matches
    rest = url.removeprefix(scheme)
    user, at, host = rest.rpartition("@")
    name, _, password = user.partition(":")
    return scheme, name, password, at + host
