"""Labelled images, and training on them."""
