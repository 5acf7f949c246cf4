"""The funnel of a folder of Parquet files, file by file, as one corpus in which duplicates are sought across files.

    python benchmarks/funnel.py ../shared/data CORPUS --workers 2 --write nbs/explanations/the_funnel.json

Prepares the folder (recoverable from 9³ coefficients on 1/48, cells as given; a killed run goes on where it was), prints the
funnel of each file and writes the table that nbs/explanations/the_funnel.ipynb is drawn from. Which file an entry came from is
known by its id, so ids must differ between files.
"""

import argparse
import json
import platform
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq

from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.data.funnel import ordered_reasons


def ids_of(folder: Path) -> dict[str, str]:
    """File of each id. Raises `SystemExit` when two entries have one id."""
    owner: dict[str, str] = {}
    for path in sorted(folder.glob("*.parquet")):
        ids = pq.read_table(path, columns=["material_id"])["material_id"].to_pylist()
        if len(set(ids)) < len(ids) or owner.keys() & set(ids):
            raise SystemExit(f"{path} repeats ids; entries cannot be traced to their files")
        owner |= dict.fromkeys(ids, path.stem)
    return owner


def by_file(corpus: Corpus, owner: dict[str, str]) -> dict[str, dict]:
    """in, kept and rejected by reason, of each file."""
    entries, lost = Counter(owner.values()), {name: Counter[str]() for name in owner.values()}
    rejected = corpus.rejected
    for name, reason in zip(rejected["id"].to_pylist(), rejected["reason"].to_pylist(), strict=True):
        lost[owner[name]][reason] += 1
    return {name: {"in": n, "kept": n - lost[name].total(), "rejected": dict(sorted(lost[name].items()))}
            for name, n in sorted(entries.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--keep-duplicates", action="store_true")
    parser.add_argument("--write", type=Path)
    args = parser.parse_args()
    corpus = prepare_corpus(args.folder, args.corpus, workers=args.workers, deduplicate=not args.keep_duplicates)
    files = by_file(corpus, ids_of(args.folder))
    assert sum(level["kept"] for level in files.values()) == len(corpus)
    reasons = ordered_reasons(corpus.funnel)
    print("| file | in | " + " | ".join(reasons) + " | kept |\n|" + "---|" * (len(reasons) + 3))
    for name, level in [*files.items(), ("all", corpus.funnel)]:
        print(f"| {name} | {level['in']} | " + " | ".join(str(level["rejected"].get(reason, 0)) for reason in reasons)
              + f" | {level['kept']} |")
    if args.write:
        command = "python benchmarks/funnel.py FOLDER CORPUS" + " --keep-duplicates" * args.keep_duplicates
        about = {"command": command, "processor": platform.machine(),
                 "options": corpus.manifest["options"], "all": corpus.funnel, "files": files}
        args.write.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
