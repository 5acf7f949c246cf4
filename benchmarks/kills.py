"""Commands killed at random moments and called again: is anything lost, is the result the same, how much is done twice?

    python benchmarks/kills.py                                   # prepare, train, sample and evaluate, ten kills each
    python benchmarks/kills.py sample evaluate --kills 3         # some of them
    python benchmarks/kills.py prepare --source FILE.parquet --limit 20000
    python benchmarks/kills.py sample -n 64 --save benchmarks/results/kills.json

Each command runs once undisturbed. Then it is started again and again on another folder and gets SIGKILL at a moment drawn
uniformly from the time that the first run took, as often as asked; a start that ends before its kill is compared, and the
folder begun anew; the last start is left alone. Compared are the bytes of all
files that belong to the result (of a training its weights and checkpoints; files that hold times of day are left out).
Printed are the seconds undisturbed and of the last start, which shows how much the earlier ones left to do, whether the results
are equal, finished units that a kill lost (parts of a corpus, steps in checkpoints, chunks of samples, outcomes in the journal),
and the longest time that a process started by the command outlived it.
"""

import argparse
import hashlib
import json
import platform
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from fourier_workbench.config.recipes import laptop
from fourier_workbench.config.schema import override

FWB = [sys.executable, "-c", "import sys; from fourier_workbench.cli import main; sys.exit(main())"]
VOLATILE = {"metrics.jsonl", "status.json", "worker.json", "control.json", "worker.log", "config.json", "report.html",
            "journal.jsonl"}


def digests(folder: Path) -> dict[str, str]:
    """A hash of every file of a result."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in VOLATILE and "previous" not in path.name]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(pattern: str) -> Callable[[Path], int]:
    """Counts finished files by their names."""
    return lambda folder: len(list(folder.glob(pattern)))


def steps(folder: Path) -> int:
    """Steps of the checkpoints."""
    return sum(json.loads(path.read_text())["step"] for path in folder.glob("checkpoints/*/latest.json"))


def measured(folder: Path) -> int:
    """Outcomes in the journal."""
    journal = folder / "journal.jsonl"
    return sum(line.endswith("}") for line in journal.read_text().splitlines()) if journal.is_file() else 0


def outlived(children: list[psutil.Process]) -> float:
    """Seconds until the last of these processes has ended."""
    began = time.perf_counter()
    _, alive = psutil.wait_procs(children, timeout=60)
    return 60.0 if alive else time.perf_counter() - began


def trial(command: Callable[[Path], list[str]], progress: Callable[[Path], int], folder: Path, kills: int, seed: int) -> dict:
    """What kills did to one command."""
    began = time.perf_counter()
    subprocess.run(command(folder / "undisturbed"), check=True, capture_output=True)
    took = time.perf_counter() - began
    moments, longest, killed, lost, same = random.Random(seed), 0.0, 0, 0, True
    whole = digests(folder / "undisturbed")
    while killed < kills:
        before = progress(folder / "killed")
        process = psutil.Popen(command(folder / "killed"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.perf_counter() + moments.uniform(0, took)
        while time.perf_counter() < deadline and process.poll() is None:
            time.sleep(0.01)
        if process.poll() is not None:  # it was faster: compare, and begin anew
            same = same and process.returncode == 0 and digests(folder / "killed") == whole
            shutil.rmtree(folder / "killed")
            continue
        children, killed = process.children(recursive=True), killed + 1
        with suppress(psutil.NoSuchProcess):
            process.kill()
        process.wait()
        longest = max(longest, outlived(children))
        if digests(folder / "killed") != whole:  # what a finished result needs no more is removed
            lost += max(0, before - progress(folder / "killed"))
    began = time.perf_counter()
    last = subprocess.run(command(folder / "killed"), capture_output=True, text=True, check=False)
    final = time.perf_counter() - began
    return {"kills": killed, "undisturbed_s": round(took, 1), "last_start_s": round(final, 1), "exit": last.returncode,
            "same": same and whole == digests(folder / "killed"), "finished_units_lost": lost, "outlived_s": round(longest, 2),
            "error": last.stderr.strip()[-200:] if last.returncode else None}


SETTINGS = {"prepare": ("source", "limit", "seed"), "train": ("source", "limit", "steps", "seed"), "sample": ("n", "seed"),
            "evaluate": ("n", "source", "limit", "seed")}


def save(path: Path, row: dict) -> None:
    """Add what was found to a file, with the command and the machine."""
    rows = json.loads(path.read_text()) if path.is_file() else []
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    here = Path(__file__).resolve().parent
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    command = "python benchmarks/kills.py " + " ".join(sys.argv[1:])
    rows.append({"command": command, "version": commit.stdout.strip(), "machine": machine, **row})
    path.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="kills.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["prepare", "train", "sample", "evaluate"])
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--source", default="decorated", help="of the corpus")
    parser.add_argument("--limit", type=int, default=6000, help="entries of the source")
    parser.add_argument("--steps", type=int, default=150, help="of each stage of training")
    parser.add_argument("-n", type=int, default=128, help="samples")
    parser.add_argument("--save", type=Path, help="a JSON file of results, to which this run is added")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        recipe = override(laptop(), autoencoder__steps=args.steps, diffuser__steps=args.steps)
        recipe.to_json(here / "recipe.json")
        prepare = ["prepare", args.source, "--bpd", "5", "--grid", "24", "--limit", str(args.limit), "--workers", "2"]
        commands: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], int]]] = {
            "prepare": (lambda out: [*FWB, *prepare[:2], str(out), *prepare[2:]], rows("work/kept-*.arrow")),
            "train": (lambda out: [*FWB, "train", str(here / "corpus"), str(out), "--recipe", str(here / "recipe.json"),
                                   "--devices", "1"], steps),
            "sample": (lambda out: [*FWB, "sample", "laptop", str(out), "-n", str(args.n)], rows("work/*.parquet")),
            "evaluate": (lambda out: [*FWB, "evaluate", str(here / "samples"), str(out), "--reference", str(here / "corpus"),
                                      "--compare", "100", "--workers", "2"], measured)}
        if {"train", "evaluate"} & set(args.what):
            subprocess.run([*FWB, *prepare[:2], str(here / "corpus"), *prepare[2:]], check=True, capture_output=True)
        if "evaluate" in args.what:
            subprocess.run([*FWB, "sample", "laptop", str(here / "samples"), "-n", str(args.n)], check=True, capture_output=True)
        print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
        for what in args.what:
            (here / what).mkdir()
            found = trial(*commands[what], here / what, args.kills, args.seed)
            print(what, json.dumps(found), flush=True)
            if args.save:
                save(args.save, {"of": what, **found, "settings": {name: getattr(args, name) for name in SETTINGS[what]}})


if __name__ == "__main__":
    main()
