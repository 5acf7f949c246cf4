"""Stepper, symmetry and report in real JupyterLab, and one view opening what another picked; other hosts refused."""

from pathlib import Path

from playwright.sync_api import expect
from test_browser_views import IMPORTS, PICTURES, SALT, SLOW, clean, hears, kernel, opened, picture_size

from fourier_workbench import Crystal
from fourier_workbench.generation import evaluate
from fourier_workbench.widgets import show_report

from browser import OUTPUT, Browser, JupyterLab

STEPS = """from fourier_workbench.widgets import show_report, step
import torch
crystal = Crystal(np.eye(3) * 5, [8, 8, 8, 22], [[.25, .25, .25], [.7, .5, .75], [.45, .8, .1], [0, 0, 0]])
steps = step(crystal)
steps"""


def test_recovery_is_stepped_through(lab: JupyterLab, browser: Browser) -> None:
    page = opened(browser, lab, "steps", IMPORTS, STEPS, f"explorer = explore({SALT})\nexplorer")
    views = page.locator(f"{OUTPUT} .fw")
    view, explorer = views.nth(0), views.nth(1)
    holder, last = view.locator("xpath=.."), int(kernel(page, "print(len(steps.frames) - 1)"))
    expect(view.locator(".fw-scene")).to_have_attribute("data-atoms", "1", timeout=SLOW)
    expect(view.locator("[data-certificate]")).to_contain_text("accepted")
    view.focus()
    page.keyboard.press("ArrowRight")
    expect(holder).to_have_attribute("data-frame", "1")
    browser.screenshot(page, PICTURES / "stepper.png")
    page.keyboard.press("End")
    expect(holder).to_have_attribute("data-frame", str(last))
    expect(view.locator(".fw-scene")).to_have_attribute("data-surfaces", "0", timeout=SLOW)
    hears(page, "print(steps.frame)", str(last))
    view.locator("circle[data-id='0']").dispatch_event("click")
    expect(holder).to_have_attribute("data-frame", "0")
    view.get_by_label("isolevel", exact=True).fill("0.1")
    expect(view.get_by_text("0.10 of a peak")).to_be_visible(timeout=SLOW)
    hears(page, "print(steps.content['level'])", "0.1")  # the slider's label does not wait for the kernel
    with page.expect_download(timeout=SLOW) as got:
        view.get_by_role("button", name="Save the recovered crystal").click()
    assert "data_" in Path(got.value.path()).read_text()

    explorer.scroll_into_view_if_needed()
    explorer.get_by_label("symmetry", exact=True).select_option("3: z, x, y")
    expect(explorer.locator("[data-fact=symmetry]")).to_contain_text("residual over all waves", timeout=SLOW)
    assert kernel(page, "print(len(explorer.scene['orbit']['atoms']))") == "3"
    browser.screenshot(page, PICTURES / "symmetry.png")
    clean(browser)


def test_views_open_what_others_picked(lab: JupyterLab, browser: Browser) -> None:
    draw = "from fourier_workbench.generation import load_generator\ngenerator = load_generator('laptop')\n"
    draw += "draws = (generator.sample(3, seed=s, steps=6, trace=True, progress=False) for s in range(30))\n"
    draw += "result = next(drawn for drawn in draws if all(drawn.crystals))  # all three are recovered"
    page = opened(
        browser,
        lab,
        "linked",
        IMPORTS,
        draw,
        "player = play(result.trajectory, generator, frames=4)\nplayer",
        STEPS,
        "shown = gallery(result)\nshown",
        f"explorer = explore({SALT})\nshown.link(explorer)\nexplorer",
    )
    views = page.locator(f"{OUTPUT} .fw")
    player, stepper, table, explorer = (views.nth(i) for i in range(4))
    player.scroll_into_view_if_needed()
    player.get_by_role("button", name="Open the recovery").click()
    expect(player.get_by_role("alert").first).to_contain_text("no stepper is linked", timeout=SLOW)
    kernel(page, "player.link(steps)")
    player.focus()
    page.keyboard.press("End")
    player.get_by_role("button", name="Open the recovery").click()
    expect(player.locator(".fw-foot")).to_contain_text("step 5 is open in the recovery stepper", timeout=SLOW)
    assert "O₃" not in stepper.locator(".fw-title").inner_text(), "another crystal than the one it began with"
    table.scroll_into_view_if_needed()
    table.locator("tbody tr").last.click()
    hears(page, "print(explorer.crystal.formula == shown.crystal.formula)", "True")
    expect(explorer.locator(".fw-title")).not_to_contain_text("NaCl", timeout=SLOW)
    clean(browser)


def test_a_saved_report_lives_without_a_kernel(browser: Browser, tmp_path: Path) -> None:
    crystals = [Crystal([[4, 0, 0], [0, 4, 0], [0, 0, 4.2]], [29, 8], [[0, 0, 0], [0.5, 0.5, 0.5]])]
    show_report(evaluate(crystals, progress=False)).to_html(tmp_path / "report.html")
    page = browser.page(tmp_path / "report.html")
    expect(page.locator("#view")).to_have_attribute("data-sections", "3", timeout=SLOW)
    expect(page.get_by_text("smallest periodic distance").first).to_be_visible()
    with page.expect_download(timeout=SLOW) as got:
        page.get_by_role("button", name="Save the rates as CSV").click()
    assert "valid" in Path(got.value.path()).read_text()
    with page.expect_download(timeout=SLOW) as got:
        page.get_by_role("button", name="Save the report as PNG").click()
    width, height = picture_size(got.value.path())
    box = page.locator(".fw-report").bounding_box()
    assert abs(width - 2 * box["width"]) <= 4
    assert height > 600
    clean(browser)
    assert not browser.failed
