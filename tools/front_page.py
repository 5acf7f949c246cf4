"""Write the table of MP-20 on the front page from the results of benchmarks/mp20_table.py and benchmarks/reconstruction.py.

    .venv/bin/python tools/front_page.py            # between the marks in nbs/index.ipynb, then README.md
    .venv/bin/python tools/front_page.py --print    # only show it

The marks are `<!-- mp20 -->` and `<!-- /mp20 -->` in a markdown cell. Numbers are those of the JSON files, none is typed by hand.
"""

import json
import re
import sys
from typing import Any

from build_readme import README, render

from project import NOTEBOOKS, ROOT

RESULTS = ROOT / "benchmarks" / "results"
COLUMNS = {
    "ours": "this workbench", "ours, asked near the hull": "… asked to lie near the hull", "SGEquiDiff": "SGEquiDiff",
    "WyFormer, DiffCSP++": "WyFormer, DiffCSP++", "training crystals": "training crystals, again",
}  # fmt: skip
LINES = (  # label, step, group, metric, unit
    ("valid, structure and composition (CDVAE)", "measured", "rates", "CDVAE valid", "%"),
    ("all checks, unique and novel", "measured", "rates", "all checks, unique, novel", "%"),
    ("metastable (CHGNet, as drawn), unique, novel, valid", "static", "rates", "S.U.N. (0.1), CDVAE valid", "%"),
    ("… after relaxation", "relaxed", "rates", "S.U.N. (0.1), CDVAE valid", "%"),
    ("distance of space groups (Jensen–Shannon)", "measured", "distances", "Jensen–Shannon, space groups", ""),
    ("distance of densities (Wasserstein, g/cm³)", "measured", "distances", "Wasserstein, mass density", ""),
)
MARKS = re.compile(r"(<!-- mp20 -->\n).*?(\n<!-- /mp20 -->)", re.DOTALL)


def shown(row: dict[str, Any], step: str, group: str, metric: str, unit: str) -> str:
    """One value; a dash where it has not been measured."""
    found = row.get(step, {}).get(group, {}).get(metric)
    if not found or found["value"] is None:
        return "–"
    return f"{100 * found['value']:.1f} %" if unit == "%" else f"{found['value']:.2f}"


def table() -> str:
    """The table as markdown, with the columns and lines that have been measured."""
    found = json.loads((RESULTS / "mp20_table.json").read_text(encoding="utf-8"))
    rows = {name: found["rows"][name] for name in COLUMNS if name in found["rows"]}
    lines = [f"| MP-20, {found['n']} samples each, one evaluator | " + " | ".join(COLUMNS[name] for name in rows) + " |",
             "|---" * (len(rows) + 1) + "|"]  # fmt: skip
    for label, step, group, metric, unit in LINES:
        values = [shown(row, step, group, metric, unit) for row in rows.values()]
        if set(values) != {"–"}:
            lines.append(f"| {label} | " + " | ".join(values) + " |")
    path = RESULTS / "reconstruction_mp_20.json"
    if path.is_file():
        given = json.loads(path.read_text(encoding="utf-8"))
        others = ", ".join(f"{name} {value:.1f} %" for name, value in (given["published match, %"] or {}).items())
        back = 100 * given["match"]["value"]
        tested, whole = given["tested on"], given["of a test split of"]
        share = f"all {whole} test crystals" if tested == whole else f"{tested} of the {whole} test crystals"
        tries = f" in up to {given['tries']} tries" if given.get("tries", 1) > 1 else ""
        lines.append(f"\nIts autoencoder reconstructs {back:.1f} % of {share}{tries} "
                     f"(StructureMatcher; {others}).")  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Replace what stands between the marks, and write README.md again."""
    text = table()
    if "--print" in sys.argv:
        print(text)
        return
    path = NOTEBOOKS / "index.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if MARKS.search(source):
            cell["source"] = MARKS.sub(lambda found: f"{found[1]}{text}{found[2]}", source).splitlines(keepends=True)
            break
    else:
        sys.exit("nbs/index.ipynb has no marks <!-- mp20 --> and <!-- /mp20 -->; add them where the table belongs")
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    README.write_text(render(), encoding="utf-8")


if __name__ == "__main__":
    main()
