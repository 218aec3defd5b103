"""Where each tensor lies in RAM, and how much RAM that takes."""
