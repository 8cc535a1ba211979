"""Folders of arrays: the cache, and what nodes share."""
