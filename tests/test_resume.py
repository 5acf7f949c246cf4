"""Killed at any moment and called again: nothing is lost, the result is the same, less than a chunk is done twice."""

import math
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import prepare_corpus
from fourier_workbench.errors import CorpusError, EvaluationError
from fourier_workbench.evaluation import evaluate
from fourier_workbench.evaluation.workers import Outcome, Workers
from fourier_workbench.files import claim_folder, read_json
from fourier_workbench.generation.folder import fill_folder
from fourier_workbench.generation.samples import SampleResult
from fourier_workbench.model.autoencoder import Decoded
from fourier_workbench.representation import FourierBasis

HALITE = Crystal(2.9 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
FORK = multiprocessing.get_context("fork")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_often(work: Callable[[Path], None], folder: Path, kills: int = 4, seed: int = 0) -> dict[str, bytes]:
    """Let `work` fill a folder undisturbed, then another one with kills at random moments; the folder of the second."""
    start = time.perf_counter()
    undisturbed = FORK.Process(target=work, args=(folder / "undisturbed",))
    undisturbed.start()
    undisturbed.join()
    assert undisturbed.exitcode == 0
    took, moments = time.perf_counter() - start, np.random.default_rng(seed)
    for _ in range(kills):
        victim = FORK.Process(target=work, args=(folder / "killed",))
        victim.start()
        victim.join(float(moments.uniform(0, took)))
        if victim.pid is not None and victim.exitcode is None:
            os.kill(victim.pid, signal.SIGKILL)
        victim.join()
        if victim.exitcode == 0:  # it ended first
            break
    else:
        work(folder / "killed")
    assert contents(folder / "killed").keys() == contents(folder / "undisturbed").keys()
    return contents(folder / "killed")


def note(path: Path, what: object) -> None:
    with path.open("a") as file:
        file.write(f"{what}\n")


# ---------------------------------------------------------------------------------------------------- samples


def stub(log: Path) -> Callable[[int, int], SampleResult]:
    """Draws without a model: every third sample is rejected."""

    def draw(start: int, count: int) -> SampleResult:
        time.sleep(0.01)
        note(log, start)
        rejected = [i % 3 == 2 for i in range(start, start + count)]
        decoded = Decoded(torch.zeros(count, 6), torch.zeros(count, 6, 84), torch.zeros(count, 6, 27, dtype=torch.complex64))
        return SampleResult([None if bad else HALITE for bad in rejected], ["residual" if bad else None for bad in rejected],
                            decoded, torch.zeros(count, 3, dtype=torch.complex64), torch.zeros(count),
                            tuple(range(start, start + count)))

    return draw


def test_samples_survive_kills(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        fill_folder(folder, stub(tmp_path / f"{folder.name}.log"), 38, {"seed": 0}, chunk=4, progress=False)

    found = killed_often(work, tmp_path)
    assert found == contents(tmp_path / "undisturbed")
    drawn = [len((tmp_path / f"{name}.log").read_text().split()) for name in ("undisturbed", "killed")]
    assert drawn[0] == 10
    assert 10 <= drawn[1] <= 10 + 4, "at most one chunk is drawn again after each kill"


def test_a_folder_belongs_to_one_request(tmp_path: Path) -> None:
    draw, folder = stub(tmp_path / "log"), tmp_path / "samples"
    fill_folder(folder, draw, 4, {"seed": 1}, ("cif", "parquet"), progress=False)
    before = contents(folder)
    with pytest.raises(EvaluationError, match=r"samples of another request \(seed 1, not 2\)"):
        fill_folder(folder, draw, 8, {"seed": 2}, ("cif",), progress=False)
    assert contents(folder) == before
    fill_folder(folder, draw, 4, {"seed": 1}, ("extxyz",), progress=False)
    assert len((tmp_path / "log").read_text().split()) == 1, "another format draws nothing"
    assert {"samples.extxyz", "samples.parquet", "cif/sample_0_000000.cif"} <= set(contents(folder))


def test_a_folder_of_an_earlier_version_is_continued(tmp_path: Path) -> None:
    """Version 0.1 wrote Infinity for a limit that is none, and now it is null."""
    draw, folder, request = stub(tmp_path / "log"), tmp_path / "samples", {"recovery": {"tolerance": math.inf}}
    fill_folder(folder, draw, 4, request, progress=False)
    manifest = folder / "samples.json"
    assert '"tolerance": null' in manifest.read_text() and '"tolerance": null' in (folder / "funnel.json").read_text()
    manifest.write_text(manifest.read_text().replace('"tolerance": null', '"tolerance": Infinity'))
    fill_folder(folder, draw, 4, request, progress=False)
    assert len((tmp_path / "log").read_text().split()) == 1, "nothing is drawn again"


@pytest.mark.parametrize("torn", ["drawing", "writing", "a row less", "no table"])
def test_a_part_of_the_samples_is_not_judged(tmp_path: Path, torn: str) -> None:
    fill_folder(tmp_path, stub(tmp_path / "log"), 4, {}, progress=False)
    manifest, table = tmp_path / "samples.json", tmp_path / "samples.parquet"
    if torn in ("drawing", "writing"):
        manifest.write_text(manifest.read_text().replace("complete", torn))
    elif torn == "a row less":
        manifest.write_text(manifest.read_text().replace('"samples": 4', '"samples": 5'))
    else:
        table.unlink()
    with pytest.raises(EvaluationError, match="holds only a part of its samples"):
        evaluate(tmp_path, workers=1, progress=False)


# ---------------------------------------------------------------------------------------------------- corpora


def test_a_preparation_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = sys.modules["fourier_workbench.data.preparation.prepare"]
    monkeypatch.setattr(module, "_PART_SIZE", 8)
    once = module._filter_part

    def counted(part: Any, number: int, work: Path, options: Any) -> None:
        note(tmp_path / f"{work.parent.name}.log", number)
        once(part, number, work, options)

    monkeypatch.setattr(module, "_filter_part", counted)

    def work(folder: Path) -> None:
        prepare_corpus("embedded", folder, FourierBasis(5), 24, recovery=None, limit=64, progress=False)

    assert killed_often(work, tmp_path) == contents(tmp_path / "undisturbed")
    assert len((tmp_path / "killed.log").read_text().split()) <= 8 + 4


@pytest.mark.parametrize("left", [[".lock"], [".manifest.json.99"], ["manifest.json", ".funnel.json.99", "shards", "work"]])
def test_what_a_kill_leaves_is_no_obstacle(tmp_path: Path, left: list[str]) -> None:
    """A kill before the first file, while it is written, and between the last file and the clean-up."""
    options: dict[str, Any] = {"basis": FourierBasis(5), "grid": 24, "recovery": None, "progress": False}
    whole = prepare_corpus([HALITE], tmp_path / "whole", **options)
    out = tmp_path / "left"
    out.mkdir()
    for name in left:
        if name == "manifest.json":
            shutil.copy(whole.path / name, out)
        elif "." in name:
            (out / name).write_text("{")
        else:
            (out / name).mkdir()
    assert prepare_corpus([HALITE], out, **options).hash == whole.hash
    (out / "work").mkdir()
    prepare_corpus([HALITE], out, **options)
    assert contents(out) == contents(whole.path)
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.path.iterdir())


def test_a_second_preparation_is_refused_by_the_name_of_the_first(tmp_path: Path) -> None:
    with (claim_folder(tmp_path / "out"),
          pytest.raises(CorpusError, match=rf"in use by process {os.getpid()} on .*; wait until it ends, or choose another")):
        prepare_corpus([HALITE], tmp_path / "out", FourierBasis(5), 24, recovery=None, progress=False)


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    def hold() -> None:
        with claim_folder(tmp_path):
            time.sleep(60)

    holder = FORK.Process(target=hold)
    holder.start()
    while read_json(tmp_path / ".lock").get("pid") != holder.pid:
        time.sleep(0.01)
    with pytest.raises(RuntimeError, match=f"process {holder.pid}"), claim_folder(tmp_path):
        pass
    holder.kill()
    holder.join()
    with claim_folder(tmp_path):
        assert read_json(tmp_path / ".lock")["pid"] == os.getpid()


SLEEPERS = """
import importlib.util, sys, time, types
from pathlib import Path

home = Path(importlib.util.find_spec("fourier_workbench").origin).parent
for name in ("data", "data.preparation"):  # without what their __init__ imports, which takes seconds in each process
    package = sys.modules["fourier_workbench." + name] = types.ModuleType("fourier_workbench." + name)
    package.__path__ = [str(home.joinpath(*name.split(".")))]
torch = sys.modules["torch"] = types.ModuleType("torch")
torch.set_num_threads, torch.get_num_threads = int, int


def nap(path):
    path.touch()
    time.sleep(600)


if __name__ == "__main__":
    from fourier_workbench.data.preparation.executor import TaskExecutor

    with TaskExecutor(2, progress=False) as pool:
        pool.run([(nap, (Path(sys.argv[1]) / str(i),), 1) for i in range(2)], 2, "nap")
"""


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    (tmp_path / "sleepers.py").write_text(SLEEPERS)
    parent = psutil.Popen([sys.executable, tmp_path / "sleepers.py", tmp_path])
    while not all((tmp_path / name).exists() for name in "01"):
        time.sleep(0.05)
        assert parent.poll() is None
    workers = parent.children(recursive=True)
    assert len(workers) >= 2
    parent.kill()
    parent.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive, "a nap takes ten minutes"


# ---------------------------------------------------------------------------------------------------- evaluation


def test_an_evaluation_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(self: Workers, function: Any, items: Any, *, done: Any = None, **options: Any) -> list[Outcome]:
        outcomes = []
        for i, item in enumerate(items):
            outcomes.append(Outcome(function(item), None, 0.0))
            note(log, function.__name__)
            if done is not None:
                done(i, outcomes[-1])
        return outcomes

    monkeypatch.setattr(Workers, "run", run)
    log = tmp_path / "undisturbed.log"
    scaled = [Crystal(HALITE.lattice * scale, HALITE.numbers, HALITE.frac_coords) for scale in np.linspace(0.9, 1.1, 12)]

    def work(folder: Path) -> None:
        nonlocal log
        log = tmp_path / f"{folder.name}.log"
        evaluate(scaled, [HALITE], compare=0, workers=1, directory=folder, progress=False)

    assert killed_often(work, tmp_path) == contents(tmp_path / "undisturbed")
    computed = [len((tmp_path / f"{name}.log").read_text().split()) for name in ("undisturbed", "killed")]
    assert computed[0] <= computed[1] <= computed[0] + 4, "at most one item is computed again after each kill"


@pytest.mark.parametrize("reason", ["empty", "unreadable reference", "too few for coverage"])
def test_a_refused_evaluation_leaves_no_folder(tmp_path: Path, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unread").mkdir()
    (tmp_path / "unread" / "a.cif").write_text("no crystal")
    request: dict[str, Any] = {
        "empty": {"samples": tmp_path / "empty"},
        "unreadable reference": {"samples": [HALITE], "reference": tmp_path / "unread"},
        "too few for coverage": {"samples": [HALITE], "reference": [HALITE], "coverage": 40},
    }[reason]
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(EvaluationError):
        evaluate(**request, directory=tmp_path / "below" / "out", workers=1, progress=False)
    assert sorted(tmp_path.rglob("*")) == before


def test_two_evaluations_do_not_share_a_folder(tmp_path: Path) -> None:
    with claim_folder(tmp_path / "out"), pytest.raises(EvaluationError, match=f"in use by process {os.getpid()}"):
        evaluate([HALITE], directory=tmp_path / "out", workers=1, progress=False)
