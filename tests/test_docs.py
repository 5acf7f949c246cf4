"""The documentation's builder turns what nbdev and Jupyter write into pages that load nothing from elsewhere."""

import ast
import importlib
import json
import re
import shutil
from pathlib import Path
from types import FunctionType, SimpleNamespace

import plotly
import pytest
from build_docs import document_cell, drop_broken_widgets, figure_html, make_local, relative_links, share_scripts
from fastcore.nbio import NbCell
from reference import (
    SECTIONS,
    Symbol,
    by_name,
    cited,
    documentation,
    exported_modules,
    link_names,
    link_sections,
    rooms,
    signature,
    symbols,
)

from browser import Browser
from project import ROOT


def test_links_lead_to_pages_of_the_site() -> None:
    assert relative_links("[more](../api/core/02_crystal.ipynb#in)", "../") == "[more](../api/core/02_crystal.ipynb#in)"
    assert relative_links("[how](../CONTRIBUTING.md)", "") == "[how](CONTRIBUTING.md)"
    assert relative_links("![see](../docs/static/a.svg)", "") == "![see](_static/a.svg)"
    assert relative_links("[far](https://example.org/01_a.ipynb)", "") == "[far](https://example.org/01_a.ipynb)"


def test_a_cell_belongs_to_the_module_it_names_or_to_the_notebooks_own() -> None:
    cells = ["#| default_exp data.corpus", "#| export\nx = 1", "x + 1", "#| export data.funnel\ny = 1", "#| exporti\nz = 1"]
    own, other = "fourier_workbench.data.corpus", "fourier_workbench.data.funnel"
    assert exported_modules(cells) == [None, own, None, other, own]
    assert exported_modules(["1 + 1"]) == [None]
    quarto = ["#| default_exp: data.corpus", "#| export: true\nx = 1", "#| export: data.funnel\ny = 1"]  # as nbdev rewrites them
    assert exported_modules(quarto) == [None, own, other]


def test_names_in_prose_are_links_and_code_stays_code() -> None:
    assert link_names("use `encode(…)` or `Generator.sample`") == (
        "use [`encode(…)`](#api-representation.encode-encode) or [`Generator.sample`](#api-generation.generator-generator.sample)"
    )
    for text in ("```\n`encode`\n```", "    `encode`", "# `encode`", "[`encode`](x.html)", "`no such name`", "``encode``"):
        assert link_names(text) == text
    assert "api-widgets.ladder-" in link_names("`LadderView`") and "(#" not in link_names("`train`"), "two rooms have a train"


def test_citations_of_the_paper_are_links() -> None:
    assert cited("Draws (paper 4.2, H), as App. D.3 and the paper 5.1 say; E stands alone") == ["4.2", "H", "D.3", "5.1"]
    assert link_sections("(paper 4.1, E.1–E.3)") == "(paper [4.1](#paper-4-1), [E.1](#paper-e-1)–[E.3](#paper-e-3))"
    assert link_sections("paper Aluminium, paper 42") == "paper Aluminium, paper 42"
    unknown = {s for here in symbols().values() for each in here.values() for s in cited(each.doc)} - SECTIONS.keys()
    assert not unknown, f"docstrings cite sections that tools/reference.py does not know: {unknown}"


def test_a_name_is_documented_with_signature_errors_source_and_readers() -> None:
    seen = {"fourier_workbench.representation.encode.encode": [("tutorials/explore_a_crystal", "Explore")]}
    text = document_cell("#| export\ndef encode():\n    pass", "fourier_workbench.representation.encode", seen, "../")
    for part in ("(api-representation.encode-encode)=", "crystals: Sequence[Crystal]", "-> FourierCrystals", "#paper-3-1",
                 "[Explore](../tutorials/explore_a_crystal.ipynb)", "<summary>Source</summary>", "RepresentationError"):
        assert part in text, part
    whole = documentation(by_name()["Generator"], {}, "")
    assert "`Generator.noise_control`" in whole, "methods of private bases are its own"
    assert "rms_bias: bool = True  # complex bias" in signature(by_name()["TransformerConfig"]), "comments on fields are kept"


def test_comments_behind_arguments_are_kept() -> None:
    head = "f(\n    n: int = 64,  # samples\n    *,\n    seed: int | None = None,  # of the noise (any)\n    plain=1,\n) -> int"
    source = f"def {head}: ...\n"
    assert signature(Symbol("f", "m", "p", ast.parse(source).body[0], source)) == head


def test_every_public_name_has_a_docstring_and_a_place() -> None:
    for room, names in rooms().items():
        for name in names:
            symbol = by_name().get(f"{room}.{name}") or by_name().get(name)
            thing = getattr(importlib.import_module(room), name)
            assert symbol is not None or not isinstance(thing, (type, FunctionType)), f"{room}.{name} is documented nowhere"
    offered = {name for names in rooms().values() for name in names}
    everything = [s for here in symbols().values() for s in here.values() if "." not in s.name or s.name.split(".")[0] in offered]
    bare = [f"{s.module}.{s.name}" for s in everything if not s.doc and not s.name.endswith(".forward")]
    assert not bare, bare


def test_scripts_of_views_are_kept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build_docs.STATIC", tmp_path)
    models = {name: {"state": {"_esm": "x" * 1000, "_css": "short", "title": name}} for name in "ab"}
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": models}}}
    (kept,) = share_scripts(SimpleNamespace(metadata=metadata))
    assert models["a"]["state"]["_esm"] == models["b"]["state"]["_esm"] == f"shared:{kept.stem}"
    assert "x" * 1000 in kept.read_text() and models["a"]["state"]["_css"] == "short"


def test_widgets_that_closed_themselves_are_left_out() -> None:
    children = {"bar": ["IPY_MODEL_gone"], "box": ["IPY_MODEL_leaf"], "leaf": []}
    state = {name: {"state": {"children": inner}} for name, inner in children.items()}
    view = "application/vnd.jupyter.widget-view+json"
    outputs = [{"data": {view: {"model_id": name}}} for name in ("bar", "box", "other")] + [{"output_type": "stream"}]
    cell = NbCell(0, {"cell_type": "code", "source": "", "outputs": outputs})
    metadata = {"widgets": {"application/vnd.jupyter.widget-state+json": {"state": state}}}
    drop_broken_widgets(SimpleNamespace(cells=[cell], metadata=metadata))
    assert cell.outputs == [outputs[1], outputs[3]]


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
