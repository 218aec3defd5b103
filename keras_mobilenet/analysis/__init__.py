"""What networks cost, and the tables of the paper."""
