"""What a user installs without the checkout holds all that the workbench needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest
from lock import closure

from project import EXTRAS, LIBRARY, ROOT, requirements, settings

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


def environment(folder: Path, wheel: Path, extras: tuple[str, ...]) -> Path:
    """Python of a fresh virtual environment with the wheel and what `pip install fourier_workbench[extras]` would bring.

    The packages are links to those installed here, so that it takes neither a network nor minutes.
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    zipfile.ZipFile(wheel).extractall(site)
    for name in closure(requirements(*extras)):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(found.locate_file(top))
    return folder / "bin" / "python"


CORE = """
import sys
from importlib.util import find_spec
assert not (there := [name for name in sys.argv[1].split() if find_spec(name)]), f"not of this installation: {there}"
sys.modules["plotly"] = None  # pymatgen brings it; the core must not need it
from fourier_workbench.data import load_crystals
from fourier_workbench.evaluation import evaluate
from fourier_workbench.generation import load_generator
from fourier_workbench.representation import FourierBasis, encode, recover

basis = FourierBasis(9)
(_, first, _), *_ = load_crystals("embedded")
assert recover(encode([first], basis), basis).reasons == [None]
result = load_generator("laptop").sample(4, seed=0, steps=5, progress=False)
report = evaluate(result, reference=[first], compare=0, workers=1)
assert len(result.crystals) == 4 and "valid" in str(report)
"""
EVALUATION = """
from fourier_workbench import Crystal
from fourier_workbench.evaluation import evaluate

salt = Crystal([[0, 2.8, 2.8], [2.8, 0, 2.8], [2.8, 2.8, 0]], [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
assert "charge neutral" in str(evaluate([salt], compare=0, workers=1))
"""
LAB = """
import jupyterlab
import fourier_workbench.widgets as views
from fourier_workbench import Crystal

assert not views.explore(Crystal([[4, 0, 0], [0, 4, 0], [0, 0, 4]], [3], [[0, 0, 0]])).error
"""
VIEWS, DEVELOPMENT = "ipywidgets anywidget jupyterlab skimage py3Dmol", "pytest nbdev sphinx"
EVERYTHING = tuple(extra for extra in EXTRAS if extra not in ("sevennet", "docs", "dev"))
INSTALLATIONS = {
    "core": ((), CORE, f"{VIEWS} matminer smact chgnet distributed datasets {DEVELOPMENT}"),
    "lab": (("lab",), LAB, ""),
    "evaluation": (("evaluation",), EVALUATION, ""),
    "all": (EVERYTHING, LAB + EVALUATION, ""),
}


@pytest.mark.parametrize("name", INSTALLATIONS)
def test_an_installation_works_with_what_it_brings(wheel: Path, tmp_path: Path, name: str) -> None:
    extras, code, absent = INSTALLATIONS[name]
    python = environment(tmp_path / "venv", wheel, extras)
    command = [str(python), "-W", "ignore", "-c", code, absent]
    done = subprocess.run(command, cwd=tmp_path, env=outside(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def outside() -> dict[str, str]:
    "The environment without this checkout on Python's path."
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def test_views_without_the_lab_extra_are_one_clear_line(wheel: Path, tmp_path: Path) -> None:
    command = [str(environment(tmp_path / "venv", wheel, ())), "-c", "import fourier_workbench.widgets"]
    done = subprocess.run(command, cwd=tmp_path, env=outside(), capture_output=True, text=True)
    assert "pip install 'fourier_workbench[lab]'" in done.stderr.splitlines()[-1]
