"""The two tables that come with the package: what is known of MP-20's training crystals, and their hull by CHGNet.

    python benchmarks/mp20_tables.py mp_20.parquet WORK            # into the package
    python benchmarks/mp20_tables.py mp_20.parquet WORK --out DIR

`mp20_known.parquet`: id, formula, bond network, space group and volume per atom of each crystal of the training split (27 111).
`mp20_chgnet_hull.parquet`: of each formula of the training split the lowest static CHGNet energy, of the crystals as they are
(they are relaxed by DFT). Twelve elements of MP-20 have no crystal of the element itself in the training split; a hull needs
these references, so they are taken from the other two splits, nothing else is. Elements that MP-20 lacks have no hull.
The energies take about 10 ms of a processor each; they are kept in WORK/static.jsonl and not computed again.
MP-20: Xie et al. (CDVAE, ICLR 2022), from the Materials Project (Jain et al., APL Materials 1, 011002, 2013), CC BY 4.0.
"""

import argparse
import json
import math
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from fourier_workbench import Crystal
from fourier_workbench.evaluation.known import SHIPPED, fingerprint_crystals
from fourier_workbench.evaluation.stability.hull import write_hull
from fourier_workbench.evaluation.stability.potentials import CHGNet

BATCH = 256  # crystals whose energies a kill can lose
ATTRIBUTION = {
    "source": "MP-20, train split of CDVAE (Xie et al., ICLR 2022), from the Materials Project (Jain et al., APL Materials 1, "
              "011002, 2013)",
    "licence": "CC BY 4.0",
    "attribution": "Materials Project, CC BY 4.0; derived by fourier_workbench: benchmarks/mp20_tables.py",
}


def crystal_of(row) -> Crystal:
    """The crystal of a row of the source."""
    return Crystal(np.reshape(row.lattice, (3, 3)), row.atomic_numbers, np.reshape(row.frac_coords, (-1, 3)))


def with_elements(data: pd.DataFrame) -> pd.DataFrame:
    """The training split, and crystals of elements that it has none of."""
    train, alone = data["orig_split"] == "train", data["atomic_numbers"].map(lambda z: z[0] if len(set(z)) == 1 else 0)
    return data[train | ((alone > 0) & ~alone.isin(set(alone[train])))]


def static_energies(data: pd.DataFrame, path: Path) -> dict[str, float | None]:
    """Energy by id, from the journal and, for the others, from CHGNet."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    lines = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
    found = {line["id"]: line["energy"] for line in lines}
    left = data[~data["material_id"].isin(list(found))]
    left = left.iloc[np.argsort([len(z) for z in left["atomic_numbers"]], kind="stable")]
    with path.open("a", encoding="utf-8") as file:
        for start in range(0, len(left), BATCH):
            rows = list(left.iloc[start : start + BATCH].itertuples())
            for row, energy in zip(rows, CHGNet().static_energies([crystal_of(row) for row in rows]), strict=True):
                found[row.material_id] = energy
                file.write(json.dumps({"id": row.material_id, "energy": energy}) + "\n")
            file.flush()
            print(f"{start + len(rows)} of {len(left)}", flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--out", type=Path, default=Path(str(SHIPPED)))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    data = pd.read_parquet(args.source)
    train, start = data[data["orig_split"] == "train"], time.process_time()
    crystals = ((row.material_id, crystal_of(row), int(row.spacegroup_number)) for row in train.itertuples())
    known = fingerprint_crystals(crystals, {"name": "MP-20's training crystals", **ATTRIBUTION})
    path = known.write(args.out / "mp20_known.parquet")
    print(f"{path.name}: {len(known)} crystals, {path.stat().st_size} bytes, {time.process_time() - start:.0f} s of a processor")
    wanted = with_elements(data)
    found = static_energies(wanted, args.work / "static.jsonl")
    rows = [(crystal_of(row).reduced_formula, found[row.material_id], row.material_id) for row in wanted.itertuples()]
    kept = [row for row in rows if row[1] is not None and math.isfinite(row[1])]
    table = pd.DataFrame(kept, columns=["formula", "energy_per_atom", "material_id"])
    potential = CHGNet().single_point()
    about = {
        "name": "MP-20's training crystals", **ATTRIBUTION, "potential": potential.name, "energies": potential.description,
        "chgnet": version("chgnet"), "crystals": len(kept), "without an energy": len(rows) - len(kept),
        "elements from the other splits": sorted(set(wanted[wanted["orig_split"] != "train"]["reduced_formula"])),
    }  # fmt: skip
    path = write_hull(table, about, args.out / "mp20_chgnet_hull.parquet")
    print(f"{path.name}: {table['formula'].nunique()} formulas, {path.stat().st_size} bytes")
    print(json.dumps(about, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
