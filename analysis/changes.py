"""Changes of a sweep after its start, and the number of seeds added once test results existed."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.loading import read_config, section
from store.errors import DamagedFile
from store.open import Location, SweepFiles, as_list, open_folder
from store.parts import owner_of
from store.sealed import KEY, is_whole
from store.sheet.sheet import seeds_of_rules

CHANGES = "changes.jsonl"
SEEDS_ADDED = "seeds_added"
"""Column of the trials: confirm seeds of the row's sweep that were added after test results existed."""


def read_changes(folder: SweepFiles) -> tuple[Mapping[str, Any], ...]:
    """Read the valid lines of ``changes.jsonl``, the oldest first.

    A line that is damaged or missing is warned of: an extension that is not known makes p values too small.

    Args:
        folder: The sweep's folder, open.

    Returns:
        The changes; none where there is no such file.

    Example:
        >>> from analysis.examples import example_folder
        >>> read_changes(open_folder(example_folder()))  # the example was never extended
        ()
    """
    address, changes = f"{folder.name}/{CHANGES}", []
    lines, owner = _lines(folder), owner_of(folder)
    for number, line in enumerate(lines, start=1):
        change = read_change(line, owner.sweep)
        if change is None:
            warnings.warn(f"left out line {number} of {address}: it is damaged, or of another sweep", stacklevel=2)
        else:
            changes.append(change)
    missing = missing_lines(folder)
    if missing:
        warnings.warn(f"left out {missing} lines of {address}: sweep.yaml counts them, but they are gone", stacklevel=2)
    return tuple(changes)


def missing_lines(folder: SweepFiles) -> int:
    """Count the lines of ``changes.jsonl`` that are gone, by the number in ``sweep.yaml``.

    Args:
        folder: The sweep's folder, open.

    Returns:
        The number, 0 where ``sweep.yaml`` counts none.

    Example:
        >>> from analysis.examples import example_folder
        >>> missing_lines(open_folder(example_folder()))
        0
    """
    noted = section(read_config(folder), "provenance").get("changes")
    return max(0, noted - len(_lines(folder))) if isinstance(noted, int) else 0


def _lines(folder: SweepFiles) -> list[str]:
    try:
        return folder.read(CHANGES).decode("utf-8", "replace").splitlines()
    except DamagedFile as error:
        warnings.warn(f"left out {folder.name}/{CHANGES}: {error}", stacklevel=3)
        return []
    except OSError:
        return []


def read_change(line: str, sweep: str | None) -> Mapping[str, Any] | None:
    """Read a line of ``changes.jsonl``.

    Args:
        line: The line.
        sweep: Identifier of the sweep; None where it has none.

    Returns:
        The change; None where the line is damaged, or of another sweep.

    Example:
        >>> read_change('{"what": {"confirm.seeds": {"old": 5, "new": 8}}}', None)
        {'what': {'confirm.seeds': {'old': 5, 'new': 8}}}
        >>> read_change('{"what": {"confirm', None) is None  # cut off
        True
    """
    try:
        change = json.loads(line)
    # Brackets nested thousands deep, as in a damaged line, end in a RecursionError.
    except (ValueError, RecursionError):
        return None
    # Each line has a checksum of its own, as a small JSON file has.
    if not isinstance(change, dict) or (KEY in change and not is_whole("changes.json", line.encode())):
        return None
    if sweep is not None and (KEY not in change or change.get("sweep") != sweep):
        return None
    return {key: value for key, value in change.items() if key not in (KEY, "sweep")}


def seeds_added(changes: Sequence[Mapping[str, Any]]) -> int:
    """Count the confirm seeds that were added after test results existed.

    ``confirm.seeds``, the seeds that an entry of ``confirm.rules`` has of its own, ``confirm.splits`` (a split counts
    as one) and ``search.repeats`` count; the one that grew most stands for all. A number that the sweep had asked for
    before is not counted again, and an extension whose line does not say what had been seen is left to the warnings.

    Args:
        changes: What ``read_changes`` returned.

    Returns:
        The number of seeds; 5 -> 8 gives 3.

    Example:
        >>> change = {"what": {"confirm.seeds": {"old": 5, "new": 8}}}
        >>> seeds_added([{**change, "test_results": 40}]), seeds_added([{**change, "test_results": 0}])
        (3, 0)
    """
    most: dict[str, int] = {}
    added: dict[str, int] = {}
    for change in changes:
        seen, what = change.get("test_results"), change.get("what")
        for name, old, new in _steps(what) if isinstance(what, Mapping) else ():
            reached = max(most.get(name, 0), old)
            if isinstance(seen, int) and seen > 0:
                added[name] = added.get(name, 0) + max(0, new - reached)
            most[name] = max(reached, new)
    return max(added.values(), default=0)


def mark_seeds_added(trials: pd.DataFrame, directories: Location | Sequence[Location]) -> pd.DataFrame:
    """Add the column ``seeds_added``, which the captions of ``accuracy_vs_bias`` and other tables use.

    Args:
        trials: What ``analysis.load`` returned for the same folders.
        directories: The sweep's folder, or several.

    Returns:
        The trials with the column.

    Raises:
        InputError: Not a sweep's folder.

    Example:
        >>> import analysis
        >>> trials = analysis.mark_seeds_added(analysis.example(), analysis.example_folder())
        >>> trials["seeds_added"].unique().tolist()
        [0]
    """
    folders = [open_folder(address) for address in as_list(directories)]
    counts = {folder.name: seeds_added(read_changes(folder)) for folder in folders}
    return trials.assign(**{SEEDS_ADDED: trials["directory"].map(counts).fillna(0).astype(int)})


def added_by_sweep(trials: pd.DataFrame) -> dict[str, int]:
    """Count the seeds added after results had been seen, of each sweep.

    Args:
        trials: Trial rows, with ``seeds_added`` where ``mark_seeds_added`` added it.

    Returns:
        Numbers by sweep; empty where the trials do not carry them.

    Example:
        >>> added_by_sweep(pd.DataFrame({"sweep": ["a", "a", "b"], "seeds_added": [3, 3, 0]}))
        {'a': 3, 'b': 0}
    """
    if SEEDS_ADDED not in trials:
        return {}
    return {str(sweep): int(n) for sweep, n in trials.groupby("sweep")[SEEDS_ADDED].max().items()}


def added_words(counts: Mapping[str, int]) -> str:
    """Write the sentence that stands beside a p value or an interval where seeds were added late.

    Args:
        counts: Seeds added by sweep, of the sweeps that the text speaks of.

    Returns:
        The sentence; "" where no seed was added late.

    Example:
        >>> added_words({"study": 3})
        '3 seeds were added after results had been seen, which makes p values too small.'
    """
    late = {name: n for name, n in counts.items() if n}
    if not late:
        return ""
    named = len(counts) > 1
    words = " and ".join(f"{n} seed{'' if n == 1 else 's'}{f' of {name}' if named else ''}" for name, n in late.items())
    was = "was" if list(late.values()) == [1] else "were"
    return f"{words} {was} added after results had been seen, which makes p values too small."


def _steps(what: Mapping[str, Any]) -> list[tuple[str, int, int]]:
    """List the numbers of seeds before and after a change, of all rules and of a rule that has its own."""
    steps = []
    for key, change in what.items():
        old, new = (change.get("old"), change.get("new")) if isinstance(change, Mapping) else (None, None)
        if (
            key in ("confirm.seeds", "confirm.splits", "search.repeats")
            and isinstance(old, int)
            and isinstance(new, int)
        ):
            steps.append((key, old, new))
        elif key == "confirm.rules":
            before, after = (seeds_of_rules(rules) for rules in (old, new))
            # NaN, which differs from itself, is a rule without a number of its own: "confirm.seeds" counts for it.
            both = [rule for rule in before if rule in after and before[rule] == before[rule]]
            steps += [(rule, int(before[rule]), int(after[rule])) for rule in both if after[rule] == after[rule]]
    return steps
