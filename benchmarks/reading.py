"""How many crystals the readers read in a second, beside another version of the library.

    python benchmarks/reading.py                                # this version, all formats
    python benchmarks/reading.py --beside PATH                  # and that of another checkout: the ratio, in one run
    python benchmarks/reading.py --beside PATH --formats cif symmetry --save benchmarks/results/reading.json

Writes the same crystals (pymatgen's prototypes) as CIF with and without symmetry, POSCAR, extended XYZ, CSV and JSON. Each
folder is read in fresh processes, by the versions in turn; the best of three times counts, in seconds of the processor. Machines
differ: only ratios are results.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from ase.io import write
from pymatgen.io.cif import CifWriter
from pymatgen.io.vasp import Poscar

from fourier_workbench.data import load_crystals

READ = """
import sys, time, warnings
warnings.simplefilter("ignore")
from fourier_workbench.data import load_crystals
source, repeats = sys.argv[1], int(sys.argv[2])
list(load_crystals(source, lambda *_: None))
times = []
for _ in range(repeats):
    began = time.process_time()
    n = sum(1 for _ in load_crystals(source, lambda *_: None))
    times.append(time.process_time() - began)
print(n / min(times))
"""


FORMATS = {"cif": "cif", "symmetry": "symmetry", "poscar": "poscar", "extxyz": "frames.extxyz", "json": "list.json",
           "csv": "table.csv"}


def write_all(folder: Path, n: int) -> dict[str, Path]:
    """The same crystals in each format; the path of each."""
    crystals = [sample.crystal for sample in load_crystals("embedded")][:n]
    for name in ("cif", "symmetry", "poscar"):
        (folder / name).mkdir()
    for i, crystal in enumerate(crystals):
        structure = crystal.to_structure()
        crystal.to_cif(folder / "cif" / f"{i}.cif")
        (folder / "symmetry" / f"{i}.cif").write_text(str(CifWriter(structure, symprec=0.01)), encoding="utf-8")
        Poscar(structure).write_file(folder / "poscar" / f"{i}.vasp")
    write(folder / "frames.extxyz", [crystal.to_ase() for crystal in crystals], format="extxyz")
    (folder / "list.json").write_text(json.dumps([crystal.to_structure().as_dict() for crystal in crystals]), encoding="utf-8")
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["material_id", "cif"])
        rows.writerows((i, crystal.to_cif()) for i, crystal in enumerate(crystals))
    return {name: folder / file for name, file in FORMATS.items()}


def version(checkout: Path) -> str:
    """The commit of a checkout."""
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=checkout, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"


def measure(source: Path, checkout: Path, repeats: int) -> float:
    """Crystals read in a second of processor time by the library of a checkout."""
    environment = os.environ | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    found = subprocess.run([sys.executable, "-c", READ, str(source), str(repeats)], env=environment, cwd=checkout,
                           capture_output=True, text=True, check=True)
    return float(found.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--beside", type=Path, help="another checkout of the repository")
    parser.add_argument("-n", type=int, default=120, help="crystals")
    parser.add_argument("--formats", nargs="*", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--save", type=Path, help="a JSON file of results, to which this run is added")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    here, rows = Path(__file__).resolve().parents[1], []
    with tempfile.TemporaryDirectory() as scratch:
        paths = write_all(Path(scratch), args.n)
        for name in args.formats:
            there = measure(paths[name], args.beside.resolve(), args.repeats) if args.beside else 0.0
            mine = measure(paths[name], here, args.repeats)
            beside = f", beside {there:6.0f} a second: {mine / there:.2f} times" if there else ""
            print(f"{name:14} {mine:6.0f} crystals a second{beside}", flush=True)
            rows.append({"format": name, "crystals per CPU second": round(mine, 1), "beside": round(there, 1) or None,
                         "ratio": round(mine / there, 2) if there else None})
    if args.save:
        runs = json.loads(args.save.read_text()) if args.save.is_file() else []
        command = ["python benchmarks/reading.py", f"-n {args.n}", f"--repeats {args.repeats}", "--formats", *args.formats]
        runs.append({"command": " ".join(command),
                     "version": version(here), "beside": version(args.beside) if args.beside else None,
                     "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, one thread",
                     "data": f"{args.n} of pymatgen's prototypes", "rows": rows})
        args.save.write_text(json.dumps(runs, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
