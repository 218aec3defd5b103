"""The sources of the small network are those of yesterday, byte for byte.

A change that should change them makes the digests anew: `PYTHONPATH=. python
tests/edge/test_emitted_bytes.py` prints them.
"""

from __future__ import annotations

import hashlib
import pathlib
import sys
import tempfile

import pytest

if __name__ == "__main__":
    sys.path.append(str(pathlib.Path(__file__).parents[1]))

from networks import small_tflite

import edge
from edge.emit.engine.render import render_engine
from edge.engine.compile import compile_engine
from edge.engine.packing import INSTRUCTION_SETS
from edge.tflite.reader import read_graph

DIGESTS = {
    "engine: portable": "412f39bcce120dab",
    "engine: dsp": "a1fec1989d36199e",
    "engine: mve": "0d3f2aabd9211220",
    "tflm: nucleo-f446re": "00add5d0a67fcca1",
    "tflm: mps3-an547": "be8af4f3635897ba",
}
"""SHA-256 of all files together, the first sixteen digits."""


def digest(files: dict[str, bytes]) -> str:
    parts = (part for name in sorted(files) for part in (name.encode(), files[name]))
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def engine_sources(instructions: str) -> dict[str, bytes]:
    engine = compile_engine(read_graph(small_tflite()), instructions)
    return {name: text.encode() for name, text in render_engine(engine).items()}


def tflm_sources(board: str) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        edge.export(small_tflite(), board, folder)
        return {path.name: path.read_bytes() for path in pathlib.Path(folder).iterdir()}


def emitted(what: str) -> dict[str, bytes]:
    runtime, target = what.split(": ")
    return engine_sources(target) if runtime == "engine" else tflm_sources(target)


@pytest.mark.parametrize("what", DIGESTS)
def test_sources_keep_every_byte(what):
    assert digest(emitted(what)) == DIGESTS[what]


def test_every_instruction_set_has_a_digest():
    assert {f"engine: {name}" for name in INSTRUCTION_SETS} <= set(DIGESTS)


if __name__ == "__main__":
    for what in DIGESTS:
        print(f'    "{what}": "{digest(emitted(what))}",')
