"""The site as its readers have it: built without warnings, whole, alive from a file, asking no other host for anything."""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from time import monotonic
from urllib.parse import unquote, urlsplit

import pytest
from build_docs import PACKAGES, SITE, MissingPackage, fetch
from playwright.sync_api import Page, Request
from reference import by_name

from browser import Browser, Chromium
from project import ROOT

LIVE = ("tutorials/explore_a_crystal", "tutorials/generate_crystals", "explanations/recovery")


@pytest.fixture(scope="session")
def site() -> Path:
    "The built site; notebooks that ran already are not run again, pages that did not change not rendered again."
    try:
        for package in PACKAGES:
            fetch(package)
    except MissingPackage as error:
        pytest.fail(str(error)) if os.environ.get("CI") else pytest.skip(str(error))
    (ROOT / "build").mkdir(exist_ok=True)
    with (ROOT / "build" / "site.lock").open("w") as lock:  # workers build one after the other; the second has little to do
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = subprocess.run([sys.executable, "tools/build_docs.py"], cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, f"the site does not build without warnings:\n{built.stdout[-2000:]}\n{built.stderr[-6000:]}"
    return SITE


class Links(HTMLParser):
    "Addresses a page links to or loads, and the places in it that can be linked to."

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.linked: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        "Note what an element points to."
        given = dict(attrs)
        self.places |= {given[name] or "" for name in ("id", "name") if name in given}
        if tag == "a" and given.get("href"):
            self.linked.append(given["href"] or "")
        elif tag in ("script", "img", "source", "iframe", "video") and given.get("src"):
            self.loaded.append(given["src"] or "")
        elif tag == "link" and given.get("href") and given.get("rel") not in ("index", "search", "next", "prev", "canonical"):
            self.loaded.append(given["href"] or "")


def pages(site: Path) -> list[Path]:
    "All pages of the site."
    return sorted(path for path in site.rglob("*.html") if "_static" not in path.parts)


def test_no_link_is_dead_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    seen = {path: Links(path) for path in pages(site)}
    assert len(seen) > 60
    dead, foreign = [], []
    for path, links in seen.items():
        for address in [*links.linked, *links.loaded]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                if address in links.loaded and parts.scheme != "data":
                    foreign.append((path.name, address))
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.exists() or (parts.fragment and target in seen and unquote(parts.fragment) not in seen[target].places):
                dead.append((path.relative_to(site).as_posix(), address))
    assert not dead, dead[:20]
    assert not foreign, foreign[:20]


def test_every_name_is_documented_and_leads_back_to_the_paper(site: Path) -> None:
    symbol, crystal = by_name()["encode"], by_name()["Crystal"]
    encode = (site / f"{symbol.page}.html").read_text(encoding="utf-8")
    section = re.search(r'id="api-representation-encode-encode".*?<details', encode, re.S)
    assert section, "encode has a place of its own"
    error = "#api-errors-representationerror"
    for needed in ("FourierCrystals", "grid", "../paper/sections.html#paper-3-1", "explore_a_crystal.html", error):
        assert needed in section[0], needed
    paper = (site / "paper/sections.html").read_text(encoding="utf-8")
    assert f"../{symbol.page}.html#api-representation-encode-encode" in paper
    assert "../explanations/representation.html" in paper
    tutorial = (site / "tutorials/explore_a_crystal.html").read_text(encoding="utf-8")
    assert f"../{crystal.page}.html#api-crystal-crystal" in tutorial, "names in prose are links"


def requests(page: Page) -> set[Request]:
    "The requests of a page that have no answer yet."
    waited_for: set[Request] = set()
    page.on("request", lambda request: waited_for.add(request))
    for ended in ("requestfinished", "requestfailed"):
        page.on(ended, lambda request: waited_for.discard(request))
    return waited_for


def settle(page: Page, waited_for: set[Request]) -> None:
    "Wait until a page shows what it has: figures, views, and all that its scripts ask for."
    page.wait_for_load_state("load")
    if page.locator(".plotly-figure").count():
        page.locator(".plotly-figure .main-svg").first.wait_for(state="attached")
    if page.locator('script[type="application/vnd.jupyter.widget-view+json"]').count():
        page.locator(".fw, .jupyter-widgets").first.wait_for(state="attached")
    patience = monotonic() + 20
    while waited_for and monotonic() < patience:  # a script that is fetched when one leaves would count as failed
        page.wait_for_timeout(5)


@pytest.fixture
def small_browser(chromium: Chromium) -> Iterator[Browser]:
    "A small window: a hundred pages are painted without a graphics card."
    with Browser(chromium, size=(640, 480)) as opened:
        yield opened


def test_every_page_opens_with_other_hosts_blocked(site: Path, small_browser: Browser) -> None:
    browser = small_browser
    tabs = [(page, requests(page)) for page in (browser.page() for _ in range(4))]
    wrong: list[tuple] = []
    every = pages(site)
    for start in range(0, len(every), len(tabs)):  # while one page loads, others draw
        some = list(zip(tabs, every[start : start + len(tabs)], strict=False))
        for (page, _), path in some:
            page.goto(path.as_uri(), wait_until="commit")
        for (page, waited_for), _ in some:
            settle(page, waited_for)
        if browser.complaints() or browser.blocked or browser.failed:
            names = [path.relative_to(site).as_posix() for _, path in some]
            wrong.append((names, browser.complaints()[:2], browser.blocked[:2], browser.failed[:2]))
            browser.console.clear(), browser.blocked.clear(), browser.failed.clear()
    assert not wrong, wrong


def until(page: Page, told: Callable[[], bool], seconds: float = 30) -> None:
    "Wait for something to show."
    patience = monotonic() + seconds
    while not told():
        assert monotonic() < patience, "it never showed"
        page.wait_for_timeout(100)


def drag(page: Page, selector: str) -> None:
    "Drag across the middle of the first element of a kind."
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for step in range(1, 6):
        page.mouse.move(x + 12 * step, y + 5 * step)
    page.mouse.up()


def test_no_page_is_wider_than_the_window(site: Path, browser: Browser) -> None:
    page = browser.page(site / "CONTRIBUTING.html")
    for width in (400, 900, 1040, 1120, 1290, 1330, 1600):  # around the widths where lists of contents come and go
        page.set_viewport_size({"width": width, "height": 700})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_structures_turn_without_a_kernel(site: Path, browser: Browser) -> None:
    page = browser.page(site / "tutorials/explore_a_crystal.html")
    scene = page.locator(".fw-scene canvas").first
    scene.scroll_into_view_if_needed()
    page.locator(".fw-scene[data-drawn]").first.wait_for()
    until(page, lambda: scene.screenshot() == scene.screenshot())  # all is drawn, and stands still
    before = scene.screenshot()
    drag(page, ".fw-scene canvas")
    until(page, lambda: scene.screenshot() != before)  # a structure turns under the mouse
    assert not browser.complaints() and not browser.blocked


def test_the_isolevel_slider_moves_without_a_kernel(site: Path, browser: Browser) -> None:
    page = browser.page(site / "tutorials/explore_a_crystal.html")
    figure = page.locator(".plotly-figure", has=page.locator(".slider-container"))
    figure.locator(".slider-label").last.wait_for(state="attached")
    shown = "node => node.data.map((trace) => trace.visible !== false)"
    before = figure.evaluate(shown)
    figure.locator(".slider-rail-touch-rect").first.scroll_into_view_if_needed()
    rail = figure.locator(".slider-rail-touch-rect").first.bounding_box()
    assert rail is not None
    page.mouse.click(rail["x"] + rail["width"] - 3, rail["y"] + rail["height"] / 2)
    changed = f"([node, before]) => String(({shown})(node)) !== String(before)"
    page.wait_for_function(changed, arg=[figure.element_handle(), before])
    after = figure.evaluate(shown)
    assert sum(after) == sum(before) and after[-1], "one level of each species, and the atoms"
    assert not browser.complaints()


def test_a_trajectory_plays_without_a_kernel(site: Path, browser: Browser) -> None:
    page = browser.page(site / "tutorials/generate_crystals.html")
    player = page.locator(".fw", has=page.locator("[data-time]")).first
    player.scroll_into_view_if_needed()
    time = player.locator("[data-time]").first
    before = time.input_value()
    player.focus()
    page.keyboard.press(" ")
    page.wait_for_function("([node, before]) => node.value !== before", arg=[time.element_handle(), before])
    assert not browser.complaints()


def test_search_works_from_a_file(site: Path, browser: Browser) -> None:
    page = browser.page(site / "index.html")
    page.locator("input[name=q]").first.fill("null space")
    page.keyboard.press("Enter")
    results = page.locator("#search-results li a")
    # Results appear one after another: the page on the null space is waited for by its name.
    results.filter(has_text=re.compile("recovery|null|subspace", re.IGNORECASE)).first.wait_for()
    results.first.click()
    page.wait_for_load_state("load")
    assert "search.html" not in page.url
    assert not browser.complaints() and not browser.blocked and not browser.failed
