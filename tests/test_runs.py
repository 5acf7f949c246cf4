"""A detached run: started, steered, killed, gone on with; what it says when something is wrong."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fourier_workbench.crystal import Crystal
from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.errors import RunError
from fourier_workbench.files import process_started, write_json
from fourier_workbench.representation import FourierBasis
from fourier_workbench.runs.worker import claim_directory
from fourier_workbench.training import Recipe, Run, override, recipes
from fourier_workbench.training.monitor import load_snapshot, snapshot_steps

PEROVSKITE = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]
METALS = [3, 11, 12, 19, 20, 21, 22, 23, 24, 25, 26, 27]


def tiny_recipe(steps: int, **changes: object) -> Recipe:
    "The laptop's recipe, as small as it can be, `steps` steps in each stage."
    recipe = override(
        recipes.laptop(),
        diffuser=None,
        autoencoder__model__compression=16 / 1254,
        autoencoder__model__transformer__n_heads=1,
        autoencoder__model__transformer__n_layers=2,
        autoencoder__steps=steps,
        autoencoder__batch_size=4,
        autoencoder__prune_every=2,
    )
    stage = recipes.laptop().diffuser
    assert stage is not None
    model = replace(
        stage.model,
        ladder_shape=recipe.autoencoder.model.ladder_shape,
        transformer=recipe.autoencoder.model.transformer,
    )
    return override(recipe, diffuser=replace(stage, model=model, steps=steps, batch_size=4), **changes)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    "Two dozen perovskites."
    crystals = [
        Crystal(np.eye(3) * (3.8 + 0.01 * z), [z, b, 8, 8, 8], PEROVSKITE) for z in METALS for b in (22, 41) if z != b
    ]
    out = tmp_path_factory.mktemp("runs") / "corpus"
    return prepare_corpus(crystals, out, FourierBasis(5), 24, recovery=None, progress=False)


@pytest.fixture
def started(corpus: Corpus, tmp_path: Path) -> Iterator[Callable[..., Run]]:
    "Starts runs, and leaves no process behind."
    runs: list[Run] = []

    def start(recipe: Recipe, devices: int = 1) -> Run:
        runs.append(Run.start(recipe, corpus, tmp_path / f"run{len(runs)}", devices))
        return runs[-1]

    yield start
    for run in runs:
        if (pid := run.status.pid) is not None:
            os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def done(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Run:
    "A finished run of four steps a stage, for tests that read it or continue a copy of it."
    run = Run.start(tiny_recipe(4), corpus, tmp_path_factory.mktemp("done") / "run", devices=1)
    assert run.wait(600).state == "done", run.log()
    return run


def until(what: Callable[[], bool], seconds: float = 300) -> None:
    "Wait for something to become true."
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.05)


def test_a_run_goes_through_its_stages_and_is_read_from_its_files(started, corpus: Corpus) -> None:
    run = started(tiny_recipe(6), devices=2)
    assert run.status.state in ("starting", "running"), "start returns at once"
    assert run.wait(600).state == "done"
    again = Run.attach(run.directory)
    assert again.status.state == "done"
    assert again.recipe == tiny_recipe(6)
    assert set(again.metrics()["stage"]) == {"autoencoder", "diffuser"}
    assert {"loss", "step", "lr"} <= set(again.metrics().columns)
    with pytest.raises(RunError, match="done"):
        again.resume()
    with pytest.raises(RunError, match="another recipe"):
        Run.start(tiny_recipe(7), corpus, run.directory)


def test_pause_checkpoint_stop_and_resume(started) -> None:
    run = started(tiny_recipe(100_000))
    until(lambda: run.status.step > 0)
    run.pause()
    until(lambda: run.status.state == "paused")
    step, latest = run.status.step, run.directory / "checkpoints" / "autoencoder" / "latest.json"
    written = latest.stat().st_mtime_ns
    run.checkpoint()
    until(lambda: latest.stat().st_mtime_ns > written)
    time.sleep(0.5)
    assert run.status.state == "paused" and run.status.step == step, "a checkpoint does not end a pause"
    run.resume()
    until(lambda: run.status.step > step)
    plan = (run.directory / "run.json").read_bytes()
    with pytest.raises(RunError, match="is active"):
        Run.start(run.recipe, json.loads(plan)["corpus"], run.directory, devices=2)
    with pytest.raises(RunError, match="is active"), claim_directory(run.directory):
        pytest.fail("two would train in one directory")
    assert (run.directory / "run.json").read_bytes() == plan
    written = latest.stat().st_mtime_ns
    run.checkpoint()
    until(lambda: latest.stat().st_mtime_ns > written)
    run.stop()
    until(lambda: run.status.state == "stopped")
    with pytest.raises(RunError, match="cannot pause"):
        run.pause()
    stopped_at = run.status.step
    run.resume()
    until(lambda: run.status.step > stopped_at)
    pid = run.status.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    until(lambda: run.status.state == "failed")
    assert "without a message" in (run.status.error or "")
    with pytest.raises(RunError, match="without a message"):
        run.wait()


def test_a_word_given_at_once_is_heard(started) -> None:
    run = started(tiny_recipe(100_000))
    run.stop()
    assert run.wait(300).state == "stopped"


def test_a_run_in_the_foreground_is_seen_and_steered_by_others(corpus: Corpus, tmp_path: Path) -> None:
    tiny_recipe(100_000).to_json(tmp_path / "recipe.json")
    words = [sys.executable, "-c", "import sys; from fourier_workbench.cli import main; sys.exit(main(sys.argv[1:]))", "train"]
    what = [corpus.path, tmp_path / "run", "--recipe", tmp_path / "recipe.json", "--devices", "1"]
    shell = subprocess.Popen([*words, *what], stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: (tmp_path / "run/status.json").is_file() and Run.attach(tmp_path / "run").status.step > 0)
        run = Run.attach(tmp_path / "run")
        assert run.status.pid == shell.pid
        with pytest.raises(RunError, match="is active"):
            Run.start(tiny_recipe(100_000), corpus, run.directory)
        run.stop()
        assert run.wait(300).state == "stopped"
        assert "repeat the command to resume" in shell.communicate(timeout=60)[1] and shell.returncode == 2
        assert run.status.state == "stopped" and not (run.directory / "worker.json").exists()
    finally:
        shell.kill()


def test_a_run_that_is_done_can_be_extended(started) -> None:
    run = started(override(tiny_recipe(8), diffuser=None))
    run.wait(600)
    assert snapshot_steps(run.directory) == list(range(1, 9)), "the crystal is decoded as training goes"
    first = load_snapshot(run.directory, 8)
    with pytest.raises(RunError, match="no stage 'diffuser'"):
        run.extend(4, stage="diffuser")
    with pytest.raises(RunError, match=r"positive number|at least 1"):
        run.extend(0)
    run.extend(100_000)
    until(lambda: run.status.step > 8)
    assert run.recipe.autoencoder.steps == 100_008
    steps = run.metrics()["step"].tolist()
    assert steps == sorted(set(steps)), "it went on where it was"
    assert (load_snapshot(run.directory, 8).crystals.coefficients == first.crystals.coefficients).all()


def test_a_run_outlives_the_process_that_started_it(corpus: Corpus, tmp_path: Path) -> None:
    tiny_recipe(6).to_json(tmp_path / "recipe.json")
    code = (
        "import os, sys; from fourier_workbench.training import Run; "
        "Run.start(*sys.argv[1:4], devices=1); os.kill(os.getpid(), 9)"
    )
    arguments = [str(tmp_path / "recipe.json"), str(corpus.path), str(tmp_path / "run")]
    ended = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert Run.attach(tmp_path / "run").wait(600).state == "done"


@pytest.mark.parametrize("devices", [1, 2])
def test_a_failed_run_says_why_in_one_line(started, devices: int) -> None:
    wild = tiny_recipe(60, autoencoder__optimiser__lr=1e20, autoencoder__optimiser__clip=None)
    run = started(wild, devices)
    with pytest.raises(RunError, match="not finite") as failed:
        run.wait(600)
    assert len(str(failed.value).splitlines()) == 1
    assert run.status.state == "failed"
    assert "not finite" in run.log()


def test_a_process_number_used_again_is_not_the_run(tmp_path: Path) -> None:
    write_json(tmp_path / "status.json", {"state": "running", "stage": "autoencoder", "step": 5, "total": 10})
    write_json(tmp_path / "worker.json", {"pid": os.getpid(), "started": "1", "state": "running"})
    assert process_started(os.getpid()) not in (None, "1")
    assert Run.attach(tmp_path).status.state == "failed"


def test_a_zombie_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    until(lambda: process_started(child.pid) is None, 30)
    child.wait()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": 3'])
def test_half_written_files_are_no_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    (tmp_path / "metrics.jsonl").write_text('{"stage": "autoencoder", "step": 1}\n' + content)
    assert Run(tmp_path).status.state == "empty"
    assert len(Run(tmp_path).metrics()) == 1


def test_what_cannot_be_started_is_refused(tmp_path: Path, corpus: Corpus) -> None:
    (tmp_path / "file").write_text("")
    for recipe, crystals, directory, word in [
        ("no_such_recipe", corpus, tmp_path / "run", "no recipe"),
        ("laptop", tmp_path / "nowhere", tmp_path / "run", "no prepared corpus"),
        ("laptop", corpus, tmp_path / "file", "is a file"),
    ]:
        with pytest.raises(ValueError if "recipe" in word else RunError, match=word):
            Run.start(recipe, crystals, directory)
    assert not (tmp_path / "run").exists()


def test_a_run_may_go_on_at_another_rate_but_not_as_another_recipe(corpus: Corpus, done: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(done.directory, tmp_path / "run"))
    assert run.status.state == "done"
    with pytest.raises(RunError, match="another recipe"):
        Run.start(override(run.recipe, autoencoder__batch_size=2), corpus, run.directory)
    slower = override(run.recipe, autoencoder__optimiser__lr=1e-4, engine__compile=False, engine__fused=True)
    assert Run.start(slower, corpus, run.directory, devices=1).wait(600).state == "done"


SRUN = """#!{python}
# What srun does for a step of one task on each of two nodes, on this machine.
import os, subprocess, sys
nodes, command = int(sys.argv[1].partition("=")[2]), sys.argv[4:]
about = {{"SLURM_NTASKS": str(nodes), "SLURM_NNODES": str(nodes), "SLURM_NTASKS_PER_NODE": "1", "SLURM_STEP_ID": "0",
         "SLURM_STEP_NUM_TASKS": str(nodes), "SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NAME": "interactive",
         "SLURM_NODELIST": "127.0.0.1", "SLURM_LOCALID": "0"}}
places = [{{"SLURM_PROCID": str(i), "SLURM_NODEID": str(i)}} for i in range(nodes)]
tasks = [subprocess.Popen(command, env={{**os.environ, **about, **place}}) for place in places]
sys.exit(max(task.wait() for task in tasks))
"""


def test_several_nodes_by_srun_train_as_one_process(corpus: Corpus, tmp_path: Path, done: Run, monkeypatch) -> None:
    "Two SLURM tasks, each of which believes to be a node of its own, find each other by Fabric's plugin."
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/srun").write_text(SRUN.format(python=sys.executable))
    (tmp_path / "bin/srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    run = Run.start(tiny_recipe(4), corpus, tmp_path / "nodes", devices=1, nodes=2)
    assert run.wait(600).state == "done", run.log()
    first, last = (r.metrics().groupby("stage")["loss"].first() for r in (done, run))
    assert np.allclose(first, last, rtol=2e-2)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RunError, match="srun"):
        Run.start(tiny_recipe(4), corpus, tmp_path / "none", nodes=2)


def test_a_terminated_run_saves_and_stops(started) -> None:
    run = started(tiny_recipe(100_000))
    until(lambda: run.status.step > 0)
    pid = run.status.pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    until(lambda: run.status.state == "stopped")
    assert (run.directory / "checkpoints/autoencoder/latest.json").is_file()
