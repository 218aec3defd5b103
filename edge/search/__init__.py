"""The search for the best network that fits a board."""
