"""How many more trials a cluster takes, where the trials of different methods need different things.

Pure: knows neither Ray nor files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_EPSILON = 1e-9


@dataclass(frozen=True)
class Demand:
    """What one trial takes.

    Attributes:
        cpu: Processors.
        gpu: GPUs: a whole number, or a share 1/k of one.
    """

    cpu: int
    gpu: float

    def on(self, node: Mapping[str, float]) -> int:
        """How many such trials a node takes that runs nothing else; a trial never spans two nodes."""
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
        slots: Trials at once, where the caller knows better than the nodes tell.
        ahead: Trials of each demand that may wait for a place.
    """

    def __init__(
        self, nodes: Iterable[Mapping[str, float]], demands: Iterable[Demand], slots: int | None = None, ahead: int = 0
    ) -> None:
        self._nodes = list(nodes)
        kinds = sorted(set(demands), key=lambda demand: (-demand.gpu, demand.cpu))
        self._ahead = ahead
        # A sweep whose trials fit nowhere waits with one of them, and Ray says what is missing.
        self._most = {kind: slots or max(1, sum(kind.on(node) for node in self._nodes)) for kind in kinds}
        self._cpus = sum(node.get("CPU", 0.0) for node in self._nodes)
        self._gpus = sum(node.get("GPU", 0.0) for node in self._nodes)
        self._given = slots
        self._issued: Counter[Demand] = Counter()
        self.slots = slots or max(1, self._together())

    def _together(self) -> int:
        # At its fullest: cards by the trials of which most fit on cards, what is left by those of which most fit then.
        total = 0
        for node in self._nodes:
            cpus, gpus = node.get("CPU", 0.0), node.get("GPU", 0.0)
            for with_card in (True, False):
                kinds = [kind for kind in self._most if bool(kind.gpu) == with_card]
                found = [(kind.on({"CPU": cpus, "GPU": gpus}), kind) for kind in kinds]
                count, kind = max(found, key=lambda pair: pair[0], default=(0, None))
                if kind is not None:
                    total, cpus, gpus = total + count, cpus - count * kind.cpu, gpus - count * kind.gpu
        return total

    @property
    def pending(self) -> int:
        """Trials that may be issued at once, those that wait for a place included."""
        return self.slots + self._ahead * len(self._most)

    def takes(self, demand: Demand) -> bool:
        """One more such trial may be issued."""
        if self._issued[demand] >= self._most[demand] + self._ahead:
            return False
        if len(self._most) == 1:
            return True
        if self._given is not None:
            return self._issued.total() < self._given + self._ahead
        cpus = sum(count * kind.cpu for kind, count in self._issued.items())
        gpus = sum(count * kind.gpu for kind, count in self._issued.items())
        spare = self._ahead * demand.cpu + _EPSILON, self._ahead * demand.gpu + _EPSILON
        # A trial that fits nowhere even alone must not keep the others from running.
        return not self._issued or (
            cpus + demand.cpu <= self._cpus + spare[0] and gpus + demand.gpu <= self._gpus + spare[1]
        )

    def issue(self, demand: Demand) -> None:
        """Count a trial that was issued."""
        self._issued[demand] += 1

    def release(self, demand: Demand) -> None:
        """Count a trial that ended."""
        self._issued[demand] -= 1
