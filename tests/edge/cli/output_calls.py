"""Runs command lines that have nowhere to write to, each in a fork, without the rights of root.

Reads one call as JSON per line, its folder and its arguments, and prints what came of it.
"""

import json
import os
import pathlib
import sys

import wrong_calls

if __name__ == "__main__":
    os.environ["TMPDIR"] = sys.argv[1]
    wrong_calls.load("light")
    wrong_calls.heed_permissions()
    for line in sys.stdin:
        folder, arguments = json.loads(line)
        print(json.dumps(wrong_calls.run(arguments, pathlib.Path(folder))), flush=True)
