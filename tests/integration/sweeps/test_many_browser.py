"""The report of 18 methods at 8 strengths in a real headless Chromium: nothing is cut, nothing lies over another."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import analysis

CHROMIUM = next((p for name in ("chromium", "chromium-browser") if (p := shutil.which(name))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]
WRITERS = Path(__file__).parents[2] / "analysis"
A4 = 718
"""Pixels of an A4 page between Chromium's own margins."""
OVERLAPS = """(id) => {
  const svgs = [...document.querySelectorAll(`#${id} .main-svg`)], around = svgs[0].getBoundingClientRect();
  const texts = svgs.flatMap((svg) => [...svg.querySelectorAll('text')])
    .filter((t) => t.textContent.trim() && t.getBoundingClientRect().width > 0)
    .map((t) => ({ text: t.textContent, box: t.getBoundingClientRect() }));
  const cut = texts.filter(({ box: b }) =>
    b.left < around.left - 1 || b.right > around.right + 1 || b.top < around.top - 1 || b.bottom > around.bottom + 1);
  const pairs = [];
  for (const [i, a] of texts.entries()) for (const b of texts.slice(i + 1)) {
    const wide = Math.min(a.box.right, b.box.right) - Math.max(a.box.left, b.box.left);
    const high = Math.min(a.box.bottom, b.box.bottom) - Math.max(a.box.top, b.box.top);
    if (wide > 2 && high > 3) pairs.push([a.text, b.text]);
  }
  return { count: texts.length, cut: cut.map((t) => t.text), pairs };
}"""
TABLES = """() => [...document.querySelectorAll('.scroll')]
  .filter((s) => s.offsetParent && !s.closest('details:not([open])') && s.scrollWidth > s.clientWidth + 1)
  .map((s) => [s.closest('section').id, s.scrollWidth, s.clientWidth])"""


def writer(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"lnl_sweep_{name}_browser", WRITERS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a SYNTHETIC sweep of 18 methods, with an external test set."""
    folder = writer("many_methods").write_many(tmp_path_factory.mktemp("browser") / "s", writer("synthetic"))
    for part in sorted((folder / "predictions").glob("*.parquet")):
        rows = pq.read_table(part)
        other = pa.array(["external:other hospital"] * len(rows), rows.schema.field("variant").type)
        place = rows.schema.get_field_index("variant")
        pq.write_table(
            rows.set_column(place, "variant", other), part.with_name(f"{part.name.split('.')[0]}.0001-d-000009.parquet")
        )
    return Path(analysis.write_report(folder))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def opened(browser: Any, report: Path, width: int, scheme: str = "light") -> tuple[Any, list[str]]:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.goto(report.as_uri())
    page.wait_for_selector("#figure-curve .scatterlayer .trace")
    page.wait_for_timeout(500)
    return page, errors


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (800, "light"), (390, "light")])
def test_no_text_of_the_panels_is_cut_or_lies_over_another(browser: Any, report: Path, width: int, scheme: str) -> None:
    page, errors = opened(browser, report, width, scheme)
    found = page.evaluate(OVERLAPS, "figure-curve")
    assert found["count"] > 16 and found["cut"] == [] and found["pairs"] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert errors == []
    page.close()


def test_no_table_is_cut_on_a_screen(browser: Any, report: Path) -> None:
    page, errors = opened(browser, report, 1200)
    assert page.locator("#external table").count() >= 1
    assert page.evaluate(TABLES) == [] and errors == []
    page.close()


def test_nothing_is_cut_on_paper(browser: Any, report: Path, tmp_path: Path) -> None:
    page, errors = opened(browser, report, A4)
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.wait_for_timeout(500)
    found = page.evaluate(OVERLAPS, "figure-curve")
    assert found["cut"] == [] and found["pairs"] == []
    # One page holds the picture whole: 1046 pixels are the height of A4 between the margins.
    assert page.evaluate("document.getElementById('figure-curve').getBoundingClientRect().height") < 1046
    wide = page.evaluate(
        "[...document.querySelectorAll('table')].filter(t => t.offsetParent && !t.closest('details:not([open])'))"
        ".map(t => [t.closest('section')?.id, t.getBoundingClientRect().right])"
        ".filter(([, right]) => right > innerWidth)"
    )
    assert wide == [] and errors == []
    assert len(page.pdf(format="A4")) > 50_000
    page.close()


def test_switching_the_axis_keeps_every_panel(browser: Any, report: Path) -> None:
    page, errors = opened(browser, report, 1200)
    before = page.locator("#figure-curve .annotation-text").all_text_contents()
    page.get_by_role("button", name="bias strength").click()
    page.wait_for_timeout(300)
    after = page.locator("#figure-curve .annotation-text").all_text_contents()
    assert set(before) - set(after) <= {before[0]} and len(after) == len(before)
    assert page.evaluate(OVERLAPS, "figure-curve")["cut"] == [] and errors == []
    page.close()
