"""The boards that the project knows."""
