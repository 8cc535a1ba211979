"""Prediction of an external test set by the models that a sweep has kept."""
