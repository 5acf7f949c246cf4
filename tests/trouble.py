"""What libraries do to those who trust them; importable without torch, for worker processes."""

import ctypes
import time
from typing import Any

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
