"""From a graph to another graph."""
