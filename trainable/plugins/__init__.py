"""Plug-ins: a user's own data sets, methods and networks as text that travels with a sweep."""

from __future__ import annotations

from trainable.plugins.finder import source_of
from trainable.plugins.loading import is_loaded, load_object, load_plugins, loaded_plugins, module_of
from trainable.plugins.plugin import Plugin
from trainable.plugins.reading import read_plugin

__all__ = [
    "Plugin",
    "is_loaded",
    "load_object",
    "load_plugins",
    "loaded_plugins",
    "module_of",
    "read_plugin",
    "source_of",
]
