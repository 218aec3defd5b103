"""Where an int8 model loses accuracy."""
