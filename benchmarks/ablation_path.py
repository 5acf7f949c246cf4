"""Table 6's two paths of toggles at a length of one's own, with toggles of ours beside them.

    python benchmarks/ablation_path.py OUT/corpus OUT --scale laptop --steps 6000 --seeds 2

Every row of Table 6 is trained at the size that the scale gives it, for `--steps` steps; where OUT is that of
`fwb reproduce all` at the same scale and length, its rows are taken. Then row FFFFT, the paper's best but one and the one that
our recipes start from, with one choice of ours at a time, and with the other optimiser: the loss stays the same, so L_VAE can be
compared. Finished rows are kept in OUT, the same command goes on where it was stopped; the table is written to
OUT/ablation_path.json after each row, with the change that every toggle makes in both paths.
"""

import argparse
import warnings
from dataclasses import replace
from math import hypot
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fourier_workbench.config.paper_tables import TABLE_6, TOGGLES
from fourier_workbench.config.schema import override
from fourier_workbench.data import Corpus
from fourier_workbench.files import write_json
from fourier_workbench.reproduction.all_tables import _commit
from fourier_workbench.reproduction.result_table import describe_machine
from fourier_workbench.reproduction.shares import get_shares
from fourier_workbench.reproduction.trainings import Training, chain, run_training

BASE = "FFFFT"
OWN: dict[str, dict[str, Any]] = {
    "value rotation": {"autoencoder__model__transformer__value_rotation": True},
    "key bias": {"autoencoder__model__transformer__key_bias": True},
    "wave embedding": {"autoencoder__model__wave_embedding": True},
}
OTHER: dict[str, Any] = {"adam": "muon", "muon": "adam"}  # optimisers
COLUMNS = ("L_VAE", "four_rmse", "lattice_rmse", "mu", "species", "R", "loss_held_out", "L_VAE_held_out", "cpu_s")


def trainings(args: argparse.Namespace, corpus: Corpus) -> dict[tuple[str, int], Training]:
    """The training of each row and seed: all rows of one seed before the next seed."""
    shares = replace(get_shares(args.scale)[1], ablation_share=args.steps / TABLE_6.steps)
    out = {}
    for seed in range(args.seeds):
        for row in TABLE_6.rows:
            out[row.settings, seed] = chain(TABLE_6, row.settings, shares, seed, corpus.hash)[0]
        for name, changes in OWN.items():
            base = out[BASE, seed]
            key = f"{base.key}-{name.replace(' ', '_').lower()}"
            out[f"{BASE}, {name}", seed] = replace(base, recipe=override(base.recipe, **changes), key=key)
        other = replace(shares, optimiser=OTHER[shares.optimiser])
        out[f"{BASE}, {other.optimiser.capitalize()}", seed] = chain(TABLE_6, BASE, other, seed, corpus.hash)[0]
    return out


def rows_of(found: dict[tuple[str, int], dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row: the paper's L_VAE where it has one, the seeds, their mean and standard error."""
    paper, rows = {row.settings: row.values["L_VAE"] for row in TABLE_6.rows}, []
    for name in dict.fromkeys(name for name, _ in found):
        seeds = [{column: values[column] for column in COLUMNS if column in values}
                 for (row, _), values in found.items() if row == name]
        each = np.array([one["L_VAE"] for one in seeds])
        error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else None
        rows.append({"row": name, "paper": paper.get(name), "mean": float(each.mean()), "standard_error": error, "seeds": seeds})
    return rows


def changes_of(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What each toggle changes in L_VAE: the paper's two paths, then ours on top of the base row."""
    known = {row["row"]: row for row in rows}
    names = [row.settings for row in TABLE_6.rows]
    pairs = []
    for one, other in zip(names, [*names[1:], names[0]], strict=True):
        off, on = sorted((one, other), key=lambda name: name.count("T"))
        toggle = next(toggle for toggle, a, b in zip(TOGGLES, off, on, strict=True) if a != b)
        pairs.append((toggle.replace("_", " "), off, on))
    pairs += [(name.removeprefix(f"{BASE}, "), BASE, name) for name in known if name.startswith(f"{BASE}, ")]
    out = []
    for toggle, off, on in pairs:
        if off not in known or on not in known:
            continue
        a, b = known[off], known[on]
        error = None if None in (a["standard_error"], b["standard_error"]) else hypot(a["standard_error"], b["standard_error"])
        theirs = None if None in (a["paper"], b["paper"]) else b["paper"] - a["paper"]
        out.append({"toggle": toggle, "from": off, "to": on, "paper": theirs, "ours": b["mean"] - a["mean"], "error": error})
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="a prepared corpus")
    parser.add_argument("out", type=Path)
    parser.add_argument("--scale", default="laptop", help="as for `fwb reproduce all`")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    corpus, found = Corpus(args.corpus), {}
    command = f"python benchmarks/ablation_path.py CORPUS OUT --scale {args.scale} --steps {args.steps} --seeds {args.seeds}"
    about = {"command": command, "commit": _commit(), "machine": describe_machine(), "steps": args.steps, "seeds": args.seeds,
             "data": {"source": Path(corpus.manifest["source"]).name, "train": len(corpus.split("train")), "hash": corpus.hash}}
    for (name, seed), training in trainings(args, corpus).items():
        found[name, seed] = run_training(training, args.corpus, args.out / "runs")
        rows = rows_of(found)
        write_json(args.out / "ablation_path.json", {"about": about, "rows": rows, "changes": changes_of(rows)})
        print(f"{name}, seed {seed}: L_VAE {found[name, seed]['L_VAE']:.3f}, R {found[name, seed]['R']:.1f}", flush=True)


if __name__ == "__main__":
    main()
