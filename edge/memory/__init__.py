"""TFLite Micro's memory, planned to the byte."""
