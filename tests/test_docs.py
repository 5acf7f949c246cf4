"""The documentation's builder turns what nbdev and Jupyter write into pages that load nothing from elsewhere."""

import json
import re
import shutil
from pathlib import Path

import plotly
import pytest
from build_docs import figure_html, make_local, opening, relative_links

from browser import Browser
from project import ROOT


def test_links_start_at_the_page_and_lose_notebook_numbers() -> None:
    assert relative_links("[`Crystal`](/api/crystal.html#crystal)", "../") == (
        '<a href="../api/crystal.html#crystal"><code>Crystal</code></a>'
    )
    assert relative_links("[more](../api/02_crystal.ipynb#in)", "../") == "[more](../api/crystal.ipynb#in)"
    assert relative_links("[more](explore_a_crystal.ipynb)", "") == "[more](explore_a_crystal.ipynb)"
    assert relative_links("[how](../CONTRIBUTING.md)", "") == "[how](CONTRIBUTING.md)"
    assert relative_links("[far](https://example.org/01_a.ipynb)", "") == "[far](https://example.org/01_a.ipynb)"


def test_a_page_opens_with_its_title() -> None:
    assert opening("---\ndescription: What it is\ntitle: Crystal\n---\n") == "# Crystal\n\n> What it is"
    assert opening("---\ntitle: Crystal\n---\n") == "# Crystal"


@pytest.mark.parametrize("up", ["", "../"])
def test_outputs_load_the_libraries_of_the_site(up: str) -> None:
    view = {"application/3dmoljs_load.v0": "", "text/html": "load('https://cdnjs.example/3Dmol/2.5.5/3Dmol-min.js')"}
    figure = {"application/vnd.plotly.v1+json": {"data": [], "layout": {"title": "</script>"}}, "text/plain": "Figure"}
    for data in (view, figure):
        make_local({"data": data}, up)
        assert "http" not in data["text/html"]
    assert view["text/html"] == f"load('{up}_static/3Dmol-min.js')"
    assert figure["text/html"].count("</script>") == 1, "a figure's own text must not close the element it lies in"


def test_figures_draw_without_a_kernel(browser: Browser, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs/static/figures.js", tmp_path)
    shutil.copy(Path(plotly.__file__).parent / "package_data/plotly.min.js", tmp_path)
    figure = figure_html({"data": [{"type": "scatter", "y": [1, 2, 0]}], "layout": {"height": 200}})
    assert json.loads(re.search(r"json\">(.*)</script>", figure)[1])["layout"] == {"height": 200}
    (tmp_path / "page.html").write_text(f"<!doctype html>{figure}<script src='figures.js'></script>")
    page = browser.page(tmp_path / "page.html")
    page.locator(".plotly-figure svg.main-svg").first.wait_for()
    assert not browser.complaints()
    assert not browser.blocked
