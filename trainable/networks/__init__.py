"""Networks: the registry (base.py) and one file for each."""

from __future__ import annotations

from trainable.networks.base import Blueprint, DataShape, NetworkBuilder, list_networks, register_network

__all__ = ["Blueprint", "DataShape", "NetworkBuilder", "list_networks", "register_network"]
