"""The streaming engine's compiler: layers, schedule and packed weights."""
