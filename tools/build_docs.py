"""Render the notebooks as a static site that works from a file or any static host: run them (or take what the tests
left), pass them through nbdev's processors, hand them to Sphinx with MyST-NB and furo.

In: nbs/, docs/. Out: _docs/. Needs no Quarto, and no network once the npm packages below lie in build/npm/.

    .venv/bin/python tools/build_docs.py
"""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import plotly
import yaml
from fastcore.nbio import read_nb, write_nb
from nbdev.config import nbpath2html
from nbdev.processors import FilterDefaults, exec_show_docs
from nbformat.v4 import new_markdown_cell

from notebooks import EXECUTED, executed
from project import BUILD, LIBRARY, ROOT, notebooks

NPM = BUILD / "npm"
SOURCE = BUILD / "docs"
STATIC = SOURCE / "_static"
SITE = ROOT / "_docs"
# Browser libraries no Python wheel carries, with the one file of each that the site needs.
PACKAGES = {
    "@jupyter-widgets/html-manager@1.0.15": "dist/embed-amd.js",
    "mathjax@3.2.2": "es5/tex-svg.js",
    "requirejs@2.3.8": "require.js",
}
SECTIONS = {"tutorials": "Tutorials", "explanations": "Explanations", "api": "The library, notebook by notebook"}
PROJECT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
Cell = Any  # fastcore's NbCell: attributes and keys alike


class ShowFromLibrary(exec_show_docs):
    """Documents names as the library has them.

    nbdev would run the export cells again, and trip over annotations that name what comes in a later cell.
    """

    def begin(self) -> None:
        "Start a shell that knows all names of the notebook's module."
        super().begin()
        named = re.search(r"#\|\s*default_exp:?\s+([\w.]+)", "\n".join(joined(cell.source) for cell in self.nb.cells))
        if named:
            # By its full name: a room may offer a function that is called like its module.
            self.k.run_cell(f"import importlib\nglobals().update(vars(importlib.import_module('{LIBRARY.name}.{named[1]}')))")

    def __call__(self, cell: Cell) -> None:
        "Run a cell that documents; leave all others."
        if cell.cell_type == "code" and re.search(r"(?m)^show_doc\(", joined(cell.source)):
            self.k.cell(cell)
            if self.k.exc:
                raise RuntimeError(f"cannot document:\n{cell.source}") from self.k.exc


class Processors(FilterDefaults):
    "nbdev's processors, documenting from the library."

    def base_procs(self) -> list[Any]:
        "Processors in their order."
        return [ShowFromLibrary if each is exec_show_docs else each for each in super().base_procs()]


def joined(text: str | list[str]) -> str:
    "Notebook text, which may be a list of lines."
    return text if isinstance(text, str) else "".join(text)


def fetch(package: str) -> Path:
    "Folder of an npm package under build/npm/, downloaded there once."
    folder = NPM / re.sub(r"\W+", "-", package).strip("-")
    if not folder.exists():
        NPM.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", package]
        try:
            archive = subprocess.run(command, cwd=NPM, check=True, capture_output=True, text=True).stdout.split()[-1]
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            sys.exit(f"cannot get {package}: `npm pack` needs Node and, once, a package registry ({error})")
        shutil.unpack_archive(NPM / archive, folder, filter="data")
        (NPM / archive).unlink()
    return folder / "package"


def gather_assets() -> None:
    "Put everything a page may load into the site's static folder."
    shutil.copytree(ROOT / "docs/static", STATIC)
    anywidget = Path(sys.prefix) / "share/jupyter/nbextensions/anywidget/index.js"
    own = [LIBRARY / "widgets/static/3Dmol-min.js", Path(plotly.__file__).parent / "package_data/plotly.min.js"]
    for path in [*own, *(fetch(package) / file for package, file in PACKAGES.items())]:
        shutil.copy2(path, STATIC / path.name)
    shutil.copy2(anywidget, STATIC / "anywidget.js")


def figure_html(figure: dict[str, Any]) -> str:
    "A box that docs/static/figures.js fills with the plotly `figure`."
    height = figure.get("layout", {}).get("height") or 450
    data = json.dumps(figure).replace("</", "<\\/")
    box = f'<div class="plotly-figure" style="height:{int(height)}px;width:100%"></div>'
    return f'{box}\n<script type="application/json">{data}</script>'


def make_local(output: Cell, up: str) -> None:
    "Let a cell's output load the site's own libraries, `up` being the way from its page to the site's top."
    data = output.get("data", {})
    figure = data.pop("application/vnd.plotly.v1+json", None)
    if figure:
        data["text/html"] = figure_html(figure)
    if data.pop("application/3dmoljs_load.v0", None) is not None:
        page = joined(data["text/html"])
        data["text/html"] = re.sub(r"https?://[^'\"]*3[Dd]mol[^'\"]*\.js", f"{up}_static/3Dmol-min.js", page)


def opening(source: str) -> str:
    "Title and one line of a page, which nbdev has turned into YAML for Quarto."
    fields = yaml.safe_load(source.strip().strip("-"))
    return f"# {fields['title']}\n\n> {fields.get('description', '')}".removesuffix("\n\n> ")


def documentation(cell: Cell) -> str:
    "Markdown of what nbdev documents a name with; its heading can be linked to as nbdev's index does."
    shown = [joined(output["data"].get("text/markdown", "")) for output in cell.outputs if "data" in output]
    text = re.sub(r"\A---\n", "", "\n".join(shown))

    def heading(found: re.Match[str]) -> str:
        name = found[2].strip()
        return f'<a id="{html.escape(name.lower())}"></a>\n\n{found[1]} `{name}`'

    return re.sub(r"^(#{2,5}) (.+)$", heading, text, count=1, flags=re.M)


def relative_links(text: str, up: str) -> str:
    "Links of nbdev start at the site's root: start them at this page. Links to a source repository nobody named go."
    text = re.sub(r"\[source\]\(/blob[^)]*\)(\{[^}]*\})?\n*", "", text)
    text = re.sub(r"\[`([^`]+)`\]\(/([\w./-]+\.html[^)]*)\)", rf'<a href="{up}\2"><code>\1</code></a>', text)
    for name in PROJECT_PAGES:  # beside nbs/ in the checkout, at the top of the site
        text = text.replace(f"](../{up}{name})", f"]({up}{name})")
    # From notebook to notebook: pages lose the number.
    return re.sub(r"(\]\((?![a-z]+:)[\w./-]*?)(\d+[a-z]?_)?([\w-]+)\.ipynb(#[^)]*)?\)", r"\1\3.ipynb\4)", text)


def page(path: Path) -> tuple[Path, Any]:
    "Place in the site and MyST notebook of the executed notebook at `path`."
    shown = executed(path)
    place = nbpath2html(shown.relative_to(EXECUTED)).with_suffix(".ipynb")
    up = "../" * (len(place.parts) - 1)
    notebook = read_nb(shown)
    Processors()(notebook)
    cells = []
    for cell in notebook.cells:
        source = joined(cell.source)
        if source.startswith("<!-- WARNING"):
            continue
        if cell.cell_type == "raw" and source.startswith("---"):
            cell = new_markdown_cell(opening(source))
        if cell.cell_type == "code" and "#| output: asis" in source:
            cell = new_markdown_cell(documentation(cell))
        cell.metadata.pop("execution", None)  # nbdev's timings, which notebooks must not hold
        if cell.cell_type == "markdown":
            cell["source"] = relative_links(joined(cell["source"]), up)
        for output in cell.get("outputs", []):
            make_local(output, up)
        cells.append(cell)
    notebook["cells"] = cells
    return place, notebook


def contents(title: str, entries: str) -> Any:
    "A section of the site's list of pages."
    return new_markdown_cell(f"```{{toctree}}\n:hidden:\n:caption: {title}\n\n{entries}\n```")


def add_contents(places: list[Path]) -> None:
    "Give the front page the list of all others, section by section."
    front = nbformat.read(SOURCE / "index.ipynb", as_version=4)
    for folder, title in SECTIONS.items():
        entries = "\n".join(str(place.with_suffix("")) for place in places if place.parts[0] == folder)
        if entries:
            front.cells.append(contents(title, entries))
    front.cells.append(contents("The project", "\n".join(name.removesuffix(".md") for name in PROJECT_PAGES)))
    nbformat.write(front, SOURCE / "index.ipynb")


def main() -> int:
    "Build the site; Sphinx's exit status, warnings counting as errors."
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.rmtree(SITE, ignore_errors=True)
    SOURCE.mkdir(parents=True)
    os.chdir(ROOT)  # nbdev looks for its configuration from here
    gather_assets()
    places = []
    for path in notebooks():
        place, notebook = page(path)
        (SOURCE / place).parent.mkdir(parents=True, exist_ok=True)
        write_nb(notebook, SOURCE / place)
        places.append(place)
    for name in PROJECT_PAGES:
        shutil.copy2(ROOT / name, SOURCE / name)
    add_contents(places)
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "docs"), "-D", f"html_static_path={STATIC}"]
    return subprocess.call([sys.executable, "-m", "sphinx", *options, str(SOURCE), str(SITE)])


if __name__ == "__main__":
    sys.exit(main())
