"""What a user installs without the checkout holds all that the workbench needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from project import LIBRARY, ROOT, settings

CHECK = """
from fourier_workbench.settings import load_settings, find_settings
import fourier_workbench, pathlib
assert "site-packages" in fourier_workbench.__file__, fourier_workbench.__file__
assert find_settings().parent == pathlib.Path(fourier_workbench.__file__).parent, find_settings()
found = load_settings()
print(found.recipe, found.seed, found.runs.parent == pathlib.Path.cwd())
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    "A wheel built from a copy of the checkout."
    source = tmp_path_factory.mktemp("source")
    for name in ("setup.py", "pyproject.toml", "settings.ini", "MANIFEST.in", "README.md", "LICENSE", "CITATION.cff"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(LIBRARY, source / LIBRARY.name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(source / "dist"), str(source)], check=True, capture_output=True)
    (built,) = (source / "dist").glob("*.whl")
    return built


def test_the_wheel_carries_data_and_licences(wheel: Path) -> None:
    held = set(zipfile.ZipFile(wheel).namelist())
    package = {path for path in LIBRARY.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    missing = {name for path in package if (name := path.relative_to(ROOT).as_posix()) not in held}
    assert not missing, f"name their kind in pyproject.toml's package-data: {missing}"
    assert "fourier_workbench/settings.ini" in held
    assert [name for name in held if name.endswith("licenses/LICENSE")]
    assert [
        name for name in held if name.endswith("licenses/fourier_workbench/widgets/static/3Dmol-min.js.LICENSE.txt")
    ]


def test_an_installed_copy_finds_its_settings(wheel: Path, tmp_path: Path) -> None:
    site, folder = tmp_path / "site-packages", tmp_path / "elsewhere"
    folder.mkdir()
    zipfile.ZipFile(wheel).extractall(site)
    environment = os.environ | {"PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", CHECK], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    defaults = settings()["workbench"]
    assert done.stdout.split() == [defaults["recipe"], defaults["seed"], "True"]


def test_third_party_browser_code_stands_beside_its_licence() -> None:
    for path in (LIBRARY / "widgets/static").glob("*-min.js"):
        assert path.with_name(f"{path.name}.LICENSE.txt").is_file()
