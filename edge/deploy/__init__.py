"""Budget, export, build and proof of a model on a board."""
