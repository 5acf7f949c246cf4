"Fixtures every test may take, and the settings that make runs repeatable."

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling, Scheduling

# Before torch is imported anywhere: xdist workers must not start a thread for each core.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

from browser import Browser, Chromium, JupyterLab, need_chromium

ROOT = Path(__file__).resolve().parents[1]

# Shared machines are slow now and then, so no deadline; derandomised under CI, so that a failure can be repeated.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def root() -> Path:
    "The checkout."
    return ROOT


@pytest.fixture(scope="module")
def chromium() -> Iterator[Chromium]:
    "A headless Chromium that reaches only this machine, for the tests of a file."
    need_chromium()
    with Chromium() as started:
        yield started


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Browser]:
    "A fresh profile of it."
    with Browser(chromium) as opened:
        yield opened


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    "One JupyterLab for the session; tests write their notebooks into `lab.root`."
    need_chromium()
    with JupyterLab(tmp_path_factory.mktemp("lab")) as server:
        yield server


# Files whose tests share what takes long to make (a site, a wheel, trained models), so that one worker makes it for all of them.
WHOLE = ("test_site", "test_runs", "test_all_tables", "test_training", "test_cli", "test_energies", "test_packaging")
# Files of many seconds a test, which begin before all others: where short tests come last, workers end together.
EARLY = ("test_notebooks", "test_browser_views", "test_browser_linked", "test_browser", *WHOLE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    "Bring the files of `EARLY` to the front; the site comes behind the notebooks, whose copies with outputs it shows."
    items.sort(key=lambda item: EARLY.index(item.path.stem) if item.path.stem in EARLY else len(EARLY))


class Together(LoadScopeScheduling):
    """Gives workers single tests, but the files that share JupyterLab together, and those of `WHOLE` whole.

    Files stand in the names of tests; xdist's own groups are marks, which get lost on the way since pytest 9.2
    (pytest-xdist#1386).
    """

    def _split_scope(self, nodeid: str) -> str:
        stem = Path(nodeid.partition("::")[0]).stem
        return "browser" if stem.startswith("test_browser") else stem if stem in WHOLE else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    "Our scheduler where `--dist loadgroup` asks for groups."
    return Together(config, log) if config.getvalue("dist") == "loadgroup" else None
