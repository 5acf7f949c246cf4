"""What libraries do to those who trust them; importable without torch, for worker processes."""

import ctypes
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from fourier_workbench.evaluation import structures


def crash(_: object) -> None:
    "Ends the process from within compiled code."
    ctypes.string_at(0)


def hang(_: object) -> None:
    "Sleeps without giving the interpreter back: no signal handler of Python's would run."
    ctypes.PyDLL(None).sleep(600)


def complain(_: object) -> None:
    "Raises."
    raise ValueError("no")


def preload(name: str) -> None:
    "What reading imports."
    structures.preload(name.replace("read_but_one", "read_entries"))


def read_but_one(part: Any) -> list:
    "Reads files, but for the second, which takes for ever."
    if part.start <= 1 < part.stop:
        time.sleep(600)
    return structures.read_entries(part)


@contextmanager
def bounded(seconds: float = 20.0, memory: float = 2e9) -> Iterator[None]:
    "Inside, this process may take so many seconds of the processor, and so many bytes more than it has."

    def too_long(*_: object) -> None:
        raise AssertionError(f"more than {seconds:g} s of the processor")

    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGPROF, too_long)
    resource.setrlimit(resource.RLIMIT_AS, (int(psutil.Process().memory_info().vms + memory), before[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, handler)
        resource.setrlimit(resource.RLIMIT_AS, before)
