"""What libraries do to those who trust them; importable without torch, for worker processes."""

import ctypes
import time


def crash(_: object) -> None:
    "Ends the process from within compiled code."
    ctypes.string_at(0)


def hang(_: object) -> None:
    "Sleeps without giving the interpreter back: no signal handler of Python's would run."
    ctypes.PyDLL(None).sleep(600)


def doze(_: object) -> None:
    "Sleeps as Python does."
    time.sleep(600)


def complain(_: object) -> None:
    "Raises."
    raise ValueError("no")
