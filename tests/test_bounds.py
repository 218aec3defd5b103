"""The bounds of the fuzzers notice what goes beyond them, and let the rest pass."""

import json
import resource

import bounds
import numpy as np
import pytest


def never_ending():
    while True:
        pass


def test_work_that_holds_too_much_is_an_error():
    usage = bounds.Usage()
    with pytest.raises(MemoryError, match="MiB"), bounds.bounded(usage):
        np.ones(bounds.MOST_BYTES + (64 << 20), np.uint8)
    assert usage.mebibytes > 1024


def test_an_allocation_beyond_the_machine_fails():
    before = resource.getrlimit(resource.RLIMIT_AS)
    with pytest.raises(MemoryError), bounds.bounded(bounds.Usage()):
        np.ones(2 * bounds.ADDRESS_BYTES, np.uint8)
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_work_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(bounds, "SECONDS", 0.2)
    with pytest.raises(bounds.HangError), bounds.bounded(bounds.Usage()):
        never_ending()


def test_work_within_the_bounds_passes():
    usage = bounds.Usage()
    with bounds.bounded(usage):
        np.ones(100 << 20, np.uint8)
    assert 90 <= usage.mebibytes < 200
    assert usage.seconds < bounds.SECONDS


def test_a_log_keeps_what_this_code_did_and_no_other(tmp_path):
    path = tmp_path / "log"
    bounds.Log(path, ["bounds"]).write(250, {"count": 250})
    path.write_text(path.read_text() + json.dumps({"seed": 0, "count": 250, "code": "old"}) + "\n")
    assert list(bounds.Log(path, ["bounds"]).done) == [250]
