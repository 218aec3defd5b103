"""Programs of several models, and what they are linked from."""
