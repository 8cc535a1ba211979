"""The report in a real headless Chromium, with the network off."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import analysis

CHROMIUM = next((p for name in ("chromium", "chromium-browser") if (p := shutil.which(name))), None)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Debian's chromium is not installed"),
]

SYNTHETIC = Path(__file__).parents[2] / "analysis" / "synthetic.py"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a SYNTHETIC sweep."""
    spec = importlib.util.spec_from_file_location("lnl_sweep_synthetic_browser", SYNTHETIC)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    folder = module.write_sweep(tmp_path_factory.mktemp("browser") / "s")
    config = yaml.safe_load((folder / "sweep.yaml").read_text())
    config["dataset_info"]["remark"] = "Weak at 0.4; [why](https://example.org/why), [not this](javascript:alert(1))."
    (folder / "sweep.yaml").write_text(yaml.safe_dump(config))
    return Path(analysis.write_report(folder))


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
    assert opened.page.locator('[data-switch="rule"][aria-pressed="true"]').inner_text() == "biased validation"
    opened.page.get_by_role("button", name="oracle").click()
    assert opened.means() == headline, "the oracle chose the same configurations"
    assert "oracle" in opened.page.locator("#figure-curve-words").text_content()
    assert "oracle" in opened.page.locator("#figure-curve .gtitle").text_content()
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
    cells = [c for c in opened.page.locator("#table td:visible").all_inner_texts() if "±" in c or "[" in c]
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
    opened.page.wait_for_function(f"light => {font} !== light", arg=light)
    assert opened.js(font) != light


def test_without_scripts_the_headline_table_is_there(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    assert page.locator("#table td:visible", has_text="±").count() == 16
    context.close()


def test_the_note_is_in_the_title_and_the_remark_under_the_figure(opened: Page) -> None:
    title = opened.page.locator("#figure-curve .gtitle").text_content()
    assert "synthetic numbers of a test fixture" in title and "counterfactual validation" in title
    remark = opened.page.locator("#curve .remark")
    assert remark.locator("a").count() == 1
    assert remark.locator("a").get_attribute("href") == "https://example.org/why"
    assert "[not this](javascript:alert(1))" in remark.inner_text()


def test_the_second_axis_lays_the_curve_over_the_bias_strength(opened: Page) -> None:
    opened.page.get_by_role("button", name="bias strength").click()
    axis = "document.getElementById('figure-curve').layout.xaxis"
    assert opened.js(f"{axis}.type") == "linear"
    assert "I(b; y) / H(y)" in opened.js(f"{axis}.title.text")
    low, high = opened.js(f"{axis}.range")
    assert low < 0.31 < 0.98 < high
    assert opened.errors == []


def test_other_figures_have_switches_of_their_own(opened: Page) -> None:
    headline = opened.means()
    opened.page.get_by_role("button", name="flip rate").click()
    assert "flip rate (lower is better)" in opened.page.locator("#figure-measures .ytitle").text_content()
    assert "Share of test images whose predicted class changes" in opened.page.locator("#more figcaption").inner_text()
    opened.page.locator("#diagnosis").get_by_role("button", name="lnl").click()
    assert opened.page.locator("#figure-confusion-0 .gtitle").text_content().startswith("lnl: predicted against true")
    assert opened.page.locator("#figure-confusion-0 .hm").count() == 4
    assert opened.means() == headline
    assert opened.errors == []


def test_everything_works_from_the_keyboard(opened: Page) -> None:
    button = opened.page.get_by_role("button", name="biased validation", exact=True)
    button.focus()
    opened.page.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "true"
    entry = opened.page.locator("#figure-curve .legend .traces").nth(1)
    assert entry.get_attribute("role") == "checkbox" and entry.get_attribute("aria-checked") == "true"
    entry.focus()
    opened.page.keyboard.press("Space")
    opened.page.wait_for_timeout(300)
    hidden = opened.js(
        "document.getElementById('figure-curve').data.filter(t => t.legendgroup.startsWith('erm')).map(t => t.visible)"
    )
    assert hidden == ["legendonly"] * 3
    assert entry.get_attribute("aria-checked") == "false"
    assert opened.js("document.activeElement.getAttribute('role')") == "checkbox", "the focus stays where it was"
    opened.page.keyboard.press("Enter")
    opened.page.wait_for_timeout(300)
    assert entry.get_attribute("aria-checked") == "true"


def test_every_figure_is_told_in_words(opened: Page) -> None:
    words = opened.js("[...document.querySelectorAll('.plot')].map(d => document.getElementById(d.id + '-words'))"
                      ".map(p => p.textContent)")  # fmt: skip
    assert len(words) >= 6 and all(re.search(r"\d", text) for text in words)
    assert "erm: 0." in words[0] and "at 0.02" in words[0]


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Source of axe-core, from npm into a temporary folder."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed, so axe-core cannot be had")
    folder = tmp_path_factory.mktemp("axe")
    try:
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), "axe-core@4"],
            capture_output=True,
            text=True,
            timeout=180,
        )
    except subprocess.TimeoutExpired as error:
        pytest.skip(f"npm could not install axe-core within {error.timeout:g} s")
    if done.returncode:
        pytest.skip(f"npm could not install axe-core: {(done.stderr.splitlines() or ['no reason'])[-1]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_no_serious_violation(browser: Any, report: Path, axe: str, scheme: str, width: int) -> None:
    page = Page(browser, report, viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.page.evaluate(axe)
    page.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = page.js("axe.run(document, {resultTypes: ['violations']})")
    page.context.close()
    grave = [
        f"{v['id']} ({v['impact']}): {v['help']}: {[n['html'][:160] for n in v['nodes'][:3]]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
    ]
    assert not grave, "\n".join(grave)
    assert len(found["passes"]) > 10
