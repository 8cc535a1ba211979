"""What holds for all tests."""

from __future__ import annotations

from collections.abc import Generator

import pytest

LONGEST = ("pages/test_pages", "sweeps/test_atlas", "s3/test_s3")
"""Parts of the names of the longest files, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first: the last one to be begun would keep one process busy, and the others idle."""
    items.sort(key=lambda item: next((k for k, name in enumerate(LONGEST) if name in item.nodeid), len(LONGEST)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write out halves of characters that a test has logged: xdist cannot send them, and ends the whole run."""
    report = yield
    report.sections = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in report.sections]
    return report
