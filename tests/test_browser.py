"The browser driver does what the widget tests rely on: real cells in real JupyterLab, and no way out to the network."

import pytest

import browser as browser_module
from browser import OUTPUT, Browser, JupyterLab, write_notebook


def test_a_notebook_runs_in_jupyterlab(lab: JupyterLab, browser: Browser) -> None:
    write_notebook(
        lab.root / "driver.ipynb",
        "%% md\n# Driver",
        "from IPython.display import HTML",
        "HTML('<b id=made>made</b>')",
        "1 / 0",
    )
    page = browser.open_notebook(lab, "driver.ipynb")
    browser.run_all(page)
    page.locator(f"{OUTPUT} #made").wait_for()
    assert browser.errors(page) == ["ZeroDivisionError: division by zero"]
    assert browser.received > 0
    assert not browser.blocked


def test_other_hosts_are_refused_and_noted(browser: Browser, tmp_path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<title>page</title><script src='https://example.org/lib.js'></script><canvas></canvas>")
    opened = browser.page(page)
    assert opened.title() == "page"
    assert browser.blocked == ["https://example.org/lib.js"]
    assert opened.evaluate("() => !!document.querySelector('canvas').getContext('webgl2')"), "3D views need WebGL"


def test_a_missing_browser_skips_here_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browser_module, "find_chromium", lambda: None)
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"):
        browser_module.need_chromium()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        browser_module.need_chromium()
