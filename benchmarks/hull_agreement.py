"""Energies above the hull that comes with the package beside those that others published for the same crystals.

    python benchmarks/hull_agreement.py peers/wyformer_cryspr_chgnet_mp20.json.gz [--first 100] [--out FILE]

999 crystals of WyFormer, completed and relaxed by CrySPR with CHGNet, carry their CHGNet energy and its distance to a hull of the
Materials Project's own energies (`chgnet_e_above_hull_corrected`). Here each crystal gets CHGNet's energy as it is, and its
distance to the hull of CHGNet's energies of MP-20's training crystals: another set of phases (27 111 of at most 20 atoms near the
hull, instead of all) and energies by the potential on both sides, instead of on one. Elements that one side lacks are counted.
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Structure

from fourier_workbench import Crystal
from fourier_workbench.evaluation.stability.hull import shipped_hull
from fourier_workbench.evaluation.stability.potentials import CHGNet
from fourier_workbench.files import write_json


def compared(path: Path, first: int | None) -> pd.DataFrame:
    """One row a crystal: their energy and distance, ours, and known compounds of its chemical system in our hull."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        entries = json.load(file)[:first]
    crystals = [Crystal.from_structure(Structure.from_dict(entry["structure"])) for entry in entries]
    energies, hull = CHGNet().static_energies(crystals), shipped_hull()
    above = [None if e is None else hull.energy_above(c.reduced_formula, e) for c, e in zip(crystals, energies, strict=True)]
    table = pd.DataFrame({
        "formula": [crystal.reduced_formula for crystal in crystals], "energy": energies,
        "their energy": [entry.get("chgnet_energy_per_atom") for entry in entries],
        "above": above, "their above": [entry.get("chgnet_e_above_hull_corrected") for entry in entries],
        "rivals": [hull.competing_phases(crystal.reduced_formula) for crystal in crystals],
    })  # fmt: skip
    return table.astype(dict.fromkeys(("energy", "their energy", "above", "their above"), float))


def agreement(table: pd.DataFrame) -> dict:
    """Numbers of crystals, differences, and agreement on what is stable."""
    both = table.dropna(subset=["above", "their above"])
    apart, alike = both["above"] - both["their above"], {}
    for level in (0.0, 0.1):
        ours, theirs = both["above"] <= level + 1e-4, both["their above"] <= level + 1e-4
        alike[f"{level:g}"] = {"both": int((ours & theirs).sum()), "only ours": int((ours & ~theirs).sum()),
                               "only theirs": int((~ours & theirs).sum()), "neither": int((~ours & ~theirs).sum())}  # fmt: skip
    energy = (table["energy"] - table["their energy"]).dropna()
    return {
        "crystals": len(table), "with both distances": len(both), "without ours": int(table["above"].isna().sum()),
        "without theirs": int(table["their above"].isna().sum()),
        "energy, mean absolute difference, eV/atom": float(energy.abs().mean()),
        "energy, largest difference, eV/atom": float(energy.abs().max()),
        "above hull, median difference (ours less theirs), eV/atom": float(apart.median()),
        "above hull, mean absolute difference, eV/atom": float(apart.abs().mean()),
        "above hull, median absolute difference, eV/atom": float(apart.abs().median()),
        "above hull, correlation": float(np.corrcoef(both["above"], both["their above"])[0, 1]),
        "above hull, rank correlation": float(both["above"].corr(both["their above"], method="spearman")),
        "without a known compound to compete with": int((table["rivals"] == 0).sum()),
        "at most, eV/atom": alike,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("--first", type=int)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/hull_agreement.json"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = {
        "command": f"python benchmarks/hull_agreement.py {args.source.name}",
        "data": args.source.name, "hull": shipped_hull().source, **agreement(compared(args.source, args.first)),
    }  # fmt: skip
    write_json(args.out, result)
    print(json.dumps(result, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
