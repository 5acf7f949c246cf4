"""The diffraction panel in a real JupyterLab and in saved pages; pictures stay in build/screenshots."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect
from test_browser_views import IMPORTS, PICTURES, SALT, SLOW, clean, kernel, opened

from fourier_workbench import Crystal
from fourier_workbench.diffraction import guided_samples, simulate, solve
from fourier_workbench.diffraction.tasks import plan
from fourier_workbench.generation import load_generator
from fourier_workbench.widgets import gallery, play

from browser import OUTPUT, Browser, Chromium, JupyterLab

CAESIUM = Crystal(np.eye(3) * 4.12, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])
PATTERN = simulate(CAESIUM)


def test_a_clicked_reflection_lights_its_plane_wave(lab: JupyterLab, browser: Browser) -> None:
    made = f"from fourier_workbench.diffraction import simulate\nsalt = {SALT}\npattern = simulate(salt)"
    page = opened(browser, lab, "pattern", IMPORTS, f"{made}\nview = explore(salt, bpd=3, pattern=pattern)\nview")
    view = page.locator(f"{OUTPUT} .fw")
    expect(view.locator(".fw-scene")).to_have_attribute("data-surfaces", "2", timeout=SLOW)
    expect(view.locator("[data-fact=pattern]")).to_contain_text("R = ")
    marks = view.locator(".fw-chart").nth(1).locator("circle[data-id]")
    assert marks.count() == int(kernel(page, "print(len(view.diffraction['marks']['at']))"))
    hkl = kernel(page, "print(*view.diffraction['marks']['hkl'][2][0])")
    marks.nth(2).dispatch_event("click")
    expect(view.locator("[data-fact=showing]")).to_contain_text("one wave", timeout=SLOW)
    assert kernel(page, "print(2 * max(map(abs, view.diffraction['marks']['hkl'][2][0])) + 1 <= view.shown.bpd)") == "True"
    signs = {" ".join(str(sign * int(k)) for k in hkl.split()) for sign in (1, -1)}
    assert any(text in view.locator("[data-fact=showing]").inner_text() for text in signs)
    assert marks.nth(2).get_attribute("r") == "5", "the mark of the wave on screen is lit"
    browser.screenshot(page, PICTURES / "pattern.png")
    marks.nth(2).dispatch_event("click")
    expect(view.locator("[data-fact=showing]")).to_contain_text("all waves", timeout=SLOW)
    clean(browser)


@pytest.mark.parametrize("dark", [False, True])
def test_candidates_and_their_patterns_without_a_kernel(dark: bool, chromium: Chromium, tmp_path: Path) -> None:
    wrong = Crystal(CAESIUM.lattice, CAESIUM.numbers, [[0, 0, 0], [0.4, 0.3, 0.2]])
    found = solve(PATTERN, "CsCl", cell=CAESIUM.lattice, n=1)
    gallery([*found.crystals, wrong], pattern=PATTERN).to_html(tmp_path / "gallery.html")
    generator, tasks = load_generator("laptop"), plan(PATTERN, "CsCl", cell=CAESIUM.lattice)[:1]
    led, _ = guided_samples(generator, tasks, PATTERN, 0, seed=0, steps=4, trace=True)
    assert led is not None and led.trajectory is not None
    film = play(led.trajectory, generator, frames=4, pattern=PATTERN, cell=CAESIUM.lattice)
    film.to_html(tmp_path / "player.html")
    with Browser(chromium, dark=dark) as browser:
        browser.context.set_default_timeout(SLOW)
        page = browser.page(tmp_path / "gallery.html")
        view = page.locator(".fw")
        expect(view.locator("[data-fact=pattern]")).to_contain_text("R = ", timeout=SLOW)
        right = float(view.locator("xpath=..").get_attribute("data-r") or "nan")
        view.focus()
        page.keyboard.press("ArrowRight")
        expect(view.locator("xpath=..")).not_to_have_attribute("data-r", str(right), timeout=SLOW)
        assert right < 0.01 < 0.2 < float(view.locator("xpath=..").get_attribute("data-r") or "nan")
        browser.screenshot(page, PICTURES / f"pattern_gallery_{'dark' if dark else 'light'}.png")
        page = browser.page(tmp_path / "player.html")
        view = page.locator(".fw")
        expect(view.locator("[data-fact=pattern]")).to_contain_text("inside the truncation", timeout=SLOW)
        shown = film.content["diffraction"]["tracks"][0]["predicted"]
        expect(view.locator(".fw-scene")).to_have_attribute("data-r", str(shown[0]["r"]), timeout=SLOW)
        view.focus()
        page.keyboard.press("End")
        expect(view.locator(".fw-scene")).to_have_attribute("data-r", str(shown[-1]["r"]), timeout=SLOW)
        browser.screenshot(page, PICTURES / f"pattern_player_{'dark' if dark else 'light'}.png")
        clean(browser)
