"""The studio in real JupyterLab: a request clicked together, drawn, filtered, explored and varied; other hosts refused."""

import re
from pathlib import Path

from playwright.sync_api import expect
from test_browser_views import PICTURES, SLOW, clean, kernel, opened

from browser import OUTPUT, Browser, JupyterLab

ASK = """from fourier_workbench.widgets import studio
view = studio("laptop")
view"""


def test_a_request_is_clicked_together_drawn_explored_and_varied(lab: JupyterLab, browser: Browser) -> None:
    page = opened(browser, lab, "studio", ASK)
    view = page.locator(f"{OUTPUT} .fw").first
    holder, samples = view.locator("xpath=.."), view.locator(".fw-sample")
    lithium, oxygen = view.locator("[data-element=Li]"), view.locator("[data-element=O]")
    lithium.click()
    expect(lithium).to_have_attribute("aria-label", "Lithium, required")
    oxygen.click(click_count=3, delay=20)
    expect(oxygen).to_have_attribute("data-state", "forbidden")
    oxygen.click(modifiers=["Shift"])
    page.keyboard.press("Delete")
    expect(oxygen).to_have_attribute("data-state", "")
    page.keyboard.press("ArrowRight")
    expect(view.locator("[data-element=F]")).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(oxygen).to_have_attribute("data-state", "required")
    view.get_by_label("fewest atoms").fill("3")
    view.get_by_label("most atoms").fill("6")
    view.get_by_label("number of samples").fill("3")
    view.get_by_label("noise levels").fill("4")
    view.get_by_label("seed").fill("1")
    view.get_by_label("crystal system").select_option("cubic")
    expect(view.locator("[data-problem]")).to_contain_text("was not trained with crystal systems", timeout=SLOW)
    expect(view.locator("[data-command=draw]")).to_be_disabled()
    view.get_by_label("crystal system").select_option("")
    expect(view.locator("[data-asked]")).to_have_text("asks for exactly Li, O, 3 to 6 atoms", timeout=SLOW)
    code = "Request(required=('Li', 'O'), n_atoms=(3, 6))"
    assert code in kernel(page, "print(view.code)")

    view.locator("[data-command=draw]").click()
    expect(holder).to_have_attribute("data-running", "true", timeout=SLOW)
    assert kernel(page, "print('free')") == "free", "the kernel answers while samples are drawn"
    expect(samples).to_have_count(3, timeout=SLOW)
    expect(holder).to_have_attribute("data-running", "false", timeout=SLOW)
    met = int(kernel(page, "print(int(view.result.table['met_elements'].sum()))"))
    assert met == int(kernel(page, "print(view.result.funnel['kept'])")) > 0, "elements are exact"
    expect(view.locator("[data-met='met_elements:true']")).to_have_count(met)
    expect(view.locator("[data-rates]")).to_contain_text(f"elements {met} of 3")
    view.get_by_label("show", exact=True).select_option("met_elements")
    expect(samples).to_have_count(met)
    view.get_by_label("show", exact=True).select_option("not")
    expect(samples).to_have_count(3 - int(kernel(page, "print(int(view.result.table['met'].sum()))")))
    view.focus()
    page.keyboard.press("r")
    expect(samples).to_have_count(3)
    expect(view.locator(".fw-scene").first).to_have_attribute("data-atoms", kernel(
        page, "from fourier_workbench.widgets.geometry import periodic_images as p\n"
        "print(len(p(view.result.crystals[view.picked])[0]))"), timeout=SLOW)  # fmt: skip
    browser.screenshot(page, PICTURES / "studio.png")

    with page.expect_download(timeout=SLOW) as got:
        view.get_by_role("button", name="Save the table of the samples").click()
    assert Path(got.value.path()).read_text().count("\n") == 4
    with page.expect_download(timeout=SLOW) as got:
        view.get_by_role("button", name="Save the picked sample as CIF").click()
    assert "data_sample_1_" in Path(got.value.path()).read_text()

    view.locator("[data-command=explore]").click()
    inner = view.locator(".fw")
    expect(inner.locator(".fw-scene")).to_have_attribute("data-atoms", re.compile("[1-9]"), timeout=SLOW)
    shown = "view.explorer.crystal.formula == view.result.crystals[view.picked].formula"
    assert kernel(page, f"print({shown})") == "True"
    browser.screenshot(page, PICTURES / "studio_explorer.png")
    view.get_by_role("button", name="Close the explorer").click()
    expect(inner).to_have_count(0)

    view.locator("[data-command=vary]").click()
    expect(view.locator(".fw-drop")).to_contain_text("keep in place", timeout=SLOW)
    expect(view.get_by_label("what was asked")).to_contain_text("from φ = 0.3 · 3", timeout=SLOW)
    expect(holder).to_have_attribute("data-running", "false", timeout=SLOW)
    assert kernel(page, "print(view.result.request.start is not None, len(view.result))") == "True 3"
    view.get_by_label("what was asked").select_option("0")
    expect(lithium).to_have_attribute("data-state", "required", timeout=SLOW)
    expect(view.locator(".fw-drop")).to_contain_text("from noise", timeout=SLOW)
    clean(browser)


def test_properties_that_a_model_knows_have_fields(lab: JupyterLab, browser: Browser) -> None:
    page = opened(browser, lab, "studio_properties", ASK.replace("laptop", "mp20"))
    view = page.locator(f"{OUTPUT} .fw").first
    holder, samples = view.locator("xpath=.."), view.locator(".fw-sample")
    view.get_by_label("highest energy above the hull").fill("0.1")
    view.get_by_label("lowest formation_energy_per_atom").fill("-2")
    view.get_by_label("number of samples").fill("2")
    view.get_by_label("noise levels").fill("3")
    asks = "asks for at most 0.1 eV/atom above the hull, formation energy per atom at least -2"
    expect(view.locator("[data-asked]")).to_contain_text(asks, timeout=SLOW)
    assert "e_above_hull=0.1, properties={'formation_energy_per_atom': (-2" in kernel(page, "print(view.code)")
    view.locator("[data-command=draw]").click()
    expect(samples).to_have_count(2, timeout=SLOW)
    expect(holder).to_have_attribute("data-running", "false", timeout=SLOW)
    kept = int(kernel(page, "print(view.result.funnel['kept'])"))
    expect(view.locator("[data-met='met_e_above_hull:unknown']")).to_have_count(kept)
    browser.screenshot(page, PICTURES / "studio_properties.png")
    view.get_by_label("highest energy above the hull").fill("")
    view.get_by_label("lowest formation_energy_per_atom").fill("500")
    page.keyboard.press("Enter")
    expect(view.locator("[data-problem]")).to_contain_text("formation_energy_per_atom", timeout=SLOW)
    clean(browser)
