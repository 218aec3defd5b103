"""Finds the layers where an int8 model loses accuracy, and says what to do about them."""
