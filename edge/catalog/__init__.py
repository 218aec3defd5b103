"""The catalog of boards: cores, memory banks and how each is programmed, with sources."""
