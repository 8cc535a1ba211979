"""Run of a sweep by one driver: the objects that its parts share."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console

from orchestrator.budget import Budget
from orchestrator.config.sweep_config import SweepConfig
from orchestrator.directory.writer import Writer
from orchestrator.interruption import Interruption
from orchestrator.progress import Progress
from orchestrator.search.dispatch import Dispatcher


@dataclass(frozen=True)
class Options:
    """Options of a run, as opposed to the sweep itself.

    Attributes:
        address: Ray cluster to connect to; None = ``RAY_ADDRESS`` or a Ray of our own.
        cpus: Processors of a Ray of our own; None = all that this process may use.
        slots: Trials at once; None = as many as the cluster holds at its largest, nodes that join later included.
        mix_versions: Go on although numerics, the source of a method or of the network, or its weights file differ from
            those of the rows.
        failed: Run failed trials again.
        only: Run only these cells, e.g. ``method=lnl,rho=0.9``; None = all.
        console: Console that shows the progress.
        interruption: Handles the signals that end the sweep; a new one by default.

    Example:
        >>> Options(slots=4, only="method=lnl").slots
        4
    """

    address: str | None = None
    cpus: int | None = None
    slots: int | None = None
    mix_versions: bool = False
    failed: bool = False
    only: str | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True))
    interruption: Interruption = field(default_factory=Interruption)

    def print(self, sentence: str) -> None:
        """Show a sentence on the console, uncut."""
        self.console.print(sentence, highlight=False, soft_wrap=True)


@dataclass(frozen=True)
class Run:
    """Run of a sweep, from its lease to the last row.

    Attributes:
        dispatcher: What is planned and done.
        writer: Writes the rows.
        progress: Shows them.
        options: Options of the run.
        data: Checksum of the data set where it is made of files, of which a node may have others; else None.
    """

    dispatcher: Dispatcher
    writer: Writer
    progress: Progress
    options: Options
    data: str | None = None

    @property
    def config(self) -> SweepConfig:
        """Resolved configuration of the sweep."""
        return self.dispatcher.config

    @property
    def budget(self) -> Budget:
        """Time and money that the sweep may use, and has used."""
        return self.progress.budget
