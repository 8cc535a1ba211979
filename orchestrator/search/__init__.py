"""Searches and the order of trials: knows neither Ray nor files."""
