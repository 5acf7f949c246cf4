"""Run notebooks, and keep what they printed and drew for the documentation.

In: a notebook of nbs/. Out: the same notebook with outputs under build/executed/, stamped with the hash of everything
that decided them: its own cells, the library, the lock, the results of benchmarks, Python. `make test` and `make docs` share
these copies, also while both are at work: whoever comes first runs a notebook, the others wait for it and take what it left.

    .venv/bin/python tools/notebooks.py nbs/api/core/02_cif_and_crystal.ipynb ...     run these (all, when none is named)
"""

import fcntl
import hashlib
import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets import default

from kernels import kernel
from project import BUILD, LIBRARY, NOTEBOOKS, ROOT, notebooks

EXECUTED = BUILD / "executed"
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["nbdev"]
LEFT_OUT = set(CONFIG["tst_flags"].split())  # cells with these directives are for people with time or a GPU


def directives(source: str) -> set[str]:
    "Names of the `#| name …` directives a cell opens with."
    lines = (line.strip() for line in source.splitlines())
    return {line[2:].strip().split(":")[0].split()[0] for line in lines if line.startswith("#|") and line[2:].strip()}


def code_cells(path: Path) -> list[str]:
    "Sources of the code cells of the notebook at `path`."
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


class Runner(NotebookClient):
    """Runs cells as Jupyter does, except those marked as slow or in need of a GPU.

    A progress bar rewrites its line: the last state of it is kept, and nothing of a bar that cleared itself.
    """

    @default("coalesce_streams")
    def _rewritten_lines_are_one(self) -> bool:
        return True

    async def async_execute_cell(self, cell: NotebookNode, cell_index: int, *args: Any, **options: Any) -> NotebookNode:
        "Run one cell, or leave it out."
        if cell.cell_type == "code" and directives(cell.source) & LEFT_OUT:
            return cell
        cell = await super().async_execute_cell(cell, cell_index, *args, **options)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.output_type != "stream" or output.text.strip()]
        return cell


@cache
def library_hash() -> str:
    "Hash of all that notebooks share: the exported library with its data, results they show, the lock, Python."
    digest = hashlib.sha256(sys.version.encode())
    shared = [ROOT / "constraints.txt", ROOT / "settings.ini"]
    for path in [*sorted(LIBRARY.rglob("*")), *sorted((ROOT / "benchmarks").rglob("*.json")), *shared]:
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def key(path: Path) -> str:
    "Hash of everything that decides what the notebook at `path` shows."
    return hashlib.sha256(library_hash().encode() + path.read_bytes()).hexdigest()


def executed_path(path: Path) -> Path:
    "Where the executed copy of the notebook at `path` is kept."
    return EXECUTED / path.relative_to(NOTEBOOKS)


def run(path: Path) -> Path:
    "Execute the notebook at `path` in its own folder; the copy with outputs replaces the one kept before."
    stamp = key(path)  # of what is run, whatever is edited meanwhile
    notebook = nbformat.read(path, as_version=4)
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"), "IN_TEST": "1"}
    options = {"timeout": CONFIG["cell_timeout"], "kernel_name": "python3", "store_widget_state": True}
    with kernel(path.parent, environment) as started:
        Runner(notebook, km=started, resources={"metadata": {"path": str(path.parent)}}, **options).execute(env=environment)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
    notebook.metadata["fourier_workbench"] = {"key": stamp}
    kept = executed_path(path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_suffix(".part")
    nbformat.write(notebook, part)
    part.replace(kept)
    return kept


@contextmanager
def alone(path: Path) -> Iterator[None]:
    "Keeps other processes and threads from the executed copy of the notebook at `path`."
    lock = executed_path(path).with_suffix(".lock")
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def executed(path: Path) -> Path:
    "The executed copy of the notebook at `path`, made now if there is none or something has changed since."
    kept = executed_path(path)
    with alone(path):
        if kept.exists():
            stamp = nbformat.read(kept, as_version=4).metadata.get("fourier_workbench", {})
            if stamp.get("key") == key(path):
                return kept
        return run(path)


if __name__ == "__main__":
    for name in map(Path, sys.argv[1:]) if sys.argv[1:] else notebooks():
        print(run(name.resolve()).relative_to(ROOT))
