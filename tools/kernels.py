"""Kernels that are there at once: forks of a process that has imported the large libraries of others already.

A hundred notebooks would each spend seconds on importing the same. Ours is imported in the fork, as everything a notebook does
happens there. On other systems than Linux kernels start as Jupyter starts them.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from select import select
from threading import Lock, Thread
from time import sleep
from typing import Any

from jupyter_client.manager import AsyncKernelManager

IMPORTED = ("torch", "torch._dynamo", "lightning_fabric", "pandas", "pandas.io.formats.style", "scipy.stats", "scipy.optimize",
            "scipy.signal", "scipy.spatial.distance", "pymatgen.symmetry.analyzer", "pymatgen.io.cif",
            "pymatgen.analysis.structure_matcher", "pyarrow.parquet", "ipywidgets", "anywidget", "plotly.graph_objects",
            "plotly.subplots", "matplotlib.pyplot", "nbformat", "skimage.measure", "ase.io", "jaxtyping", "pydantic.dataclasses",
            "pydantic.type_adapter", "tyro", "jinja2", "pebble", "yaml", "psutil", "safetensors.torch", "tqdm.auto",
            "ipykernel.kernelapp", "ipykernel.debugger")  # fmt: skip


FORKS = sys.platform.startswith("linux")

# What a Jupyter server starts in place of a kernel: it asks for a fork, and stays as long as that is there.
GO_BETWEEN = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as line:
    line.connect(sys.argv[1])
    job = {"connection": sys.argv[2], "folder": os.getcwd(), "environment": dict(os.environ)}
    line.sendall(json.dumps(job).encode() + b"\\n")
    line.recv(1)
"""


class ForkedKernel(AsyncKernelManager):
    "A kernel somebody else has started, of which the number of its process is known."

    pid = 0
    has_kernel = True

    async def _async_is_alive(self) -> bool:
        "Whether the process is there: clients ask by this name, others by the next."
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    is_alive = _async_is_alive

    def end(self) -> None:
        "End the kernel, and what it has started in its session."
        with suppress(ProcessLookupError):
            for number in (signal.SIGTERM, *[signal.SIGKILL] * 100):
                os.killpg(self.pid, number)
                sleep(0.05)


@cache
def server() -> tuple[subprocess.Popen[str], Lock]:
    "The process that forks, one for each that asks; it ends with its standard input."
    command = [sys.executable, "-P", "-Xfrozen_modules=off", __file__]  # debugpy warns of frozen modules
    environment = {"OMP_NUM_THREADS": "1", **os.environ}  # libraries count their threads when they are imported
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdin is not None
    atexit.register(process.stdin.close)
    return process, Lock()


def fork(connection: str, folder: str, environment: dict[str, str]) -> int:
    "The number of a new kernel that works in `folder` and answers as the file `connection` says."
    process, alone = server()
    assert process.stdin is not None and process.stdout is not None
    with alone:
        process.stdin.write(json.dumps({"connection": connection, "folder": folder, "environment": environment}) + "\n")
        process.stdin.flush()
        return int(process.stdout.readline())


@contextmanager
def kernel(folder: Path, environment: dict[str, str]) -> Iterator[AsyncKernelManager | None]:
    "A kernel that works in `folder`; None where Jupyter is to start one itself."
    if not FORKS:
        yield None
        return
    with tempfile.TemporaryDirectory() as scratch:
        manager = ForkedKernel(connection_file=f"{scratch}/kernel.json", transport="ipc")
        manager.write_connection_file()
        manager.pid = fork(manager.connection_file, str(folder), environment)
        try:
            yield manager
        finally:
            manager.end()
            manager.cleanup_connection_file()


class Exchange:
    "Gives the kernels of a Jupyter server as forks; a context manager over a folder of its own."

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "forks")
        self.socket = socket.socket(socket.AF_UNIX)

    def __enter__(self) -> "Exchange":
        self.socket.bind(self.address)
        self.socket.listen()
        Thread(target=self.answer, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def register(self, data: Path) -> None:
        "Write the specification of these kernels, as Jupyter's python3, into a folder of its data."
        spec = {"argv": [sys.executable, "-I", "-S", "-c", GO_BETWEEN, self.address, "{connection_file}"],
                "display_name": "Python 3", "language": "python"}
        (data / "kernels/python3").mkdir(parents=True)
        (data / "kernels/python3/kernel.json").write_text(json.dumps(spec), encoding="utf-8")

    def answer(self) -> None:
        "Fork for everybody who asks, until the socket closes."
        with suppress(OSError):
            while True:
                Thread(target=self.attend, args=[self.socket.accept()[0]], daemon=True).start()

    def attend(self, line: socket.socket) -> None:
        "Fork a kernel, and end it with the process that asked for it; that one ends with the kernel."
        with line:
            job = json.loads(line.makefile().readline())
            pid = fork(**job)
            with suppress(ProcessLookupError):
                while not select([line], [], [], 0.05)[0]:
                    os.kill(pid, 0)
                os.killpg(pid, signal.SIGKILL)


def become(job: dict[str, Any]) -> None:
    "Be a kernel, until it is shut down."
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0), os.dup2(2, 1)
    os.chdir(job["folder"])
    os.environ.clear()
    os.environ.update(job["environment"])
    # it ends when its parent does
    sys.argv = ["ipykernel_launcher", "-f", job["connection"], f"--IPKernelApp.parent_handle={os.getppid()}"]
    import_module("ipykernel.kernelapp").IPKernelApp.launch_instance()


def serve() -> None:
    "Fork a kernel for every line of the standard input, and say its number."
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as in a kernel; it is read on import
    for name in IMPORTED:
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for them
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            become(json.loads(line))
            return
        print(pid, flush=True)


if __name__ == "__main__":
    serve()
