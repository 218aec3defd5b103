"""A runtime's sources in the shape of an ecosystem: a library, a component, a module."""
