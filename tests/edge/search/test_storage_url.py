"""No message shows a storage's password, and a missing driver is named."""

import urllib.parse

import pytest

from edge.errors import EdgeError
from edge.search.storage import open_storage
from edge.search.storage_url import masked, masked_url

PASSWORDS = ("secret", "s@cret", "s:c/ret", "se?cret", "%73ecret", "a b", "se://cret")
URLS = (
    "postgresql://ann:{}@localhost/studies",
    "mysql+no_such_driver://ann:{}@localhost/studies",
    "no_such_database://ann:{}@localhost/studies",
    "redis://:{}@localhost",
    "ann:{}@localhost/studies",
    "sqlite:////nowhere/study.db?password={}",
)


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("password", PASSWORDS)
@pytest.mark.parametrize("is_quoted", [False, True])
def test_no_password_is_shown(url, password, is_quoted, monkeypatch):
    monkeypatch.setattr("edge.search.storage.OPEN_ATTEMPTS", 1)
    quoted = urllib.parse.quote(password, safe="")
    with pytest.raises(EdgeError) as refused:
        open_storage(url.format(quoted if is_quoted else password))
    message = str(refused.value)
    assert password not in message
    assert quoted not in message
    assert "\n" not in message
    assert "***" in message


@pytest.mark.parametrize(
    ("scheme", "driver"), [("postgresql+pg8000", "pg8000"), ("mysql+pymysql", "pymysql")]
)
def test_a_missing_driver_is_named(scheme, driver):
    with pytest.raises(EdgeError, match=f"driver that is not installed: {driver}"):
        open_storage(f"{scheme}://ann:secret@localhost/studies")


@pytest.mark.parametrize("url", ["sqlite:////tmp/study.db", "sqlite://", "mysql://ann@host/x", ""])
def test_a_url_without_a_password_is_shown_whole(url):
    assert masked_url(url) == url
    assert masked(f"no {url}.", url) == f"no {url}."
