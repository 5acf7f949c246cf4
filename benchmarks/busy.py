"""One `fwb sample` alone, and several at once on the same cores.

    python benchmarks/busy.py [-n 16] [--at-once 8] [--recipe laptop] [--threads N]

Seconds from start to end of a whole process with its default settings, imports included: first one alone, then `--at-once`
together, then one alone again. On c cores the others cost at least a factor `at-once`/c; spinning threads cost far more
(`FOURIER_WORKBENCH_THREADS=2 OMP_WAIT_POLICY=ACTIVE` shows it). The ratio is of the last to end to the mean of the two alone, so
other load on the machine, which both see, largely cancels. Limits: small models on a CPU only; samples are written to a
temporary folder. About ten times as long as one call.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fourier_workbench.threads import THREADS, available_cores


def start(folder: Path, name: str, args: argparse.Namespace) -> subprocess.Popen[bytes]:
    "A process that samples."
    code = "import sys; from fourier_workbench.cli import main; sys.exit(main())"
    words = ["sample", args.recipe, str(folder / name), "-n", str(args.n)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment |= {THREADS: str(args.threads)} if args.threads else {}
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def seconds(folder: Path, names: list[str], args: argparse.Namespace) -> float:
    "Seconds until all of some processes that start together have ended."
    begin = time.perf_counter()
    processes = [start(folder, name, args) for name in names]
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit(f"fwb sample ended with {codes}")
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-n", type=int, default=16)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--recipe", default="laptop")
    parser.add_argument("--threads", type=int, help=f"sets {THREADS}; by default the package chooses")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds(folder, ["warm"], args)  # files are read from the disk once
        before = seconds(folder, ["before"], args)
        together = seconds(folder, [f"{i}" for i in range(args.at_once)], args)
        after = seconds(folder, ["after"], args)
    alone = (before + after) / 2
    print(f"{platform.machine()}, {available_cores()} cores; {args.recipe}, {args.n} samples a process")
    print(f"one alone      {before:8.1f} s and {after:.1f} s")
    print(f"{args.at_once} at once      {together:8.1f} s, {together / alone:.1f} times one")


if __name__ == "__main__":
    main()
