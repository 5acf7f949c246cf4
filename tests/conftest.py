"Fixtures every test may take, and the settings that make runs repeatable."

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before torch is imported anywhere: two xdist workers on two cores must not start two threads each.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

from browser import Browser, JupyterLab, need_chromium

ROOT = Path(__file__).resolve().parents[1]

# Shared machines are slow now and then, so no deadline; derandomised under CI, so that a failure can be repeated.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50)
settings.register_profile("ci", parent=settings.get_profile("default"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def root() -> Path:
    "The checkout."
    return ROOT


@pytest.fixture
def browser() -> Iterator[Browser]:
    "A fresh headless Chromium that reaches only this machine."
    need_chromium()
    with Browser() as opened:
        yield opened


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterLab]:
    "One JupyterLab for the session; tests write their notebooks into `lab.root`."
    need_chromium()
    with JupyterLab(tmp_path_factory.mktemp("lab")) as server:
        yield server


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    "Browser tests share one worker, hence one JupyterLab; those of the rendered site share another, hence one site."
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if {"site", "browser", "lab"} & fixtures:
            item.add_marker(pytest.mark.xdist_group("site" if "site" in fixtures else "browser"))
