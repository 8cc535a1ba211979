"""The folder of synthetic results that the tests of ``analysis`` read too."""

from __future__ import annotations

from tests.analysis.conftest import sweep_dir, synthetic

__all__ = ["sweep_dir", "synthetic"]
