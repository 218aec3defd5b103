"""The quantization-aware layers."""
