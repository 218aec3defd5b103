"""Writes C and C++ sources for firmware."""
