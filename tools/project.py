"""Where things stand in the checkout and what settings.ini says: the facts that tools and tests share."""

import re
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "fourier_workbench"
NOTEBOOKS = ROOT / "nbs"
BUILD = ROOT / "build"
EXTRAS = ("lab", "evaluation", "sevennet", "baselines", "cluster", "hub", "formats", "docs", "dev")
# Folders of nbs/api, in the order in which they depend on one another.
ROOMS = ("core", "representation", "matching", "data", "model", "diffusion", "config", "training", "runs", "generation",
         "diffraction", "evaluation", "reproduction", "widgets", "cli")  # fmt: skip


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
    "The notebooks under `nbs/folder`, rooms in their order, then by number; hidden folders and checkpoints left out."

    def place(path: Path) -> tuple[bool, int, str]:
        parts = path.relative_to(NOTEBOOKS).parts
        room = ROOMS.index(parts[1]) if parts[0] == "api" else -1
        # numbers go on from a folder into those within it
        return parts[0] == "api", room, path.name if room >= 0 else path.as_posix()

    found = (NOTEBOOKS / folder).rglob("*.ipynb")
    return sorted((p for p in found if not any(re.match(r"[._]", part) for part in p.relative_to(ROOT).parts)), key=place)
