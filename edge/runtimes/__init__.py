"""LiteRT and TFLite Micro in child processes, and what TFLite Micro supports and takes."""
