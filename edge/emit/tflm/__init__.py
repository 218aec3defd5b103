"""Sources for firmware that runs a model on TFLite Micro."""
