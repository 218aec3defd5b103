"""Builds an engine as a firmware, runs it on an emulated core, and programs boards with it."""
