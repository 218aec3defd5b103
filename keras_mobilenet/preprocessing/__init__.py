"""From the pixels of a camera or a file to a model's input."""
