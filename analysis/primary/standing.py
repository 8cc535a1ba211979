"""Standing of a sweep's declared comparison, from ``sweep.yaml`` and ``changes.jsonl``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.loading import section
from store.sheet.declaration import PARTS, SEEDS, SHOWN, hash_of, parts_in, parts_of


@dataclass(frozen=True)
class Standing:
    """Declaration of a sweep's comparison, and the changes made once test results existed.

    Attributes:
        hash: Hash of the declaration before the first test result; "" where the sweep's version noted none.
        written: When it was written, as text; "" where that is not known.
        changed: Parts that were changed once test results existed, seeds left aside.
        seeds_changed: Seeds were changed then: the comparison stands, its p value suffers.
        when: When the first of these changes was made.
        results: Test results that existed by then; None where that is not recorded.
        before: The comparison that was declared before; empty where there was none.
        agrees: What stands in ``sweep.yaml`` has the hash that stands there.
    """

    hash: str = ""
    written: str = ""
    changed: tuple[str, ...] = ()
    seeds_changed: bool = False
    when: str = ""
    results: int | None = 0
    before: Mapping[str, Any] = field(default_factory=dict)
    agrees: bool = True

    @property
    def declared(self) -> bool:
        """The comparison is the one that was declared before the first test result."""
        return self.agrees and not self.changed


def standing_of(config: Mapping[str, Any], changes: Sequence[Mapping[str, Any]] = ()) -> Standing:
    """Compare a sweep's declaration with the changes made since.

    Args:
        config: Content of ``sweep.yaml``.
        changes: Lines of ``changes.jsonl``.

    Returns:
        The standing. A version that noted no declaration noted its changes: these count all the same.

    Example:
        >>> standing_of({"primary": {"compare": ["lnl", "erm"]}}).declared
        True
        >>> late = {"what": {"primary.at": {"old": "area", "new": "strongest"}}, "test_results": 40}
        >>> standing_of({"primary": {"compare": ["lnl", "erm"], "at": "strongest"}}, [late]).before
        {'compare': ['lnl', 'erm'], 'at': 'area'}
    """
    now = section(config, "declaration")
    replaced = section(now, "replaces")
    agrees = not now or now.get("hash") == hash_of(parts_of(config))
    first = replaced or now
    late = [str(part) for part in replaced.get("changed") or ()]
    when, results = replaced.get("replaced"), replaced.get("results")
    before = section(replaced, "primary") if replaced else section(config, "primary")
    # A version that noted no declaration made its changes earlier than those that the sheet tells of.
    for change, parts in reversed(list(_unnoted(changes))):
        late += parts
        before = _primary_before(before, change)
        if set(parts) != {SEEDS}:
            when, results = change.get("when"), change.get("test_results")
    return Standing(
        hash=str(first.get("hash") or "")[:SHOWN],
        written=str(first.get("written") or ""),
        changed=tuple(part for part in PARTS if part in late and part != SEEDS),
        seeds_changed=SEEDS in late,
        when=str(when or ""),
        results=results if isinstance(results, int) else None,
        before=before,
        agrees=agrees,
    )


def _unnoted(changes: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], list[str]]]:
    """List the changes after test results of a version that kept no declaration in ``sweep.yaml``.

    Yields:
        Each change, with the parts changed.
    """
    for change in changes:
        what = change.get("what")
        # One that does not say what had been seen is not taken for harmless.
        if "declaration" in change or not isinstance(what, Mapping) or change.get("test_results") == 0:
            continue
        parts = parts_in(what)
        if parts:
            yield change, parts


def _primary_before(primary: Mapping[str, Any], change: Mapping[str, Any]) -> Mapping[str, Any]:
    """Restore the comparison as it was before a change of an older version."""
    before = dict(primary)
    for key, pair in section(change, "what").items():
        old = pair.get("old") if isinstance(pair, Mapping) else None
        if key == "primary":
            before = dict(old) if isinstance(old, Mapping) else {}
        elif key.startswith("primary."):
            before[key.partition(".")[2]] = old
    return before if before.get("compare") else {}
