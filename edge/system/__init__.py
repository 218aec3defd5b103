"""Files that are written whole or not at all, child processes, and signals."""
