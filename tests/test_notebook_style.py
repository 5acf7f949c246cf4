"""The notebooks are a source one can read: clean, small cells, prose and assertions, no tricks."""

import ast
import json
import re
from copy import deepcopy
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from nbdev.clean import clean_nb
from reference import exported_modules

from notebooks import code_cells, directives
from project import ROOT, notebooks

CLASS_LINES, FUNCTION_LINES = 130, 50
NOTEBOOK_CELLS = 95  # a notebook of more is two notebooks
CELLS, EXAMPLES_PER_EXPORT = 45, 1.3  # median over the library's notebooks, and mean over their exported cells
EXPORTS = {"export", "exporti", "exports"}
Notebook = dict[str, Any]

ALL = [pytest.param(path, id=str(path.relative_to(ROOT))) for path in notebooks()]
API = [pytest.param(path, id=path.stem) for path in notebooks("api")]


def read(path: Path) -> Notebook:
    "The notebook at `path`, as JSON."
    return json.loads(path.read_text(encoding="utf-8"))


def code(notebook: Notebook) -> list[str]:
    "Sources of the code cells."
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]


def parse(source: str) -> ast.Module:
    "Syntax tree of a cell; shell and magic lines are Jupyter's, not Python's."
    return ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))


@pytest.mark.parametrize("path", ALL)
def test_carries_no_outputs_and_no_widget_state(path: Path) -> None:
    notebook = read(path)
    cleaned = deepcopy(notebook)
    clean_nb(cleaned, clear_all=True)
    cleaned["metadata"].pop("widgets", None)
    assert notebook == cleaned, "run .venv/bin/nbdev-clean"
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "run .venv/bin/nbdev-clean"


@pytest.mark.parametrize("path", ALL)
def test_is_short_enough_to_read(path: Path) -> None:
    notebook = read(path)
    assert len(notebook["cells"]) <= NOTEBOOK_CELLS
    long = []
    for source in code(notebook):
        for node in ast.walk(parse(source)) if directives(source) & EXPORTS else ():
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                # arguments with their comments take a line each, so a function is measured by its body
                first = node.lineno if isinstance(node, ast.ClassDef) else node.body[0].lineno
                lines = (node.end_lineno or 0) - first + 1
                if isinstance(node, ast.FunctionDef):  # those within it are measured by themselves
                    inner = [each for each in node.body if isinstance(each, ast.FunctionDef)]
                    lines -= sum((each.end_lineno or 0) - each.lineno + 1 for each in inner)
                most = CLASS_LINES if isinstance(node, ast.ClassDef) else FUNCTION_LINES
                long += [f"{node.name}: {lines} lines"] if lines > most else []
    assert not long, f"classes of more than {CLASS_LINES} lines, or functions of more than {FUNCTION_LINES}: {long}"


def test_the_librarys_notebooks_tell_stories() -> None:
    "Topics, not modules: prose and examples between the exports."
    sources = [code(read(path.values[0])) for path in API]
    exported = sum(bool(directives(source) & EXPORTS) for each in sources for source in each)
    examples = sum(not directives(source) for each in sources for source in each)
    assert median(len(read(path.values[0])["cells"]) for path in API) >= CELLS
    assert examples >= EXAMPLES_PER_EXPORT * exported


def test_classes_stand_whole() -> None:
    "A private base class with one heir is a class cut in two."
    heirs: dict[str, set[str]] = {}
    for path in API:
        for source in code(read(path.values[0])):
            for node in ast.walk(parse(source)) if directives(source) & EXPORTS else ():
                if isinstance(node, ast.ClassDef):
                    for base in node.bases:
                        heirs.setdefault(ast.unparse(base), set()).add(node.name)
    single = {base: heir for base, heir in heirs.items() if base.startswith("_") and len(heir) == 1}
    assert not single, f"merge these into their only heirs: {single}"


@pytest.mark.parametrize("path", ALL)
def test_imports_stand_in_cells_of_their_own(path: Path) -> None:
    "nbdev runs a cell with imports once more when it renders the documentation: code in it would run twice."
    for source in code(read(path)):
        kinds = [type(node) for node in parse(source).body]
        imports = [kind for kind in kinds if kind in (ast.Import, ast.ImportFrom)]
        assert len(imports) in (0, len(kinds)), f"imports and code in one cell:\n{source}"


@pytest.mark.parametrize("path", ALL)
def test_every_cell_runs_and_says_where_names_come_from(path: Path) -> None:
    for source in code(read(path)):
        assert not re.search(r"#\|\s*eval:\s*false", source), f"an example that never runs:\n{source}"
        stars = [
            node for node in ast.walk(parse(source)) if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
        ]
        assert not stars, f"a star import:\n{source}"


@pytest.mark.parametrize("path", API)
def test_opens_with_its_title_and_one_line(path: Path) -> None:
    first = read(path)["cells"][0]
    assert first["cell_type"] == "markdown"
    assert re.match(r"# .+\n\n> .+", "".join(first["source"])), "begin with `# title`, a blank line, `> one line`"


def test_each_module_has_one_home_and_each_exporting_cell_a_module() -> None:
    homes: dict[str, set[Path]] = {}
    for path in notebooks("api"):
        sources = code_cells(path)
        for source, module in zip(sources, exported_modules(sources), strict=True):
            if directives(source) & EXPORTS:
                assert module, f"{path.name}: name a module, #| default_exp … or #| export …"
                homes.setdefault(module, set()).add(path)
    assert not {module: paths for module, paths in homes.items() if len(paths) > 1}


@pytest.mark.parametrize("path", API)
def test_shows_every_module_at_work_and_asserts_the_results(path: Path) -> None:
    sources = code(read(path))
    modules = exported_modules(sources)
    examples = "\n".join(source for source in sources if not directives(source))
    for module in {module for module in modules if module}:
        exported = [parse(source) for source, home in zip(sources, modules, strict=True) if home == module]
        names = {node.name for tree in exported for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
        assert not names or any(re.search(rf"\b{name}\b", examples) for name in names), f"no example uses {module}"
    checks = [node for source in sources if not directives(source) & EXPORTS for node in ast.walk(parse(source))]
    assert sum(isinstance(node, ast.Assert) for node in checks) >= len(set(filter(None, modules)))
