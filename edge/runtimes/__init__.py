"""LiteRT and TFLite Micro, each in a process of its own."""
