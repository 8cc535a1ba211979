"""The report in a real headless Chromium, with the network off."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import analysis

CHROMIUM = next((p for name in ("chromium", "chromium-browser") if (p := shutil.which(name))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed")

SYNTHETIC = Path(__file__).parents[1] / "analysis" / "synthetic.py"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a SYNTHETIC sweep."""
    spec = importlib.util.spec_from_file_location("lnl_sweep_synthetic_browser", SYNTHETIC)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return analysis.write_report(module.write_sweep(tmp_path_factory.mktemp("browser") / "s"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as p:
        started = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


class Page:
    """An open report with what it asked for and complained of."""

    def __init__(self, browser: Any, report: Path, **options: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **options)
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda e: self.errors.append(str(e)))
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.goto(report.as_uri())
        self.page.wait_for_selector("#figure-curve .scatterlayer .trace")

    def js(self, code: str) -> Any:
        return self.page.evaluate(code)

    def means(self) -> dict[str, list[float]]:
        """Mean lines of the curve that are shown."""
        lines = self.js(
            "document.getElementById('figure-curve').data.filter(t => t.meta === 'mean')"
            ".map(t => [t.legendgroup, Array.from(t.y._inputArray ?? t.y)])"
        )
        return {name: [round(v, 4) for v in values] for name, values in lines}


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Page]:
    page = Page(browser, report, viewport={"width": 1200, "height": 900})
    yield page
    page.context.close()


def test_it_opens_offline_without_requests_or_errors(opened: Page) -> None:
    opened.page.mouse.wheel(0, 20_000)
    opened.page.wait_for_timeout(300)
    assert opened.errors == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in opened.requests)
    drawn = opened.js("[...document.querySelectorAll('.plot')].filter(d => d.querySelector('.main-svg')).length")
    assert drawn == opened.js("document.querySelectorAll('.plot').length") >= 4


def test_rule_buttons_switch_curve_and_table(opened: Page) -> None:
    headline = opened.means()
    cell = opened.page.locator("#table td:visible").first.inner_text()
    opened.page.get_by_role("button", name="biased validation", exact=True).click()
    biased = opened.means()
    assert biased.keys() == headline.keys()
    assert all(b < h for name in headline for b, h in zip(biased[name], headline[name], strict=True))
    assert opened.page.locator("#table td:visible").first.inner_text() != cell
    assert opened.page.locator('[aria-pressed="true"]').inner_text() == "biased validation"
    opened.page.get_by_role("button", name="oracle").click()
    assert opened.means() == headline, "the oracle chose the same configurations"
    assert "oracle" in opened.page.locator("#figure-curve").get_attribute("aria-label")
    assert opened.errors == []


def test_the_legend_toggles_line_band_and_dots_together(opened: Page) -> None:
    state = (
        "document.getElementById('figure-curve').data.filter(t => t.legendgroup.startsWith('erm'))"
        ".map(t => [t.meta, t.visible ?? true])"
    )
    assert opened.js(state) == [["band", True], ["dots", True], ["mean", True]]
    opened.page.locator("#figure-curve .legendtoggle").nth(1).click()
    opened.page.wait_for_timeout(600)
    assert opened.js(state) == [["band", "legendonly"], ["dots", "legendonly"], ["mean", "legendonly"]]
    opened.page.get_by_role("button", name="oracle").click()
    assert opened.js(state)[0][1] == "legendonly", "switching rules keeps what is hidden hidden"


def test_hover_tells_interval_seeds_and_hyperparameters(opened: Page) -> None:
    box = opened.js(
        "(() => { const d = document.getElementById('figure-curve'), f = d._fullLayout, "
        "t = d.data.find(t => t.meta === 'mean' && t.legendgroup.startsWith('lnl')), r = d.getBoundingClientRect();"
        "return [r.x + f.xaxis._offset + f.xaxis.c2p(0.02) - 3, r.y + f.yaxis._offset + f.yaxis.c2p("
        "Array.from(t.y._inputArray ?? t.y)[3])]; })()"
    )
    opened.page.mouse.move(*box)
    opened.page.wait_for_selector("#figure-curve .hovertext")
    text = opened.page.locator("#figure-curve .hovertext").first.text_content()
    assert "95 %, seeds and images" in text and "5 of 5 seeds" in text and "lr" in text


def test_the_download_holds_the_tables_numbers(opened: Page) -> None:
    with opened.page.expect_download() as caught:
        opened.page.locator("#table a:visible").click()
    csv = Path(caught.value.path()).read_text("utf-8")
    assert caught.value.suggested_filename == "synthetic-val_counterfactual.csv"
    cells = opened.page.locator("#table td:visible").all_inner_texts()
    assert len(cells) == 16
    for cell in cells:
        assert ",".join(re.findall(r"\d+\.\d+", cell)) in csv


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_scrolls_tables_not_the_page(browser: Any, report: Path, scheme: str) -> None:
    page = Page(browser, report, viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.js("document.documentElement.scrollWidth") <= 390
    assert page.js("document.getElementById('figure-curve').getBoundingClientRect().width") <= 390
    assert page.errors == []
    page.context.close()


def test_figures_follow_the_colour_scheme(opened: Page) -> None:
    font = "document.getElementById('figure-curve').layout.font.color"
    opened.page.emulate_media(color_scheme="light")
    opened.page.wait_for_timeout(200)
    light = opened.js(font)
    opened.page.emulate_media(color_scheme="dark")
    opened.page.wait_for_timeout(200)
    assert opened.js(font) != light


def test_without_scripts_the_headline_table_is_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#table td:visible").count() == 16
    context.close()
