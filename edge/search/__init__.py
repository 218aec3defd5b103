"""Searches for the best MobileNetV1 that fits a board."""
