"""C sources of the engine."""
