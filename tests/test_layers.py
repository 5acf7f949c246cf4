"""Who may import whom: `[tool.importlinter]` in pyproject.toml has the order of the rooms, imports within functions included."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from reference import exported_modules

from notebooks import code_cells
from project import LIBRARY, ROOMS, ROOT, notebooks

LINT = [sys.executable, "-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    "import-linter with the configuration in `folder`."
    return subprocess.run(LINT, cwd=folder, env={"PYTHONPATH": str(folder)}, capture_output=True, text=True)


def test_rooms_import_only_what_lies_below_and_never_in_a_circle() -> None:
    checked = lint(ROOT)
    assert checked.returncode == 0, checked.stdout


def test_a_circle_within_functions_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "rooms"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "upper.py").write_text("from rooms import lower\n")
    config = '[tool.importlinter]\nroot_package = "rooms"\n[[tool.importlinter.contracts]]\n'
    config += 'name = "no circles"\ntype = "acyclic_siblings"\nancestors = ["rooms"]\n'
    (tmp_path / "pyproject.toml").write_text(config)
    for text, status in (("x = 1\n", 0), ("def late():\n    from rooms import upper\n    return upper\n", 1)):
        (package / "lower.py").write_text(text)
        assert lint(tmp_path).returncode == status


@pytest.mark.parametrize("room", ROOMS)
def test_notebooks_are_numbered_in_the_order_of_their_imports(room: str) -> None:
    "What a notebook's exported cells import comes from notebooks before it."
    paths = notebooks(f"api/{room}")
    homes = {module: path for path in paths for module in exported_modules(code_cells(path)) if module}
    backward = []
    for module, path in homes.items():
        text = LIBRARY.parent.joinpath(*module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
        for name in re.findall(r"(?m)^\s*from (fourier_workbench[\w.]*) import|^from (\.+[\w.]*) import", text):
            wanted = name[0] or absolute(name[1], module)
            if wanted in homes and paths.index(homes[wanted]) > paths.index(path):
                backward.append(f"{path.name} ({module}) imports {wanted} of {homes[wanted].name}")
    assert not backward, "\n".join(backward)
    numbers = [int(path.name.split("_")[0]) for path in paths]
    assert numbers == sorted(set(numbers)), f"each number once, going on from a folder into those within it: {numbers}"


def absolute(relative: str, module: str) -> str:
    "Full name of a module that `module` imports relatively, as nbdev writes imports."
    dots = len(relative) - len(relative.lstrip("."))
    parts = module.split(".")[:-dots]
    return ".".join([*parts, *filter(None, relative.lstrip(".").split("."))])
