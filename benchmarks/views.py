"""How fast the views answer: kernel time of each slider at 48³, first view of a fresh kernel, frames a second.

    python benchmarks/views.py               needs a Chromium for the last part; without one it says so

Limits beside the numbers: a slider 100 ms and a first view 3 s of one processor's time (on a machine with other work the clock
says more, and stands beside it), 30 frames/s (10 at the least) for 64 atoms × 120 frames in software WebGL. Data: embedded
prototypes and the shipped checkpoint.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import psutil

from fourier_workbench.data.sources.prototypes import embedded
from fourier_workbench.generation import load_generator
from fourier_workbench.widgets import explore, show_ladder
from fourier_workbench.widgets.geometry import isosurface, level_at
from fourier_workbench.widgets.trajectory import Player
from fourier_workbench.widgets.view import Packer

SLIDER, FIRST, SMOOTH = 0.1, 3.0, 30.0
ATOMS, FRAMES = 64, 120


def seconds(work: Callable[[], object], repeats: int = 15) -> tuple[float, float]:
    """Median seconds of `work`, of the processor and by the clock, after one call that is not counted."""
    work()
    own, clock = [], []
    for _ in range(repeats):
        start = time.process_time(), time.perf_counter()
        work()
        own.append(time.process_time() - start[0])
        clock.append(time.perf_counter() - start[1])
    return statistics.median(own), statistics.median(clock)


def asked(view, what: str, **changes) -> None:
    """Ask a view as its page does; a view that shows an error has not answered."""
    view.handle(what, **changes)
    if view.error:
        raise RuntimeError(view.error)


def sliders() -> list[tuple[str, Callable[[], object]]]:
    """What a hand can move, each on the largest embedded crystal of at most 64 atoms that has two species or more."""
    crystal = max((c for _, c, _ in embedded() if len(c) <= 64 and len(c.species) > 1), key=len)
    view, levels = explore(crystal), iter(np.tile(np.linspace(1, 4, 31), 100))
    for bpd in (3, 5, 7, 9, 11, 13):
        asked(view, "set", bpd=bpd)  # recovery at each truncation is computed once and kept
    asked(view, "set", bpd=9)
    rho, ladder = np.random.default_rng(0).random((48, 48, 48)), show_ladder(load_generator("laptop"))
    kept = np.flatnonzero(np.asarray(ladder.autoencoder.selector))
    channels, bases = iter(np.tile(kept, 100).tolist()), iter([3, 13, 5, 11, 7, 9] * 50)
    lows = iter(np.tile(np.linspace(0, 3, 31), 100))
    print(f"sliders on {crystal.reduced_formula}, {len(crystal)} atoms, {len(crystal.species)} species, 48³ nodes")
    return [
        ("marching cubes, one level", lambda: isosurface(rho, level_at(rho, 1.0), crystal.lattice)),
        ("isolevel, all species", lambda: asked(view, "set", sigmas=float(next(levels)))),
        ("re-sum a shell", lambda: asked(view, "set", shell=[float(next(lows)), 6.0])),
        ("slice", lambda: asked(view, "set", shell=None, plane=[1, 1, 0], offset=float(next(levels)) / 4)),
        ("one wave", lambda: asked(view, "set", plane=None, wave=400)),
        ("symmetry operation", lambda: asked(view, "set", wave=None, operation=len(view.group["operations"]) - 1)),
        ("basis, seen before", lambda: asked(view, "set", operation=None, bpd=next(bases))),
        ("channel ablation, laptop", lambda: asked(ladder, "ablate", channels=[next(channels)])),
    ]


def first_view() -> float:
    """Seconds of the processor from the end of the imports to the first view, in a fresh interpreter."""
    code = (
        "import time; from fourier_workbench.data.sources.prototypes import embedded\n"
        "from fourier_workbench.widgets import explore\n"
        "start = time.process_time(); c = next(c for _, c, _ in embedded() if c.reduced_formula == 'CaTiO3')\n"
        "assert not explore(c).error; print(time.process_time() - start)"
    )
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def film() -> tuple[dict, bytes]:
    """64 atoms moving for 120 frames, as the player takes them; no surfaces."""
    generator, packer = np.random.default_rng(0), Packer()
    start, end = generator.random((2, ATOMS, 3)).astype(np.float32)
    lattice = (np.eye(3) * 11).ravel().tolist()
    frames = [
        {"lattice": lattice, "surfaces": [], "numbers": packer.add(np.full(ATOMS, 14, np.uint8)),
         "positions": packer.add(start + (end - start) * k / (FRAMES - 1)), "formula": "Si64", "reason": None, "valid": True,
         "clean": True, "residual": 0.1}
        for k in range(FRAMES)
    ]  # fmt: skip
    track = {"sample": 0, "clean": frames, "noisy": frames}
    species = {14: {"symbol": "Si", "colour": "#f0c8a0", "radius": 0.3}}
    phi = np.linspace(1, 0, FRAMES).round(4).tolist()
    return {"phi": phi, "steps": list(range(FRAMES)), "tracks": [track], "species": species}, packer.bytes


def browser_work() -> float:
    """Seconds of all processors that the browser's processes have used so far."""
    used = 0.0
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            used += sum(process.cpu_times()[:2])
    return used


def frames_per_second() -> tuple[float, float] | None:
    """Frames a second of the player at its fastest setting, by the browser's clock, and seconds of all processors a frame."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from browser import Browser, find_chromium

    if find_chromium() is None:
        return None
    result = load_generator("laptop").sample(1, steps=2, trace=True, progress=False)
    player = Player(result.trajectory, load_generator("laptop"), frames=2)
    player.content, player.data = film()
    with tempfile.TemporaryDirectory() as folder, Browser() as browser:
        player.to_html(Path(folder) / "player.html")
        page = browser.page(Path(folder) / "player.html")
        page.locator(".fw-scene canvas").first.wait_for()
        page.locator("select").last.select_option("30")
        before = browser_work()
        took = page.evaluate(
            """async (last) => {
              const el = document.getElementById('view');
              document.querySelector('button[aria-label="play"]').click();
              const start = performance.now();
              while (el.dataset.frame !== String(last)) await new Promise((r) => setTimeout(r, 5));
              return (performance.now() - start) / 1000; }""",
            FRAMES - 1,
        )
        work = browser_work() - before
    return (FRAMES - 1) / took, work / (FRAMES - 1)


def main() -> int:
    """Print the table; the exit status counts the limits that were missed."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    missed = 0
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, work in sliders():
        own, clock = seconds(work)
        missed += own > SLIDER
        times = f"{1000 * own:6.1f} ms of the processor   {1000 * clock:6.1f} ms by the clock"
        print(f"  {name:28s} {times}   {own / SLIDER:5.2f} of the limit")
    start = first_view()
    missed += start > FIRST
    print(f"  {'first view, fresh kernel':28s} {start:6.2f} s   {start / FIRST:5.2f} of the limit")
    played = frames_per_second()
    if played is None:
        print("  playback: no Chromium here, not measured")
    else:
        rate, work = played
        missed += rate < SMOOTH
        print(f"  {f'playback, {ATOMS} atoms × {FRAMES}':28s} {rate:6.1f} frames/s   {rate / SMOOTH:5.2f} of what is wanted")
        print(f"  {'':28s} {1000 * work:6.1f} ms of all processors a frame")
    print(f"{missed} limits missed")
    return missed


if __name__ == "__main__":
    sys.exit(main())
