"""Many trials: a sweep over cells of bias strength. Knows Ray and Optuna."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.config import SweepConfig as SweepConfig
    from orchestrator.config import read_config as read_config
    from orchestrator.sweep import run_sweep as run_sweep

__all__ = ["SweepConfig", "read_config", "run_sweep"]


def __getattr__(name: str) -> Any:
    # Torch and Ray take seconds to import: `lnl-sweep --help` must not wait for them.
    if name in ("SweepConfig", "read_config"):
        from orchestrator import config

        return getattr(config, name)
    if name == "run_sweep":
        from orchestrator.sweep import run_sweep

        return run_sweep
    raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
