"""Networks: blocks, builders and pretrained weights."""
