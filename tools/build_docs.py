"""Render the notebooks as a static site that works from a file or any static host: run them (or take what the tests
left), pass them through nbdev's processors, hand them to Sphinx with MyST-NB and furo.

In: nbs/, docs/, the library. Out: _docs/. Needs no Quarto, and no network once the npm packages below lie in build/npm/.
Only what changed is run, written and rendered again.

    .venv/bin/python tools/build_docs.py            build/ and _docs/ stay for the next time
    .venv/bin/python tools/build_docs.py --fresh    everything but the notebooks' outputs anew
"""

import ast
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import nbformat
import plotly
import reference
from fastcore.nbio import mk_cell, read_nb
from nbdev.frontmatter import FrontmatterProc
from nbdev.process import Processor
from nbdev.processors import FilterDefaults, add_links, add_show_docs, clean_magics, clean_show_doc, exec_show_docs
from nbformat.v4 import new_markdown_cell

from notebooks import executed
from project import BUILD, LIBRARY, ROOT, notebooks

NPM = BUILD / "npm"
SOURCE = BUILD / "docs"
STATIC = SOURCE / "_static"
DOCTREES = BUILD / "doctrees"
SITE = ROOT / "_docs"
# Browser libraries no Python wheel carries: the one file of each that the site needs.
PACKAGES = {
    "@jupyter-widgets/html-manager@1.0.15": "dist/embed-amd.js",
    "mathjax@3.2.2": "es5/tex-svg.js",
    "requirejs@2.3.8": "require.js",  # its licence (MIT) stands in its first lines
}
# The site's list of pages: pages and folders; a page named by itself stands where it is named, not in its folder's list.
SECTIONS = {
    "Tutorials": ("tutorials/explore_a_crystal", "tutorials/train_a_model", "tutorials/generate_crystals",
                  "tutorials/ask_for_crystals", "tutorials/solve_a_pattern", "tutorials/evaluate_samples",
                  "tutorials/your_own_data", "tutorials/reproduce_the_paper", "tutorials"),
    "How to": ("howto",),
    "Explanations": ("explanations/representation", "explanations/recovery", "explanations/ladder", "explanations/schedule",
                     "explanations"),
    "The paper": ("explanations/paper_row_by_row", "explanations/open_questions", reference.SECTIONS_PAGE),
    "The library, notebook by notebook": (reference.NAMES_PAGE, "api"),
}  # fmt: skip
PROJECT_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
Cell = Any  # fastcore's NbCell: attributes and keys alike
Mentions = dict[str, list[tuple[str, str]]]


def documenting(mentions: Mentions, up: str) -> type[Processor]:
    "A processor for a page `up` from the site's top, that names pages of `mentions`."
    return type("DocumentNames", (_DocumentNames,), {"mentions": mentions, "up": up})


class _DocumentNames(Processor):
    """Puts the documentation of what an exported cell defines in the cell's place, its code folded beneath.

    Names are read from the library: nbdev would run the cells again, and trip over annotations that name what comes later.
    """

    mentions: Mentions
    up: str

    def begin(self) -> None:
        "Insert a cell of prose behind each exported one."
        code = [joined(cell.source) if cell.cell_type == "code" else "" for cell in self.nb.cells]
        cells = []
        for cell, module in zip(self.nb.cells, reference.exported_modules(code), strict=True):
            cells.append(cell)
            if module:
                text = document_cell(joined(cell.source), module, self.mentions, self.up)
                if text:
                    cells.append(mk_cell(text, "markdown"))
        self.nb["cells"] = cells
        for i, cell in enumerate(cells):
            cell.idx_ = i

    def __call__(self, cell: Cell) -> None:
        "Nothing is left to do for single cells."


class Processors(FilterDefaults):
    "nbdev's processors, `document` in place of its own; names are linked by tools/reference.py."

    def __init__(self, document: type[Processor]) -> None:
        self.document = document

    def base_procs(self) -> list[Any]:
        "Processors in their order."
        ours = {FrontmatterProc: [], exec_show_docs: [self.document], add_show_docs: [], clean_show_doc: [], add_links: [],
                clean_magics: []}  # our notebooks have no magics; it would read pyproject.toml again for each cell
        return [new for each in super().base_procs() for new in ours.get(each, [each])]


def document_cell(source: str, module: str, mentions: Mentions, up: str) -> str:
    "MyST of all public names an exported cell defines, and its code, folded."
    names = [node.name for node in reference.public_nodes(ast.parse(source))]
    known = reference.symbols()[module]
    parts = [reference.documentation(known[name], mentions, up) for name in names if name in known]
    if not parts:
        return ""
    code = re.sub(r"(?m)^#\|.*\n", "", source).strip()
    fence = "`" * 4
    folded = f"<details class=\"source\"><summary>Source</summary>\n\n{fence}python\n{code}\n{fence}\n\n</details>"
    return "\n\n".join([*parts, folded])


def joined(text: str | list[str]) -> str:
    "Notebook text, which may be a list of lines."
    return text if isinstance(text, str) else "".join(text)


class MissingPackage(SystemExit):
    "A browser library could not be had."


def fetch(package: str) -> Path:
    "Folder of an npm package under build/npm/, downloaded there once."
    folder = NPM / re.sub(r"\W+", "-", package).strip("-")
    if not folder.exists():
        NPM.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", package]
        try:
            archive = subprocess.run(command, cwd=NPM, check=True, capture_output=True, text=True).stdout.split()[-1]
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            remedy = "`npm pack` needs Node and, once, a package registry; or copy build/npm/ from a checkout that has it"
            raise MissingPackage(f"cannot get {package}: {remedy} ({error})") from error
        shutil.unpack_archive(NPM / archive, folder, filter="data")
        (NPM / archive).unlink()
    return folder / "package"


def write(path: Path, content: str | bytes) -> None:
    "Write a file unless it says so already: Sphinx renders again what is newer than its page."
    data = content.encode() if isinstance(content, str) else content
    if not path.exists() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def licence(distribution: str) -> Path:
    "The licence file of an installed distribution."
    files = metadata.files(distribution) or []
    return Path(str(next(file for file in files if re.search(r"dist-info/.*LICEN[CS]E", str(file))).locate()))


def gather_assets() -> set[Path]:
    "Put everything a page may load into the site's static folder, licences beside; the files."
    plotly_js = Path(plotly.__file__).parent / "package_data/plotly.min.js"
    wanted = {path.name: path for path in [*sorted((ROOT / "docs/static").iterdir()), plotly_js]}
    wanted |= {path.name: path for path in sorted((LIBRARY / "widgets/static").glob("3Dmol*"))}
    wanted["anywidget.js"] = Path(sys.prefix) / "share/jupyter/nbextensions/anywidget/index.js"
    wanted |= {Path(file).name: fetch(package) / file for package, file in PACKAGES.items()}
    wanted["tex-svg.js.LICENSE.txt"] = fetch("mathjax@3.2.2") / "LICENSE"
    owners = {"embed-amd.js": "ipywidgets", "plotly.min.js": "plotly", "anywidget.js": "anywidget"}
    wanted |= {f"{name}.LICENSE.txt": licence(owner) for name, owner in owners.items()}
    for name, path in wanted.items():
        write(STATIC / name, path.read_bytes())
    return {STATIC / name for name in wanted}


def widget_state(notebook: Any) -> dict[str, Any]:
    "The models of a notebook's widgets by id."
    return notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json", {}).get("state", {})


def whole(model: str, state: dict[str, Any]) -> bool:
    "Whether a widget and all it is made of are there: progress bars that closed themselves are not."
    inner = re.findall(r"IPY_MODEL_(\w+)", json.dumps(state.get(model, {}).get("state", {})))
    return model in state and all(whole(each, state) for each in inner)


def drop_broken_widgets(notebook: Any) -> None:
    "Leave out outputs that show a widget which is no longer whole."
    state, mime = widget_state(notebook), "application/vnd.jupyter.widget-view+json"
    for cell in notebook.cells:
        if cell.cell_type == "code":
            shown = [(output, output.get("data", {}).get(mime)) for output in cell.outputs]
            cell["outputs"] = [output for output, view in shown if view is None or whole(view["model_id"], state)]


def share_scripts(notebook: Any) -> set[Path]:
    """Take the scripts of views out of a page, into one file a kind that all pages share; the files.

    A script is the same for all views of its kind and holds a 3D library; docs/static/widgets.js puts it back.
    """
    shared = set()
    for model in widget_state(notebook).values():
        for trait in ("_esm", "_css"):
            text = model["state"].get(trait, "")
            if len(text) > 200:
                name = f"view-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
                path = STATIC / f"{name}.js"
                write(path, f"(window.fwbShared ||= {{}})[{json.dumps(name)}] = {json.dumps(text)};\n")
                model["state"][trait] = f"shared:{name}"
                shared.add(path)
    return shared


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


def relative_links(text: str, up: str) -> str:
    "Links to files beside nbs/, as the site has them."
    for name in PROJECT_PAGES:  # beside nbs/ in the checkout, at the top of the site
        text = text.replace(f"](../{up}{name})", f"]({up}{name})")
    text = text.replace(f"](../{up}docs/static/", f"]({up}_static/")
    return text


def place_of(path: Path) -> Path:
    "Place in the site of the page of the notebook at `path`."
    return Path(f"{reference.page_of(path)}.ipynb")


def page(path: Path, mentions: Mentions) -> Any:
    "MyST notebook of the executed notebook at `path`."
    up = "../" * (len(place_of(path).parts) - 1)
    notebook = read_nb(executed(path))
    code = [joined(cell.source) if cell.cell_type == "code" else "" for cell in notebook.cells]
    modules = list(dict.fromkeys(module for module in reference.exported_modules(code) if module))
    drop_broken_widgets(notebook)
    Processors(documenting(mentions, up))(notebook)
    cells = []
    for i, cell in enumerate(notebook.cells):
        source = joined(cell.source)
        if source.startswith("<!-- WARNING"):
            continue
        cell["id"] = f"cell-{i}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "markdown":
            prose = relative_links(joined(cell["source"]), up)
            cell["source"] = reference.link_sections(reference.link_names(prose, *modules))
        for output in cell.get("outputs", []):
            make_local(output, up)
        cells.append(cell)
    notebook.metadata.pop("fourier_workbench", None)
    return nbformat.from_dict({"cells": cells, **{name: notebook[name] for name in ("metadata", "nbformat", "nbformat_minor")}})


def texts(path: Path) -> tuple[str, str, str]:
    "Title, prose and code of a notebook."
    cells = nbformat.read(path, as_version=4).cells
    prose = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    return prose.split("\n", 1)[0].removeprefix("# ").strip(), prose, code


def prose_pages() -> dict[str, tuple[str, str, str]]:
    "Title, prose and code of the pages that are not the library's own, by place without ending."
    found = [path for folder in ("tutorials", "howto", "explanations") for path in notebooks(folder)]
    return {reference.page_of(path): texts(path) for path in found}


def citing(pages: dict[str, tuple[str, str, str]]) -> dict[str, list[tuple[str, str]]]:
    "Pages that cite each section of the paper: (page, title)."
    found: dict[str, list[tuple[str, str]]] = {}
    for place, (title, prose, _) in pages.items():
        for section in reference.cited(prose):
            found.setdefault(section, []).append((place, title))
    return found


def contents(title: str, entries: str) -> Any:
    "A section of the site's list of pages."
    # pages only: Furo shows no deeper level, and copying all headings into every page takes a quarter of the build
    return new_markdown_cell(f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n:caption: {title}\n\n{entries}\n```")


def arranged(pages: list[str]) -> dict[str, list[str]]:
    "Pages under the titles of `SECTIONS`; `pages` come in the order of their numbers."
    named = {each for entries in SECTIONS.values() for each in entries}
    found: dict[str, list[str]] = {}
    for title, entries in SECTIONS.items():
        lists = [[e] if e in pages else [p for p in pages if p.startswith(f"{e}/") and p not in named] for e in entries]
        found[title] = [page for each in lists for page in each]
    return {title: each for title, each in found.items() if each}


def add_contents(front: Any, pages: list[str]) -> None:
    "Give the front page the list of all others, section by section."
    for title, entries in arranged(pages).items():
        front.cells.append(contents(title, "\n".join(entries)))
    front.cells.append(contents("The project", "\n".join(name.removesuffix(".md") for name in PROJECT_PAGES)))


def run_all(workers: int) -> None:
    "Run the notebooks that changed, `workers` at a time."
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(executed, notebooks()))


def write_sources() -> None:
    "All that Sphinx reads, into build/docs/; what belongs to no page goes."
    spoken = prose_pages()
    mentions = reference.mentions(spoken)
    generated = {reference.SECTIONS_PAGE: reference.sections_page(citing(spoken), "../"),
                 reference.NAMES_PAGE: reference.names_page("../")}
    pages = [*generated, *(reference.page_of(path) for path in notebooks())]
    wanted = gather_assets()
    for path in notebooks():
        notebook, place = page(path, mentions), SOURCE / place_of(path)
        if place == SOURCE / "index.ipynb":
            add_contents(notebook, pages)
        wanted |= share_scripts(notebook) | {place}
        write(place, json.dumps(notebook, ensure_ascii=False, indent=1, sort_keys=True))
    texts = {f"{name}.md": text for name, text in generated.items()}
    for name in PROJECT_PAGES:
        text = (ROOT / name).read_text(encoding="utf-8").replace("](nbs/", "](")
        texts[name] = reference.link_names(relative_links(text, ""))
    for name, text in texts.items():
        write(SOURCE / name, text)
        wanted.add(SOURCE / name)
    for path in SOURCE.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink()


def main(fresh: bool = False, workers: int | None = None) -> int:
    "Build the site; Sphinx's exit status, warnings counting as errors."
    os.chdir(ROOT)  # nbdev looks for its configuration from here
    if fresh:
        for folder in (SOURCE, DOCTREES, SITE):
            shutil.rmtree(folder, ignore_errors=True)
    run_all(workers or min(4, os.cpu_count() or 1))
    write_sources()
    options = ["-q", "-W", "--keep-going", "-b", "html", "-c", str(ROOT / "docs"), "-d", str(DOCTREES)]
    options += ["-D", f"html_static_path={STATIC}"]
    status = subprocess.call([sys.executable, "-m", "sphinx", *options, str(SOURCE), str(SITE)])
    shutil.rmtree(SITE.parent / "jupyter_execute", ignore_errors=True)  # copies that MyST-NB leaves beside the site
    if status:  # what was warned of once must be warned of again
        shutil.rmtree(DOCTREES, ignore_errors=True)
    return status


if __name__ == "__main__":
    sys.exit(main(fresh="--fresh" in sys.argv[1:]))
