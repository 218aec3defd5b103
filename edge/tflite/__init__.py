"""A .tflite file as a graph: read, checked, computed and written."""
