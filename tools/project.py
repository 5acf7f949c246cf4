"""Where things stand in the checkout and what settings.ini says: the facts that tools and tests share."""

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "fourier_workbench"
NOTEBOOKS = ROOT / "nbs"
BUILD = ROOT / "build"
EXTRAS = ("evaluation", "sevennet", "baselines", "cluster", "hub", "formats", "docs", "dev")


def settings() -> ConfigParser:
    "The project's settings.ini."
    parser = ConfigParser(delimiters=["="], interpolation=None)
    with (ROOT / "settings.ini").open(encoding="utf-8") as file:
        parser.read_file(file)
    return parser


def requirements(*extras: str) -> list[str]:
    "What settings.ini asks for: the core and the named extras, one requirement each, in the order of the file."
    declared = settings()["DEFAULT"]
    keys = ["requirements", *(f"{extra}_requirements" for extra in extras)]
    return list(dict.fromkeys(line for key in keys for line in declared[key].split()))


def notebooks(folder: str = "") -> list[Path]:
    "The notebooks under `nbs/folder`, in the order of their numbers; hidden folders and checkpoints left out."
    found = (NOTEBOOKS / folder).rglob("*.ipynb")
    return sorted(path for path in found if not any(re.match(r"[._]", part) for part in path.relative_to(ROOT).parts))
