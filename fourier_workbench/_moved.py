"""Old places of modules and names: imports written for an earlier layout keep working.

A module that has moved is found under its old name too, as an empty module whose names are looked up in the new ones when they
are asked for (PEP 562).
"""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader
from importlib import import_module
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, cast

PACKAGE = __name__.rpartition(".")[0]
_TABLE = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
MOVED: dict[str, str] = _TABLE["modules"]  # old module: new module, or those it was divided into
RENAMED: dict[str, str] = _TABLE["names"]  # "old module.old name": new name


def forward(package: str, names: dict[str, str]) -> Callable[[str], Any]:
    """A package's `__getattr__` for names that live elsewhere: name to "module", or to "module:name" where that changed too."""

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, new = names[name].partition(":")
        return getattr(import_module(f"{PACKAGE}.{module}"), new or name)

    return get


class MovedModule(ModuleType):
    """Stands at a module's old place. `generation.evaluate` was a function as well as a module, so it can be called."""

    def __getattr__(self, name: str) -> Any:
        old = self.__name__.removeprefix(f"{PACKAGE}.")
        name = RENAMED.get(f"{old}.{name}", name)
        for new in MOVED[old].split():
            module = import_module(f"{PACKAGE}.{new}")
            if not name.startswith("__") and hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **options)


class MovedFinder:
    """Finds modules at their old places, after Python has looked everywhere else."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        old = name.removeprefix(f"{PACKAGE}.")
        return ModuleSpec(name, cast(Loader, self)) if name != old and old in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return MovedModule(spec.name, f"Moved to {MOVED[spec.name.removeprefix(PACKAGE + '.')].replace(' ', ', ')}.")

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to run: names are looked up when they are asked for."""


if not any(isinstance(finder, MovedFinder) for finder in sys.meta_path):
    sys.meta_path.append(MovedFinder())
