"""Reports what a model costs on a board and what it loses in int8, as one HTML page."""
