"""Entry point of the command line, in the one module of ours whose name nobody else gives to a folder.

``orchestrator`` may be hidden by a folder or file in the current directory or on ``PYTHONPATH``. Then the code that
finds our other packages is hidden too. This file finds ``orchestrator`` beside itself.
"""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import PathFinder
from pathlib import Path


def _import_orchestrator() -> None:
    spec = PathFinder.find_spec("orchestrator", [str(Path(__file__).parent)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["orchestrator"] = module
    spec.loader.exec_module(module)


if "orchestrator" not in sys.modules:
    # On import, since ``multiprocessing`` imports the console script in the processes that it starts.
    _import_orchestrator()

from orchestrator.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
