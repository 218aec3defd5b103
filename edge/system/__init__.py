"""Files, subprocesses and signals."""
