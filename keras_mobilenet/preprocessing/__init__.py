"""From pixels to a model's input."""
