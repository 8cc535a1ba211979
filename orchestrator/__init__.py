"""Many trials: a sweep over cells of bias strength.

This package knows Ray and Optuna.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.config.sweep_config import SweepConfig as SweepConfig
    from orchestrator.config.sweep_file import read_config as read_config
    from orchestrator.sweep import run_sweep as run_sweep

__all__ = ["SweepConfig", "read_config", "run_sweep"]


def __getattr__(name: str) -> Any:
    # Torch and Ray take seconds to import: `lnl-sweep --help` must not wait for them.
    if name == "SweepConfig":
        from orchestrator.config.sweep_config import SweepConfig

        return SweepConfig
    if name == "read_config":
        from orchestrator.config.sweep_file import read_config

        return read_config
    if name == "run_sweep":
        from orchestrator.sweep import run_sweep

        return run_sweep
    raise AttributeError(f"module 'orchestrator' has no attribute '{name}'")
