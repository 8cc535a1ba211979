"""Sweep files that ship with lnl-sweep."""
