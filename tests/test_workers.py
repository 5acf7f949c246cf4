"""Processes that may crash or hang: every item has an outcome, in order, and the others go on."""

import math
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from trouble import crash, hang

from fourier_workbench.errors import EvaluationError
from fourier_workbench.evaluation.workers import Workers, run_limited


def misbehave(how: str) -> object:
    "One function, many ways to go wrong."
    if how == "crash":
        crash(how)
    if how == "hang":
        hang(how)
    if how == "leave":
        sys.exit(3)
    if how == "exhaust":
        raise MemoryError
    if how == "print":
        print("x" * 100_000, flush=True)
        os.write(1, b"y" * 100_000)
    if how == "unpicklable":
        return lambda: how
    if how == "child":
        subprocess.Popen(["sleep", "600"])
    return how


def process_of(_: object) -> int:
    "Who did it."
    time.sleep(0.05)
    return os.getpid()


def test_every_item_has_an_outcome_in_order() -> None:
    items = ["a", "crash", "hang", "leave", "exhaust", "print", "unpicklable", "child", "b"]
    told: list[int] = []
    outcomes = run_limited(misbehave, items, seconds=4, workers=2, done=lambda i, outcome: told.append(i))
    failures = [outcome.failure for outcome in outcomes]
    assert failures[:6] == [None, "crash", "timeout", "SystemExit: 3", "MemoryError", None]
    assert failures[6] is not None
    assert "pickle" in failures[6].lower()
    assert failures[7:] == [None, None]
    assert [outcome.value for outcome in outcomes if outcome.failure is None] == ["a", "print", "child", "b"]
    assert sorted(told) == list(range(len(items)))
    assert outcomes[2].seconds >= 4


def test_all_processes_work_and_are_kept() -> None:
    with Workers(2, seconds=20) as pool:
        first = {outcome.value for outcome in pool.run(process_of, range(8))}
        second = {outcome.value for outcome in pool.run(process_of, range(8))}
        assert len(first) == 2
        assert first == second, "the processes of the first round did the second"
    for process in first:
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_a_worker_killed_at_rest_blames_no_item() -> None:
    with Workers(1, seconds=20) as pool:
        (first,) = pool.run(process_of, [0])
        os.kill(first.value, 9)
        time.sleep(0.1)
        (second,) = pool.run(math.sqrt, [4.0])
    assert second.value == 2


def test_workers_are_forked_from_one_process_which_ends_with_ours(tmp_path: Path) -> None:
    code = ("import os, sys; from test_workers import parent_of; from fourier_workbench.evaluation.workers import run_limited; "
            "print(*{outcome.value for n in (1, 2) for outcome in run_limited(parent_of, range(4), workers=n)}, flush=True); "
            "os.kill(os.getpid(), 9)")
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    (server,) = map(int, ended.stdout.split())
    end = time.monotonic() + 60
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < end, "it outlived the process that asked for it"
        time.sleep(0.05)


def parent_of(_: object) -> int:
    "The process that this one was forked from."
    return os.getppid()


def test_a_worker_needs_no_torch_unless_its_function_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])  # a server of its own: another may have loaded torch
    (outcome,) = run_limited(modules_beside, [None], workers=1)
    assert outcome.value == (False, "Corpus")


def modules_beside(_: None) -> tuple[bool, str]:
    "Whether torch was loaded, before a name was asked of a room; and that the room gives it."
    from fourier_workbench.evaluation import workers

    assert workers.run_limited is not None
    before = "torch" in sys.modules
    from fourier_workbench.data import Corpus

    return before, Corpus.__name__


def test_what_cannot_run_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for bad in ({"workers": 0}, {"seconds": 0}):
        with pytest.raises(EvaluationError, match=r"at least 1|positive"):
            run_limited(math.sqrt, [1.0], **bad)
    assert run_limited(math.sqrt, []) == []
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(EvaluationError, match="did not start"):
        run_limited(math.sqrt, [1.0], workers=1)
