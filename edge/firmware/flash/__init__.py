"""Programs boards: the ways that each can be programmed, and the tools and drives on them."""
