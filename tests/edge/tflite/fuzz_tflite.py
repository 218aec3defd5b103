"""Damages real models, then reads, plans and budgets them: `fuzz_tflite.py COUNT FILE...`.

Each result must be an answer or one clear error, within five seconds and a gigabyte.
"""

from __future__ import annotations

import collections
import pathlib
import random
import signal
import sys

from edge.catalog.boards import find_board
from edge.cli.json import inspect_json
from edge.deploy.budget import budget
from edge.errors import EdgeError
from edge.memory.offline_plan import planned_model
from edge.memory.tflm_arena import NoArenaRuleError, predict_arena
from edge.memory.timeline import memory_timeline
from edge.tflite.reader import read_graph
from edge.tflite.validate import require_int8

SECONDS = 5
MOST_RESIDENT_KIB = 1 << 20
EXTREMES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutated(content: bytes, generator: random.Random) -> bytes:
    """One damaged copy: cut, bits, numbers, bytes moved, or numbers of the tables swapped."""
    data = bytearray(content)
    # Half of all damage goes to the tables, which are a small part of the file.
    reach = len(data) if generator.random() < 0.5 else min(len(data), 40_000)
    at_end = generator.random() < 0.5
    kind = generator.randrange(6)
    if kind == 0:
        return bytes(data[: generator.randrange(len(data))])
    for _ in range(generator.choice((1, 1, 2, 5, 40))):
        spot = generator.randrange(reach - 8)
        spot = len(data) - 8 - spot if at_end else spot
        if kind == 1:
            data[spot] ^= 1 << generator.randrange(8)
        elif kind == 2:
            value = generator.choice(EXTREMES)
            data[spot // 4 * 4 : spot // 4 * 4 + 4] = value.to_bytes(4, "little")
        elif kind == 3:
            data[spot] = generator.randrange(256)
        elif kind == 4:
            other = generator.randrange(reach - 8) // 4 * 4
            word = data[other : other + 4]
            data[spot // 4 * 4 : spot // 4 * 4 + 4] = word
        else:
            length = generator.randrange(1, 64)
            del data[spot : spot + length]
            data[spot:spot] = bytes(length)
    return bytes(data)


def exercise(content: bytes) -> str:
    """What `inspect`, `plan` and `fit` do with a file, without the terminal."""
    try:
        graph = read_graph(content)
        inspect_json(graph, None)
        require_int8(graph)
        try:
            predict_arena(graph)
        except NoArenaRuleError:
            return "an operator without a rule"
        planned = planned_model(graph, steps=15_000).graph
        planned_model(graph, may_overlap=True, steps=15_000)
        inspect_json(planned, memory_timeline(planned))
        budget(planned, find_board("nucleo-f446re"))
    except EdgeError as error:
        return "refused" if "\n" not in str(error) else f"more than a line: {error}"
    return "answered"


class HangError(BaseException):
    """Nothing that reads a damaged file may catch this."""


def _hang(*_: object) -> None:
    raise HangError


def main(count: int, paths: list[pathlib.Path]) -> None:
    signal.signal(signal.SIGALRM, _hang)
    models = [path.read_bytes() for path in paths]
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(count):
        generator = random.Random(number)
        content = mutated(generator.choice(models), generator)
        signal.alarm(SECONDS)
        try:
            outcomes[exercise(content)] += 1
        except BaseException:
            print(f"mutation {number}", file=sys.stderr)
            raise
        finally:
            signal.alarm(0)
    # Not getrusage's figure, which a child inherits from a larger parent.
    status = pathlib.Path("/proc/self/status").read_text()
    resident = int(status.split("VmHWM:")[1].split()[0])
    print(dict(outcomes), f"{resident // 1024} MiB")
    assert resident < MOST_RESIDENT_KIB
    assert outcomes.keys() <= {"answered", "refused", "an operator without a rule"}


if __name__ == "__main__":
    main(int(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]])
