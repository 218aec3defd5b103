"""The engine as a firmware: start-up, linking, emulation."""
