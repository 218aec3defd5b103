"""All that is known of a model, on one page."""
