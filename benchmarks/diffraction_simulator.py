"""Simulated powder patterns against pymatgen's `XRDCalculator`, on real crystals.

    python benchmarks/diffraction_simulator.py mp_20.parquet [-n 1000] [--split test] [--out FILE]

Both calculate Cu Kα lines from 5 to 90°. Lines are matched by angle; an intensity is in per cent of the strongest line of its
pattern. Two comparisons: `same table` puts pymatgen's form factors into our structure factors, so only the formulae differ, and
`own table` uses the International Tables of gemmi, so the two tables differ as well. A crystal passes when no line of it is off
by more than 1 %; a crystal with an element that a table lacks is counted as left out, with the reason.
"""

import argparse
import json
import platform
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator
from pymatgen.core import Element

from fourier_workbench.crystal import Crystal
from fourier_workbench.diffraction.pattern import CU_K_ALPHA
from fourier_workbench.diffraction.scattering import form_factors, reflections, s_squared, sublattice_sums
from fourier_workbench.diffraction.simulate import lorentz_polarisation, merge_lines
from fourier_workbench.errors import DiffractionError


def pymatgen_factors(numbers: torch.Tensor, s2: torch.Tensor) -> torch.Tensor:
    """Form factors of pymatgen's table."""
    rows = []
    for z in numbers.tolist():
        a, b = np.array(ATOMIC_SCATTERING_PARAMS[Element.from_Z(z).symbol]).T
        rows.append(z - 41.78214 * s2.numpy() * (a * np.exp(-b * s2.numpy()[:, None])).sum(1))
    return torch.from_numpy(np.stack(rows))


def lines(crystal: Crystal, ours: bool) -> tuple[np.ndarray, np.ndarray]:
    """Angles and intensities of our simulator with one of the two tables."""
    d_min = CU_K_ALPHA / (2 * np.sin(np.radians(45)))
    hkl = torch.from_numpy(reflections(crystal.lattice, d_min, CU_K_ALPHA / (2 * np.sin(np.radians(2.5)))))
    numbers = torch.tensor(crystal.species)
    slots = torch.searchsorted(numbers, torch.from_numpy(crystal.numbers.copy()))
    s2 = s_squared(torch.from_numpy(crystal.lattice.copy()), hkl)
    alpha = sublattice_sums(torch.from_numpy(crystal.frac_coords.copy()), slots, hkl, len(numbers))
    table = form_factors(numbers, s2) if ours else pymatgen_factors(numbers, s2)
    square = (table * alpha).sum(0).abs().square() * lorentz_polarisation(s2, CU_K_ALPHA)
    return merge_lines(2 * np.degrees(np.arcsin(s2.sqrt().numpy() * CU_K_ALPHA)), square.numpy(), 1e-3)


def largest(x: np.ndarray, y: np.ndarray, peer_x: np.ndarray, peer_y: np.ndarray) -> float:
    """Largest difference of a line, per cent of the strongest; both patterns are merged in bins of the same edges."""
    edges = np.sort(np.concatenate([x, peer_x]))
    group = np.concatenate([[0], np.cumsum(np.diff(edges) > 2e-3)])
    own = np.bincount(group[np.searchsorted(edges, x)], y, minlength=group[-1] + 1)
    peer = np.bincount(group[np.searchsorted(edges, peer_x)], peer_y, minlength=group[-1] + 1)
    return float(np.abs(100 * own / own.max() - 100 * peer / peer.max()).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="Parquet file of crystals")
    parser.add_argument("-n", type=int, default=1000)
    parser.add_argument("--split", default="test")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = pd.read_parquet(args.data)
    rows = rows[rows["orig_split"] == args.split].head(args.n)
    worst: dict[str, list[float]] = {"same table": [], "own table": []}
    left: Counter[str] = Counter()
    calculator = XRDCalculator(CU_K_ALPHA)
    for row in rows.itertuples():
        crystal = Crystal(np.reshape(row.lattice, (3, 3)), row.atomic_numbers, np.reshape(row.frac_coords, (-1, 3)))
        try:
            peer = calculator.get_pattern(crystal.to_structure(), two_theta_range=(5, 90))
            found = {name: largest(*lines(crystal, name == "own table"), np.array(peer.x), np.array(peer.y)) for name in worst}
        except (ValueError, KeyError, DiffractionError) as error:
            left[" ".join(str(error).split())[:80]] += 1
            continue
        for name, value in found.items():
            worst[name].append(value)
    table = {
        name: {"crystals": len(values), "within 1 %": int((np.array(values) <= 1).sum()), "median": float(np.median(values)),
               "99 %": float(np.quantile(values, 0.99)), "largest": float(np.max(values))}
        for name, values in worst.items()
    }  # fmt: skip
    for name, facts in table.items():
        print(f"{name:12}" + "".join(f"  {key} {value:.4g}" for key, value in facts.items()))
    print("left out:", dict(left) or "none")
    if args.out:
        machine = platform.processor() or platform.machine()
        content = {"data": args.data.name, "split": args.split, "n": len(rows), "machine": machine, "table": table,
                   "left out": dict(left)}  # fmt: skip
        args.out.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
