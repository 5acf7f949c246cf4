"""The notebooks are a source one can read: clean, small cells, prose and assertions, no tricks."""

import ast
import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from nbdev.clean import clean_nb

from notebooks import directives
from project import ROOT, notebooks

EXPORT_CELL_LINES = 50
NOTEBOOK_CELLS = 65  # a notebook of more is two notebooks
EXPORTED_LINES = 330
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
    exported = [source.splitlines() for source in code(notebook) if directives(source) & EXPORTS]
    long = [f"{len(lines)} lines from `{lines[1]}`" for lines in exported if len(lines) > EXPORT_CELL_LINES]
    assert not long, f"export cells of more than {EXPORT_CELL_LINES} lines: {long}"
    assert len(notebook["cells"]) <= NOTEBOOK_CELLS
    assert sum(map(len, exported)) <= EXPORTED_LINES, "two notebooks would be easier to read"


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
    notebook = read(path)
    first, second = notebook["cells"][:2]
    assert first["cell_type"] == "markdown"
    assert re.match(r"# .+\n\n> .+", "".join(first["source"])), "begin with `# title`, a blank line, `> one line`"
    assert "default_exp" in directives("".join(second["source"])), "the second cell names the module: #| default_exp …"


@pytest.mark.parametrize("path", API)
def test_asserts_what_it_says(path: Path) -> None:
    examples = [source for source in code(read(path)) if not directives(source) & EXPORTS]
    checks = [node for source in examples for node in ast.walk(parse(source)) if isinstance(node, ast.Assert)]
    assert checks, "an api notebook shows its module at work and asserts the result"
