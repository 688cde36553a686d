"""The page in a real Chromium, over views that a materializer filled from a real broker."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from streamops.hosts.memory import MemoryHost
from streamops.settings import Settings
from streamops.views.materializer import Materializer
from streamops.web.serve import serving
from tests.story import play
from tests.web_views import publish

pytestmark = pytest.mark.browser

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Playwright's own 5 s are too short where every CPU is busy.
expect.set_options(timeout=60_000)
LOOPBACK = ("127.0.0.1", "localhost")
# The run's end says so too: see conftest.
NOT_RUN = "browser tests not run: no Chromium"


@pytest.fixture(scope="session", autouse=True)
def chromium() -> str:
    """Path of Chromium; skips before a broker starts where there is none, or fails where it is
    required."""
    names = (os.environ.get("STREAMOPS_CHROMIUM", ""), "chromium", "chromium-browser")
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found is None and os.environ.get("STREAMOPS_REQUIRE_BROWSER") == "1":
        pytest.fail("browser tests not run: no Chromium, and STREAMOPS_REQUIRE_BROWSER is 1")
    if found is None:
        pytest.skip(NOT_RUN)
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def story() -> MemoryHost:
    return play()


@pytest.fixture(scope="module")
def site(broker, story, tmp_path_factory):
    """The address of a page over the story, and the materializer behind it."""
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(
        bootstrap=broker.bootstrap, namespace="t-page", data=folder, partitions=2, driven=True
    )
    total = publish(story, settings)
    materializer = Materializer(settings)
    try:
        while sum(materializer.positions().values()) < total:
            materializer.run_once()
        with serving(materializer, settings, "127.0.0.1", 0) as url:
            yield url, materializer, settings
    finally:
        materializer.close()


class Watched:
    """A page with everything it complained of, and every address it asked."""

    def __init__(self, browser: Browser, url: str, scheme: str = "light") -> None:
        self.page: Page = browser.new_page(
            viewport={"width": 1280, "height": 900}, color_scheme=scheme
        )
        self.url = url
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def open(self, address: str) -> Page:
        """Open a page and wait until it is live, which is after its charts are drawn."""
        self.page.goto(self.url + address)
        expect(self.page.locator("#live")).to_have_text("live")
        return self.page


@pytest.fixture
def watched(browser, site):
    """A page that must not complain, nor ask anything beyond loopback."""
    one = Watched(browser, site[0])
    yield one
    hosts = {urlsplit(url).hostname for url in one.asked if not url.startswith("data:")}
    one.page.close()
    assert one.complaints == []
    assert hosts <= set(LOOPBACK)


def inked(page: Page, selector: str) -> int:
    """Number of different colours on a canvas: an empty one has a single one."""
    return page.locator(selector).evaluate(
        """canvas => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )


def test_the_overview_shows_models_alerts_and_an_empty_lag(watched):
    page = watched.open("/")
    cards = page.locator("#models .cards li")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("calm")
    expect(cards.nth(0)).to_contain_text("at acceptance 95.0 %")
    expect(cards.nth(1)).to_contain_text("no labels judged yet")
    lags = page.locator("#topics tbody td:last-child").all_text_contents()
    assert set(lags) == {"0"}
    ages = page.locator(".panel .age")
    assert ages.count() >= 4
    assert all(re.fullmatch(r"data \d+ (s|min|h|d) old", t) for t in ages.all_text_contents())


def test_a_models_charts_have_its_series_versions_and_alerts(watched, site):
    page = watched.open("/models/churn")
    found = page.request.get(f"{site[0]}/api/models/churn/charts").json()
    charts = page.locator("[data-chart]")
    expect(charts).to_have_count(len(found["charts"]))
    for chart in found["charts"]:
        drawn = page.locator(f'[data-chart="{chart["name"]}"]')
        expect(drawn).to_have_attribute("data-series", str(len(chart["series"])))
        expect(drawn).to_have_attribute("data-points", str(len(chart["times"])))
        expect(drawn).to_have_attribute("data-bands", str(len(found["bands"])))
        marks = [m for m in found["marks"] if m["kind"] in chart["marks"]]
        expect(drawn).to_have_attribute("data-marks", str(len(marks)))
        assert drawn.locator(".u-series").count() == len(chart["series"]) + 1
    drift = [m for m in found["marks"] if m["kind"] == "data_drift"]
    assert len(drift) > 0
    expect(page.locator('[data-chart="drift"] .heading')).to_contain_text(f"▼ {len(drift)} alert")
    assert inked(page, '[data-chart="quality"] canvas') > 10


def test_another_measure_and_segment_are_a_link_away(watched):
    page = watched.open("/models/churn")
    page.get_by_role("link", name="F1", exact=True).click()
    expect(page.locator('[data-chart="quality"] h2')).to_have_text("F1")
    page.get_by_role("link", name="country=de", exact=True).click()
    expect(page.locator(".tabs [aria-current]").nth(0)).to_have_text("country=de")
    expect(page.locator('[data-chart="quality"] h2')).to_have_text("F1")
    expect(page.locator("#live")).to_have_text("live")


def test_a_features_bins_stand_beside_its_reference(watched, site):
    page = watched.open("/models/churn/features/x")
    found = page.request.get(f"{site[0]}/api/models/churn/features/x").json()
    for kind, name in (("pane", "share"), ("reference", "reference_share")):
        drawn = page.locator(f"svg.bins rect.{kind}").evaluate_all(
            "all => all.map(bar => [Number(bar.dataset.share), bar.height.baseVal.value])"
        )
        shares = [share for share, _ in drawn]
        assert shares == pytest.approx([b[name] for b in found["bins"]], abs=1e-6)
        parts = [height / share for share, height in drawn if share > 0]
        assert parts == pytest.approx([parts[0]] * len(parts), rel=0.01)  # height says share
    page.get_by_text("The same as numbers").click()
    expect(page.locator("#bins tbody tr")).to_have_count(len(found["bins"]))
    page.get_by_role("link", name="← older").click()
    expect(page.locator("#bins .note")).not_to_contain_text("01:59:10")
    expect(page.locator("#live")).to_have_text("live")


def test_a_proof_is_reached_by_keyboard_alone(watched):
    page = watched.open("/models/churn")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    link = page.locator("#alerts").get_by_role("link", name="proof").first
    link.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#proof")).to_contain_text("streamops verify --all")
    expect(page.locator("#proof table").first).to_contain_text("offset")
    expect(page.locator("#live")).to_have_text("live")


def test_a_page_follows_the_log_without_being_loaded_again(watched, site, story):
    page = watched.open("/")
    page.evaluate("window.stillHere = true")
    records = page.locator("#topics tr", has_text="predictions").locator("td").nth(1)
    shown = records.inner_text()
    _, materializer, settings = site
    total = sum(materializer.positions().values()) + publish(story, settings)
    while sum(materializer.positions().values()) < total:
        materializer.run_once()
    expect(records).not_to_have_text(shown)
    assert page.evaluate("window.stillHere") is True


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(browser, site, scheme):
    one = Watched(browser, site[0], scheme)
    page = one.open("/models/churn")
    for selector in ("h1", ".age", "td", "th", ".badge.good", ".badge.bad", "td a"):
        if page.locator(selector).count():
            ratio = page.locator(selector).first.evaluate(CONTRAST)
            assert ratio >= 4.5, f"{selector} in {scheme}: {ratio:.2f}"
    page.close()


# Contrast of text and the first background behind it that isn't clear, as WCAG defines it.
CONTRAST = """element => {
    const light = css => {
        const parts = css.match(/[0-9.]+/g).slice(0, 3).map(Number).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    };
    const isClear = one => getComputedStyle(one).backgroundColor === "rgba(0, 0, 0, 0)";
    let behind = element;
    while (isClear(behind)) behind = behind.parentElement;
    const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor]
        .map(light).sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
}"""


def test_a_lost_connection_is_said(browser, site):
    _, materializer, settings = site
    folder = Path(settings.data) / "second"
    with serving(materializer, Settings(bootstrap="none", data=folder), "127.0.0.1", 0) as second:
        one = Watched(browser, second)
        page = one.open("/")
    expect(page.locator("#live")).to_have_text("connection lost; trying again")
    expect(page.locator("#models .cards li")).to_have_count(2)
    page.close()
