"""Boards in software: the very image of one runs on a core, beside models of what it touches."""
