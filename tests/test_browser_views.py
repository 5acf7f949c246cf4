"""The views in real JupyterLab, driven by mouse and keyboard, other hosts refused; pictures stay in build/screenshots."""

import re
import sys
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from fourier_workbench import Crystal
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.widgets import explore, gallery, step

from browser import OUTPUT, Browser, JupyterLab, write_notebook
from project import BUILD

PICTURES = BUILD / "screenshots"
SITES = "[[0,0,0],[0,.5,.5],[.5,0,.5],[.5,.5,0],[.5,.5,.5],[.5,0,0],[0,.5,0],[0,0,.5]]"
SALT = f"Crystal(np.eye(3) * 5.64, [11] * 4 + [17] * 4, {SITES})"
IMPORTS = """import numpy as np
from fourier_workbench import Crystal
from fourier_workbench.widgets import explore, gallery, play, show_ladder, watch"""
SLOW = 180_000  # software WebGL on a busy machine


def kernel(page: Page, code: str) -> str:
    "What `code` prints when the notebook's kernel runs it."
    ask = """async (code) => {
      const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
      let text = '';
      const future = kernel.requestExecute({ code });
      future.onIOPub = (m) => { text += m.content.text ?? m.content.evalue ?? ''; };
      await future.done;
      return text;
    }"""
    return page.evaluate(ask, code).strip()


def hears(page: Page, code: str, value: str) -> None:
    "Wait until the kernel prints `value` for `code`: a trait is sent when the one before it has been answered."
    patience = monotonic() + SLOW / 1000
    while (heard := kernel(page, code)) != value:
        assert monotonic() < patience, f"the kernel prints {heard} for {code}, not {value}"


def opened(browser: Browser, lab: JupyterLab, name: str, *cells: str) -> Page:
    "A notebook of `cells`, run from top to bottom without an error."
    write_notebook(lab.root / f"{name}.ipynb", *cells)
    browser.context.set_default_timeout(SLOW)
    page = browser.open_notebook(lab, f"{name}.ipynb")
    browser.run_all(page)
    assert not browser.errors(page)
    page.evaluate("() => window.jupyterapp.commands.execute('application:toggle-left-area')")
    return page


def clean(browser: Browser) -> None:
    "Nothing was asked of another host, nothing complained."
    assert not browser.blocked
    assert browser.complaints() == []


def picture_size(path: str | Path) -> tuple[int, int]:
    "Width and height of a PNG, as its header says."
    head = Path(path).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return int.from_bytes(head[16:20]), int.from_bytes(head[20:24])


def number(locator, key: str) -> int:
    "A whole number that a view keeps in its dataset."
    return int(locator.get_attribute(f"data-{key}") or -1)


def test_density_explorer(lab: JupyterLab, browser: Browser) -> None:
    page = opened(browser, lab, "density", IMPORTS, f"salt = {SALT}\nview = explore(salt)\nview")
    view = page.locator(f"{OUTPUT} .fw")
    box = view.locator(".fw-scene")
    expect(box).to_have_attribute("data-surfaces", "2", timeout=SLOW)
    expect(view.get_by_role("heading")).to_contain_text("NaCl")
    assert view.locator("circle").count() == 364
    browser.screenshot(page, PICTURES / "density.png")

    view.get_by_label("basis", exact=True).fill("5")
    expect(view.locator("circle")).to_have_count(62, timeout=SLOW)
    assert kernel(page, "print(view.shown.bpd)") == "5"
    expect(view.locator("[data-fact=error]")).to_contain_text("exact", timeout=SLOW)

    view.locator("circle[data-id]").nth(30).dispatch_event("click")
    expect(view.locator("[data-fact=showing]")).to_contain_text("one wave", timeout=SLOW)
    chart = view.locator(".fw-chart svg").bounding_box()
    page.mouse.move(chart["x"] + chart["width"] * 0.4, chart["y"] + 20)
    page.mouse.down()
    page.mouse.move(chart["x"] + chart["width"] * 0.7, chart["y"] + 20, steps=5)
    page.mouse.up()
    expect(view.locator("[data-fact=showing]")).to_contain_text("|G|", timeout=SLOW)
    assert "None" not in kernel(page, "print(view.shown.shell)")

    view.focus()
    page.keyboard.press("?")
    expect(view.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(view.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("r")
    expect(view.locator("[data-fact=showing]")).to_contain_text("all waves", timeout=SLOW)
    with page.expect_download(timeout=SLOW) as got:
        view.get_by_role("button", name="Save the crystal as CIF").click()
    assert "data_Na4Cl4" in Path(got.value.path()).read_text()
    with page.expect_download(timeout=SLOW) as got:
        view.get_by_role("button", name="Save the 3D picture").click()
    shown = box.bounding_box()
    assert picture_size(got.value.path()) == (2 * round(shown["width"]), 2 * round(shown["height"]))

    dot = view.locator("[data-symbol=Na]").first
    before = dot.evaluate("e => getComputedStyle(e).backgroundColor")
    view.get_by_role("button", name="Element colours: Jmol").click()
    expect(view.get_by_role("button", name="Element colours: VESTA")).to_be_visible()
    assert dot.evaluate("e => getComputedStyle(e).backgroundColor") != before
    view.get_by_label("cells", exact=True).select_option("2")
    expect(box).to_have_attribute("data-surfaces", "16", timeout=SLOW)
    again = kernel(page, "print(view.code.splitlines()[-1])")
    assert again == "explore(crystal, repeat=2, scheme='vesta')"
    assert kernel(page, f"crystal = salt\ncopied = {again}\nprint(copied.scene == view.scene)") == "True"

    page.evaluate("() => window.jupyterapp.commands.execute('apputils:change-theme', { theme: 'JupyterLab Dark' })")
    expect(view).to_have_class(re.compile("fw-dark"), timeout=SLOW)
    browser.screenshot(page, PICTURES / "density_dark.png")
    clean(browser)


def test_player_gallery_and_ladder(lab: JupyterLab, browser: Browser) -> None:
    draw = "from fourier_workbench.generation import load_generator\ngenerator = load_generator('laptop')\n"
    draw += "result = generator.sample(6, steps=10, trace=True, progress=False)"
    page = opened(
        browser,
        lab,
        "samples",
        IMPORTS,
        draw,
        "player = play(result.trajectory, generator, samples=(0, 1), frames=8)\nplayer",
        "shown = gallery(result)\nshown",
        "ladder = show_ladder(generator)\nladder",
    )
    views = page.locator(f"{OUTPUT} .fw")
    player, table, ladder = views.nth(0), views.nth(1), views.nth(2)
    holder = player.locator("xpath=..")
    player.scroll_into_view_if_needed()
    expect(player.locator(".fw-scene").nth(1)).to_have_attribute("data-drawn", re.compile(r"\d"), timeout=SLOW)
    player.focus()
    page.keyboard.press("End")
    expect(holder).to_have_attribute("data-frame", "7")
    page.keyboard.press("Shift+ArrowLeft")
    expect(holder).to_have_attribute("data-frame", "0")
    page.keyboard.press("ArrowRight")
    expect(holder).to_have_attribute("data-frame", "1")
    page.keyboard.press("Space")
    expect(holder).to_have_attribute("data-playing", "true")
    expect(holder).to_have_attribute("data-frame", "7", timeout=SLOW)
    expect(holder).to_have_attribute("data-playing", "false", timeout=SLOW)
    hears(page, "print(player.frame)", "7")
    player.get_by_role("button", name="noisy").click()
    expect(player.get_by_role("button", name="noisy")).to_have_attribute("aria-pressed", "true")
    hears(page, "print(player.ladder)", "noisy")
    browser.screenshot(page, PICTURES / "trajectory.png")

    table.scroll_into_view_if_needed()
    expect(table.locator("tbody tr")).to_have_count(6, timeout=SLOW)
    table.get_by_role("button", name="atoms", exact=True).click()
    table.focus()
    page.keyboard.press("End")
    picked = int(table.locator("tbody tr").last.get_attribute("data-row"))
    hears(page, "print(shown.picked)", str(picked))
    table.get_by_label("filter rows").fill("no such thing")
    expect(table.locator("tbody tr")).to_have_count(0)
    expect(table).to_contain_text("clear the filter")
    table.focus()
    page.keyboard.press("r")
    expect(table.locator("tbody tr")).to_have_count(6)
    with page.expect_download(timeout=SLOW) as got:
        table.get_by_role("button", name="Save the table as shown").click()
    assert Path(got.value.path()).read_text().count("\n") == 7
    browser.screenshot(page, PICTURES / "gallery.png")

    ladder.scroll_into_view_if_needed()
    kept = int(kernel(page, "print(int(generator.autoencoder.selector.nonzero()[0]))"))
    shape = ladder.locator(".fw-heat").evaluate("c => [c.width, c.height, c.clientWidth, c.clientHeight]")
    cell = (kept % shape[0] + 0.5) * shape[2] / shape[0], (kept // shape[0] + 0.5) * shape[3] / shape[1]
    ladder.locator(".fw-heat").click(position={"x": cell[0], "y": cell[1]})
    expect(ladder.locator("[data-ablation]")).to_contain_text("density changes by", timeout=SLOW)
    assert kernel(page, "print(ladder.ablated)") == f"[{kept}]"
    expect(ladder.get_by_role("heading", name="without 1 channel")).to_be_visible(timeout=SLOW)
    expect(ladder.locator(".fw-scene").nth(1)).to_have_attribute("data-drawn", "2", timeout=SLOW)
    assert kernel(page, "print(ladder.scenes[0]['surfaces'] != ladder.scenes[1]['surfaces'])") == "True"
    browser.screenshot(page, PICTURES / "ladder.png")
    clean(browser)


TRAIN = """from pathlib import Path
from fourier_workbench.data import prepare_corpus
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import Run, recipes
from fourier_workbench.config.schema import override
folder = Path("training")
corpus = prepare_corpus("decorated", folder / "corpus", basis=FourierBasis(5), grid=24, limit=40, progress=False)
recipe = override(recipes.laptop(), name="long", autoencoder__steps=100_000, autoencoder__batch_size=2)
run = Run.start(recipe, corpus, folder / "run")"""


def test_training_is_watched_paused_and_found_again_after_a_kernel_restart(lab: JupyterLab, browser: Browser) -> None:
    page = opened(browser, lab, "training", IMPORTS, TRAIN, "board = watch('training/run', every=0.5)\nboard")
    view = page.locator(f"{OUTPUT} .fw")
    holder = view.locator("xpath=..")
    found = "from fourier_workbench.widgets import watch\nfrom fourier_workbench.training import Run\n"
    try:
        expect(holder).to_have_attribute("data-state", "running", timeout=SLOW)
        expect(view.locator(".fw-chart path").first).to_be_attached(timeout=SLOW)
        view.get_by_role("button", name="Pause").click()
        expect(holder).to_have_attribute("data-state", "paused", timeout=SLOW)
        browser.screenshot(page, PICTURES / "dashboard.png")
        expect(holder).to_have_attribute("data-moment", "1", timeout=SLOW)
        expect(view.locator(".fw-scene").first).to_have_attribute("data-atoms", re.compile("[1-9]"), timeout=SLOW)

        browser.restart_kernel(page)
        assert kernel(page, found + "print(Run.attach('training/run').status.state)") == "paused"
        page.evaluate(
            """async () => {
              const notebook = window.jupyterapp.shell.currentWidget.content;
              notebook.activeCellIndex = 0;
              await window.jupyterapp.commands.execute('notebook:run-cell');
              notebook.activeCellIndex = 2;
              await window.jupyterapp.commands.execute('notebook:run-cell');
            }"""
        )
        expect(holder).to_have_attribute("data-state", "paused", timeout=SLOW)
        before = number(holder, "step")
        view.get_by_role("button", name="Resume").click()
        expect(holder).to_have_attribute("data-state", "running", timeout=SLOW)
        page.wait_for_function("([e, n]) => +e.dataset.step > n", arg=[holder.element_handle(), before], timeout=SLOW)
        view.get_by_label("steps to add").fill("50")
        view.get_by_role("button", name="Extend by").click()
        planned = found + "print(Run.attach('training/run').recipe.autoencoder.steps)"
        page.wait_for_function("(e) => e.dataset.state === 'starting'", arg=holder.element_handle(), timeout=SLOW)
        assert kernel(page, planned) == "100050"
        expect(holder).to_have_attribute("data-state", "running", timeout=SLOW)
        view.get_by_role("button", name="Stop").click()
        expect(holder).to_have_attribute("data-state", "stopped", timeout=SLOW)
        expect(view).to_contain_text("checkpoints/autoencoder/latest")
        clean(browser)
    finally:
        still = "run.status.state in ('running', 'paused', 'starting')"
        kernel(page, found + f"run = Run.attach('training/run')\nif {still}:\n    run.stop()")


def test_a_saved_page_lives_without_a_kernel(browser: Browser, tmp_path: Path) -> None:
    crystals = [
        Crystal(np.eye(3) * 4.1, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]]),
        Crystal(np.eye(3) * 3, [29], [[0, 0, 0]]),
        Crystal(np.diag([3, 3, 4]), [29], [[0, 0, 0]]),
    ]
    gallery(crystals).to_html(tmp_path / "gallery.html")
    page = browser.page(tmp_path / "gallery.html")
    view = page.locator(".fw")
    expect(view.locator(".fw-scene")).to_have_attribute("data-atoms", "9", timeout=SLOW)
    view.focus()
    page.keyboard.press("ArrowRight")
    expect(view.locator(".fw-scene")).to_have_attribute("data-atoms", "8", timeout=SLOW)
    view.get_by_label("group", exact=True).select_option("P4/mmm (123)")
    expect(view.locator("tbody tr")).to_have_count(1)
    view.focus()
    page.keyboard.press("r")
    expect(view.locator("tbody tr")).to_have_count(3)
    expect(view.get_by_role("status")).to_contain_text("A saved view")
    browser.screenshot(page, PICTURES / "saved_page.png")
    clean(browser)
    assert not browser.failed


def test_the_last_step_of_decoded_coefficients_is_drawn_in_the_new_cell(browser: Browser, tmp_path: Path) -> None:
    bent = Crystal(np.diag([4.2, 4.1, 4.0]), [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])
    basis = FourierBasis(5)
    step(encode([bent], basis), basis, decoded=True).to_html(tmp_path / "stepper.html")
    page = browser.page(tmp_path / "stepper.html")
    view = page.locator(".fw")
    expect(view.locator(".fw-scene")).to_have_attribute("data-drawn", re.compile(r"\d"), timeout=SLOW)
    view.focus()
    page.keyboard.press("End")
    expect(view.locator("[data-step]")).to_contain_text("Pm-3m (221), 48 operations; strain of the cell 2.4 % before, 0.0 %")
    expect(view.locator(".fw-scene")).to_have_attribute("data-atoms", "2")
    browser.screenshot(page, PICTURES / "stepper_cell.png")
    clean(browser)


def test_a_browser_without_webgl_is_told(browser: Browser, tmp_path: Path) -> None:
    explore(Crystal(np.eye(3) * 4.1, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])).to_html(tmp_path / "explorer.html")
    browser.context.add_init_script(
        "const real = HTMLCanvasElement.prototype.getContext;"
        "HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {"
        "  return kind.startsWith('webgl') ? null : real.call(this, kind, ...rest); };"
    )
    page = browser.page(tmp_path / "explorer.html")
    expect(page.get_by_text("offers no WebGL")).to_be_visible(timeout=SLOW)
    expect(page.locator("circle")).to_have_count(364)
    clean(browser)


@pytest.mark.skipif(sys.platform != "linux", reason="counts contexts the way Chromium on Linux keeps them")
def test_closing_a_view_gives_its_webgl_context_back(browser: Browser, tmp_path: Path) -> None:
    view = gallery([Crystal(np.eye(3) * 3, [29], [[0, 0, 0]])])
    text = view.to_html().replace("render({ model, el: document.getElementById(\"view\") });",
                                  "window.again = () => render({ model, el: document.getElementById('view') });")  # fmt: skip
    (tmp_path / "many.html").write_text(text)
    page = browser.page(tmp_path / "many.html")
    for _ in range(20):  # Chromium keeps sixteen contexts and drops the oldest with a warning
        page.evaluate("async () => { const end = again(); await new Promise((r) => setTimeout(r, 60)); end(); }")
    assert not [text for _, text in browser.console if "Too many active WebGL" in text]
