"""Who may import whom, read from the source: data flows one way, and the folders say so.

crystal ← representation ← {data, model} ← diffusion ← training ← generation ← widgets ← cli; errors and settings lie
below all.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from project import LIBRARY, notebooks

# What each room may import besides itself.
BASE = {"errors", "settings"}
ROOMS: dict[str, set[str]] = {"errors": set(), "settings": {"errors"}, "crystal": BASE}
ROOMS["representation"] = ROOMS["crystal"] | {"crystal"}
ROOMS["data"] = ROOMS["model"] = ROOMS["representation"] | {"representation"}
ROOMS["diffusion"] = ROOMS["data"] | {"data", "model"}
ROOMS["training"] = ROOMS["diffusion"] | {"diffusion"}
ROOMS["generation"] = ROOMS["training"] | {"training"}
ROOMS["widgets"] = ROOMS["generation"] | {"generation"}
ROOMS["cli"] = ROOMS["widgets"] | {"widgets"}
ROOMS["__main__"] = {"cli"}
ROOMS["__init__"] = BASE | {"crystal"}  # the top must not pull every room in

MODULES = sorted(path for path in LIBRARY.rglob("*.py") if path.name != "_modidx.py")


def dotted(path: Path) -> str:
    "Name of the module at `path` within the package; a package's is its folder's."
    parts = path.relative_to(LIBRARY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def own_imports(path: Path, nested: bool = True) -> Iterator[str]:
    "Modules of this package that the file at `path` imports, within functions too if `nested`, named within the package."
    package = path.relative_to(LIBRARY).parent.parts
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree) if nested else tree.body:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join(("fourier_workbench", *package[: len(package) - node.level + 1]))
            names = [f"{base}.{node.module}"] if node.module else [f"{base}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            # `from fourier_workbench import widgets` names a room, `from fourier_workbench import Crystal` does not.
            rooms = [f"{node.module}.{alias.name}" for alias in node.names if alias.name in ROOMS]
            names = rooms if node.module == "fourier_workbench" and rooms else [node.module or ""]
        else:
            continue
        yield from (
            name.removeprefix("fourier_workbench").strip(".")
            for name in names
            if name.split(".")[0] == "fourier_workbench"
        )


def notebook_numbers() -> dict[str, str]:
    "The number that the notebook of each exported module carries."
    numbers = {}
    for path in notebooks("api"):
        found = re.search(r"#\|\s*default_exp:?\s+([\w.]+)", path.read_text(encoding="utf-8"))
        if found:
            numbers[found[1]] = path.name.split("_")[0]
    return numbers


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_room_imports_only_what_lies_below_it(path: Path) -> None:
    room = dotted(path).split(".")[0]
    assert room in ROOMS, f"{room} has no place in the order of layers: give it one in this test and in the README"
    above = {name for name in own_imports(path) if name and name.split(".")[0] not in ROOMS[room] | {room}}
    assert not above, f"{dotted(path)} must not know {', '.join(sorted(above))}"


def test_notebooks_are_numbered_in_the_order_of_their_imports() -> None:
    "Within a function a module may call on a later one of its room, as an option that costs nobody else the import."
    numbers = notebook_numbers()
    backward = [
        f"{number}_{module} imports {name}, of notebook {numbers[name]}"
        for module, number in numbers.items()
        for name in own_imports(LIBRARY.joinpath(*module.split(".")).with_suffix(".py"), nested=False)
        if name in numbers and numbers[name] > number
    ]
    assert not backward, "\n".join(backward)


def test_the_order_is_what_this_test_reads() -> None:
    "The reader of imports sees relative, absolute and nested ones."
    seen = {name for path in MODULES for name in own_imports(path)}
    assert {"errors", "crystal"} <= seen
