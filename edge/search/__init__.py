"""Searches for the best network of MobileNet's family that fits a board."""
