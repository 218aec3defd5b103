"""Minds Ctrl-C from the first import on, if this process is the command line."""

import os
import sys

from edge.system.signals import end_at_once

# `python -m edge` has this in place of the program's name while it looks for the package.
if os.path.basename("".join(sys.argv[:1])) in ("-m", "keras-mobilenet"):
    end_at_once()
