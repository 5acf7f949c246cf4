"""Write README.md from nbs/index.ipynb.

.venv/bin/python tools/build_readme.py
"""

import re

import nbformat
from nbconvert import MarkdownExporter

from notebooks import directives
from project import NOTEBOOKS, ROOT

README = ROOT / "README.md"
NOTE = "<!-- Written from nbs/index.ipynb by tools/build_readme.py: edit there. -->"


def render() -> str:
    "Text of README.md: the index notebook's prose and code, in order, without cells that say `#| hide`."
    notebook = nbformat.read(NOTEBOOKS / "index.ipynb", as_version=4)
    notebook.cells = [cell for cell in notebook.cells if "hide" not in directives(cell.source)]
    for cell in notebook.cells:
        cell.source = re.sub(r"(?m)^#\|.*\n", "", cell.source)
    notebook.metadata["language_info"] = {"name": "python"}
    body, _ = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True).from_notebook_node(notebook)
    # Links within the site are relative to nbs/; on the repository's front page they start at its top.
    body = re.sub(r"\]\((?![a-z]+:|#|/)([^)]+)\)", lambda found: f"]({_from_top(found[1])})", body)
    # A notebook keeps imports in a cell of their own; a reader of the page copies one block.
    body = body.replace("\n```\n\n```python\n", "\n\n")
    body = re.sub(r"\n{3,}", "\n\n", body).strip()
    title, rest = body.split("\n", 1)
    return f"{title}\n\n{NOTE}\n{rest}\n"


def _from_top(link: str) -> str:
    return link.removeprefix("../") if link.startswith("../") else f"nbs/{link}"


if __name__ == "__main__":
    README.write_text(render(), encoding="utf-8")
