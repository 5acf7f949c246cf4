"""Atomic files, and which processes are alive."""

import json
import math
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from fourier_workbench.files import (
    RunDirectory,
    atomic_write,
    is_alive,
    process_started,
    read_json,
    this_process,
    write_json,
)


def test_a_reader_never_sees_a_part_of_a_file(tmp_path):
    """One thread replaces a file of several pages while another reads it."""
    path, contents = tmp_path / "a.json", [{"x": [k] * 20_000} for k in range(2)]
    write_json(path, contents[0])
    done = threading.Event()

    def write() -> None:
        for k in range(50):
            write_json(path, contents[k % 2])
        done.set()

    writer, reads = threading.Thread(target=write), 0
    writer.start()
    while not done.is_set():
        assert read_json(path) in contents
        reads += 1
    writer.join()
    assert reads and [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"x": 1})
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})
    with pytest.raises(OSError, match="No such file"), atomic_write(path):
        pass  # nothing was written, so there is nothing to move
    assert read_json(path) == {"x": 1} and len(list(tmp_path.iterdir())) == 1


def test_json_is_valid_whatever_the_numbers(tmp_path):
    """`NaN` and `Infinity` are not JSON: browsers, jq and R refuse them."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is not JSON")

    content = {"a": math.inf, "b": [math.nan, {"c": (-math.inf, np.float64("nan"), 1.5)}], "d": "é", "e": 10**30}
    write_json(tmp_path / "a.json", content)
    found = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"), parse_constant=refuse)
    assert found == {"a": None, "b": [None, {"c": [None, None, 1.5]}], "d": "é", "e": 10**30}
    run = RunDirectory(tmp_path / "run")
    run.log(loss=math.nan)
    assert json.loads((run.path / "metrics.jsonl").read_text(), parse_constant=refuse)["loss"] is None


def test_a_process_is_known_by_its_number_and_its_start():
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    record = {"pid": child.pid, "started": process_started(child.pid), "host": socket.gethostname()}
    assert is_alive(record) and not is_alive({**record, "started": record["started"] - 10})
    assert not is_alive({**record, "started": None}) and not is_alive({**record, "pid": None})
    child.communicate()
    assert not is_alive(record) and process_started(child.pid) is None


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="clock ticks are those of Linux")
def test_records_of_version_0_1_are_understood():
    ticks = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]
    assert is_alive({**this_process(), "started": ticks}) and not is_alive({**this_process(), "started": "1"})


@pytest.mark.parametrize("queue, alive", [("123 gpu train me R 1:00 1 node7", True), ("", False)])
def test_a_process_on_another_node_is_looked_up_in_slurm(tmp_path, monkeypatch, queue, alive):
    """`squeue` lists the job, or no longer; without SLURM or without a job nothing is known, and the process counts as alive."""
    far = {"pid": 1, "started": 1.0, "host": "another node", "job": "123"}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert is_alive(far)
    squeue = tmp_path / "squeue"
    squeue.write_text(f'#!/bin/sh\n[ "$3" = 123 ] && echo "{queue}"\n')
    squeue.chmod(0o755)
    assert is_alive(far) == alive and is_alive({key: far[key] for key in ("pid", "started", "host")})
    monkeypatch.setenv("SLURM_JOB_ID", "123")
    assert this_process()["job"] == "123" and this_process()["pid"] == os.getpid()


NAP = """
import multiprocessing, os, sys, time
from pathlib import Path

from fourier_workbench.files import end_with


def nap(path):
    end_with()
    Path(path).with_suffix(".part").write_text(str(os.getpid()))
    Path(path).with_suffix(".part").replace(path)
    time.sleep(600)


if __name__ == "__main__":
    process = multiprocessing.get_context("forkserver").Process(target=nap, args=sys.argv[1:])
    process.start()
    process.join()
"""


def test_the_child_of_a_fork_server_ends_with_the_process_that_asked_for_it(tmp_path: Path) -> None:
    (tmp_path / "nap.py").write_text(NAP)
    asking = subprocess.Popen([sys.executable, tmp_path / "nap.py", tmp_path / "pid"])
    while not (tmp_path / "pid").exists():
        assert asking.poll() is None
        time.sleep(0.01)
    napping = psutil.Process(int((tmp_path / "pid").read_text()))
    asking.kill()
    asking.wait()
    assert not psutil.wait_procs([napping], timeout=60)[1], "a nap takes ten minutes"
