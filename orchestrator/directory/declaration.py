"""Declaration in ``sweep.yaml``: a hash of what a sweep tests, and the declaration that a late change replaced."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from store.sheet.declaration import SEEDS, SHOWN, changed_parts, hash_of, parts_of


def now() -> str:
    """Present time as the sheet and ``changes.jsonl`` write it, in UTC and to the second.

    Example:
        >>> datetime.fromisoformat(now()).tzinfo is UTC
        True
    """
    return datetime.now(UTC).isoformat(timespec="seconds")


def declaration_of(config: Mapping[str, Any], written: str | None) -> dict[str, Any]:
    """Declaration of a configuration, as it stands in ``sweep.yaml``.

    Args:
        config: The resolved configuration.
        written: Time at which it was first written; None where a version wrote it that did not note the time.

    Example:
        >>> entry = declaration_of({"primary": {"compare": ["lnl", "erm"]}}, "2026-01-31T12:00:00+00:00")
        >>> list(entry), len(entry["parts"]["primary"])
        (['hash', 'written', 'parts'], 12)
    """
    parts = parts_of(config)
    short = {name: hash_of(part)[:SHOWN] for name, part in parts.items()}
    return {"hash": hash_of(parts), "written": written, "parts": short}


def next_declaration(
    sheet: Mapping[str, Any], old: Mapping[str, Any], new: Mapping[str, Any], results: int, when: str
) -> dict[str, Any]:
    """Declaration after a change of a sweep.

    Before the first test result, a change makes a new declaration. Later the declaration from before the results is
    kept beside it, with the parts that differ from it. Where a later change restores all of them, it is valid again.

    Args:
        sheet: Content of ``sweep.yaml`` before the change.
        old: The configuration in it, as this version reads it.
        new: The configuration after the change.
        results: Confirm rows that exist by now.
        when: Time of the change.
    """
    changed = changed_parts(old, new)
    stood = sheet.get("declaration")
    before = dict(stood) if isinstance(stood, Mapping) else declaration_of(old, None)
    earlier = before.pop("replaces", None)
    if not changed:
        # A newer version may hash the same otherwise; the time is still that at which it was declared.
        after = {**declaration_of(new, before.get("written")), "replaces": earlier}
        return {name: value for name, value in after.items() if name != "replaces" or value}
    after = declaration_of(new, when)
    if not results and not earlier:
        return after
    first = earlier or {**before, "primary": old.get("primary"), "results": results, "replaced": when, "changed": []}
    differ = {*first["changed"], *changed}
    differ = {name for name in differ if first["parts"].get(name) != after["parts"][name]}
    if not differ:
        return {**after, "written": first["written"]}
    if set(first["changed"]) == {SEEDS} and differ != {SEEDS}:
        # Seeds may have been added before; this is the change that makes it descriptive.
        first = {**first, "results": results, "replaced": when}
    return {**after, "replaces": {**first, "changed": [name for name in after["parts"] if name in differ]}}
