"""How the quality of `mp20` rises with the time it is trained: the same recipe at shares of its steps, all judged alike.

    python benchmarks/compute_curve.py CORPUS WORK --shares 0.03 0.06 0.12 1

CORPUS is MP-20 as it was prepared for the recipe. A share scales the steps of autoencoder and diffuser, and their schedules with
them. Share 1 is the model that ships, which also proposes the compositions of all. Judged on the test split: crystals given back
as decoded, the ceiling, samples whose compositions were drawn first, and CHGNet's energies of these samples as drawn, above the
hull that comes with the package. Hours are processor time of one thread; those of share 1 are reckoned from the largest share
trained here, in proportion to the steps. Every rate is of all `-n`. Trainings resume; what is judged is not judged again.
"""

import argparse
import json
import platform
import time
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fourier_workbench.config.schema import Recipe, override
from fourier_workbench.data import Corpus
from fourier_workbench.evaluation.stability.hull import sample_energies
from fourier_workbench.files import write_json
from fourier_workbench.generation import Generator, evaluate_reconstruction, load_generator
from fourier_workbench.training import fit, recipes


def scaled(share: float) -> Recipe:
    """The recipe at a share of its steps."""
    recipe = recipes.mp20()
    assert recipe.diffuser is not None
    return override(recipe, name=f"mp20 at {share:g}", composition=None,
                    autoencoder__steps=max(1, round(share * recipe.autoencoder.steps)),
                    diffuser__steps=max(1, round(share * recipe.diffuser.steps)))


def trained(share: float, corpus: Corpus, work: Path) -> tuple[Generator, float]:
    """The generator of a share, and the processor seconds that its training took, over all calls that it needed."""
    run, clock = work / f"run_{share:g}", work / f"seconds_{share:g}.json"
    before = json.loads(clock.read_text(encoding="utf-8")) if clock.is_file() else 0.0
    start = time.process_time()
    try:
        fit(scaled(share), corpus, run, devices=1)
    finally:  # also where it is interrupted
        if not clock.is_file() or time.process_time() - start > 30:  # a finished run is only looked at
            write_json(clock, before + time.process_time() - start)
    return load_generator(run), json.loads(clock.read_text(encoding="utf-8"))


def judged(generator: Generator, corpus: Corpus, n: int) -> dict[str, Any]:
    """What comes back, and what is drawn."""
    crystals = [sample.crystal for sample in islice(corpus.split("test"), n)]
    back = evaluate_reconstruction(generator, crystals, workers=1, progress=False)
    ceiling, drawn = generator.ceiling(crystals), generator.sample(n, seed=0, progress=False)
    found = sample_energies(drawn.crystals, drawn.ids, relax=False, workers=1, progress=False)
    energies = found["e_above_hull"].to_numpy(float)
    return {
        "n": n, "exact": back["exact"], "match": back["match"], "ceiling clean": float(ceiling.table["clean"].mean()),
        "clean": float(drawn.table["clean"].mean()), "median above hull, eV/atom": float(np.nanmedian(energies)),
        "at most 0.1 eV/atom": float((energies <= 0.1).mean()), "without energy": int(np.isnan(energies).sum()),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("work", type=Path, help="where runs and verdicts are kept")
    parser.add_argument("--shares", nargs="+", type=float, default=[0.03, 0.06, 0.12, 1.0])
    parser.add_argument("-n", type=int, default=300)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/compute_curve.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    corpus, shipped, rows, rate = Corpus(args.corpus), load_generator("mp20"), [], float("nan")
    for share in sorted(args.shares):
        generator, seconds = (shipped, rate) if share == 1 else trained(share, corpus, args.work)
        rate = seconds / share
        path = args.work / f"judged_{share:g}_{args.n}.json"
        if not path.is_file():
            write_json(path, judged(replace(generator, composer=shipped.composer), corpus, args.n))
        rows.append({"share": share, "hours": round(seconds / 3600, 3), "reckoned": share == 1}
                    | json.loads(path.read_text(encoding="utf-8")))  # fmt: skip
        print(rows[-1], flush=True)
        shares = " ".join(f"{one:g}" for one in sorted(args.shares))
        write_json(args.out, {
            "command": f"python benchmarks/compute_curve.py CORPUS WORK --shares {shares} -n {args.n}",
            "machine": f"{platform.machine()}, one thread, shared with other processes", "data": "MP-20, test split",
            "rows": rows,
        })  # fmt: skip


if __name__ == "__main__":
    main()
