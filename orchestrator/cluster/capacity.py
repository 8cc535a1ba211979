"""Capacity of a cluster for trials of methods that need different resources.

Pure: knows neither Ray nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Shares 1/k are rounded: k of them must count as one whole GPU all the same.
_EPSILON = 1e-9


@dataclass(frozen=True)
class Demand:
    """Resources that one trial takes.

    Attributes:
        cpu: Processors.
        gpu: GPUs: a whole number, or a share 1/k of one.

    Example:
        >>> Demand(cpu=2, gpu=1 / 4).on({"CPU": 16.0, "GPU": 1.0})
        4
    """

    cpu: int
    gpu: float

    def on(self, node: Mapping[str, float]) -> int:
        """Number of such trials that an idle node holds.

        A trial never spans two nodes.
        """
        trials = int(node.get("CPU", 0.0) // self.cpu)
        return min(trials, self._on_cards(node.get("GPU", 0.0))) if self.gpu else trials

    def _on_cards(self, cards: float) -> int:
        # A share lies on one card: three quarters of a card left over on two cards hold no trial of 1/2 and one of 1/4.
        return int(cards) * int(1 / self.gpu + _EPSILON) if self.gpu < 1 else int(cards / self.gpu + _EPSILON)


class Capacity:
    """Counts the trials that were issued, against what a cluster holds.

    Args:
        nodes: Resources of each node.
        demands: What the sweep's trials take.
        slots: Number of trials that run at once; None = as many as the nodes hold.
        ahead: Number of trials of each demand that may wait for a slot.

    Attributes:
        slots: Trials that run at once when the cluster is full.
        misfits: Demands that no node can meet.

    Example:
        >>> small, large = Demand(1, 0.0), Demand(2, 1.0)
        >>> capacity = Capacity([{"CPU": 4.0, "GPU": 1.0}], [small, large])
        >>> capacity.issue(large)
        >>> capacity.takes(large), capacity.takes(small)
        (False, True)
    """

    def __init__(
        self, nodes: Iterable[Mapping[str, float]], demands: Iterable[Demand], slots: int | None = None, ahead: int = 0
    ) -> None:
        self._kinds = sorted(set(demands), key=lambda demand: (-demand.gpu, demand.cpu))
        self._ahead = ahead
        self._given = slots
        self._issued: Counter[Demand] = Counter()
        self._count(list(nodes))

    def _count(self, nodes: list[Mapping[str, float]]) -> None:
        self._nodes = nodes
        self._alone = {kind: self._given or sum(kind.on(node) for node in nodes) for kind in self._kinds}
        self.misfits = frozenset(kind for kind, count in self._alone.items() if not count)
        self._most = {kind: count + self._ahead for kind, count in self._alone.items() if count}
        self._cpus = sum(node.get("CPU", 0.0) for node in nodes)
        self._gpus = sum(node.get("GPU", 0.0) for node in nodes)
        self.slots = self._given or max(1, self._together(), *self._alone.values())

    def grow(self, nodes: Iterable[Mapping[str, float]]) -> bool:
        """Count again, where nodes have joined.

        A cluster that has only lost some is counted as it was: trials that wait are what brings them back.

        Args:
            nodes: Resources of each node that there is now.

        Returns:
            Whether it takes more trials of some demand than before.
        """
        larger = list(nodes)
        more = any(sum(kind.on(node) for node in larger) > count for kind, count in self._alone.items())
        if self._given is None and more:
            self._count(larger)
            return True
        return False

    def _together(self) -> int:
        # Each node's cards by the trials of which most fit there, what is left by those of which most fit then. No
        # more than a bound is needed: Ray places the trials.
        total = 0
        for node in self._nodes:
            cpus, gpus = node.get("CPU", 0.0), node.get("GPU", 0.0)
            for with_card in (True, False):
                kinds = [kind for kind in self._most if bool(kind.gpu) == with_card]
                counts = [(kind.on({"CPU": cpus, "GPU": gpus}), kind) for kind in kinds]
                count, kind = max(counts, key=lambda pair: pair[0], default=(0, None))
                if kind is not None:
                    total, cpus, gpus = total + count, cpus - count * kind.cpu, gpus - count * kind.gpu
        return total

    def takes(self, demand: Demand) -> bool:
        """Tell if one more such trial may be issued."""
        if demand in self.misfits:
            # One waits, so that a cluster grows or Ray says what is missing; it takes no place from the others.
            return not self._issued[demand]
        if self._issued[demand] >= self._most[demand]:
            return False
        if len(self._most) == 1:
            return True
        issued = {kind: count for kind, count in self._issued.items() if kind not in self.misfits}
        if self._given is not None:
            return sum(issued.values()) < self._given + self._ahead
        cpus = sum(count * kind.cpu for kind, count in issued.items())
        gpus = sum(count * kind.gpu for kind, count in issued.items())
        return (
            cpus + demand.cpu <= self._cpus + self._ahead * demand.cpu + _EPSILON
            and gpus + demand.gpu <= self._gpus + self._ahead * demand.gpu + _EPSILON
        )

    def issue(self, demand: Demand) -> None:
        """Count a trial as issued."""
        self._issued[demand] += 1

    def release(self, demand: Demand) -> None:
        """Count a trial as ended."""
        self._issued[demand] -= 1
