"""Energies and hulls: known answers from a real potential, every way to fail counted under its word, nothing computed twice."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition
from pymatgen.entries.computed_entries import ComputedEntry

from fourier_workbench.cli import main
from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import EvaluationError
from fourier_workbench.evaluation.stability import energies as energies_module
from fourier_workbench.evaluation.stability.energies import Energies
from fourier_workbench.evaluation.stability.hull import (
    LEVELS,
    Hull,
    elemental_crystals,
    find_hull,
    read_hull,
    self_consistent_hull,
    stability,
    stability_rates,
)
from fourier_workbench.evaluation.stability.potentials import POTENTIALS, CHGNet, SevenNet, relaxation_rmsd
from fourier_workbench.evaluation.workers import Outcome
from fourier_workbench.generation import evaluate

CELL = 2.85 * (1 - np.eye(3))
HALITE = Crystal(CELL, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
BLENDE = Crystal(CELL, [11, 17], [[0, 0, 0], [0.25, 0.25, 0.25]])
PUSHED = Crystal(CELL, [11, 17], [[0, 0, 0], [0.55, 0.52, 0.47]])
SODIUM = Crystal(2.1 * np.array([[-1, 1, 1], [1, -1, 1], [1, 1, -1]]), [11], [[0, 0, 0]])
CHLORINE = Crystal(np.diag([6.0, 4.5, 4.5]), [17, 17], [[0, 0, 0], [1 / 3, 0, 0]])
KNOWN = {"NaCl": {"halite": HALITE}, "Na": {"bcc": SODIUM}, "Cl2": {"molecules": CHLORINE}}
DRAWN = [HALITE, BLENDE, PUSHED, None, HALITE.supercell(np.diag([1, 1, 2]))]


# ---------------------------------------------------------------------------------------------------- a real potential


@pytest.fixture(scope="module")
def computed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Energies, list[Crystal | None], pd.DataFrame]:
    "Everything below that needs CHGNet, computed once in worker processes."
    crystals = [
        HALITE,
        PUSHED,
        HALITE.supercell(np.diag([2, 1, 1])),
        BLENDE,
        None,
        Crystal(CELL, [11, 17], [[0, 0, 0], [0.01, 0, 0]]),
        Crystal(CELL, [11, 117], HALITE.frac_coords),
        Crystal(np.eye(3) * 12, [2], [[0, 0, 0]]),
    ]
    energies = Energies(CHGNet(), workers=1, directory=tmp_path_factory.mktemp("energies"))
    energies.single_point()([*DRAWN, *(c for named in KNOWN.values() for c in named.values())], progress=False)
    return energies, crystals, energies(crystals, progress=False)


def test_a_pushed_atom_comes_back(computed) -> None:
    _, _, table = computed
    assert table["converged"][:3].all()
    assert table["energy"][1] == pytest.approx(table["energy"][0], abs=2e-3), "the same minimum"
    assert table["energy"][2] == pytest.approx(table["energy"][0], abs=2e-3), "whatever the cell"
    assert table["energy_given"][1] > table["energy"][1] + 0.01
    assert table["rmsd"][0] < 1e-3 < table["rmsd"][1] < 0.5
    assert table["relaxed"][1].reduced_formula == "NaCl"
    assert (table["max_force"][:3] < 0.05).all()


def test_every_failure_has_its_word(computed) -> None:
    _, _, table = computed
    expected = [None] * 4 + ["no_crystal", "too_close", "element", "isolated_atom"]
    assert table["energy_failure"].tolist() == expected
    assert table["energy"].isna().tolist() == [word is not None for word in expected]
    assert table["relaxed"][4] is None


def test_nothing_is_computed_twice(computed, monkeypatch: pytest.MonkeyPatch) -> None:
    energies, crystals, table = computed
    monkeypatch.setattr(energies_module, "run_limited", lambda *_, **__: pytest.fail("was computed again"))
    again = energies(crystals[::-1], progress=False)
    assert again["energy"][::-1].tolist() == pytest.approx(table["energy"].tolist(), nan_ok=True)
    assert again["energy_failure"].tolist() == table["energy_failure"].tolist()[::-1]


def test_halite_is_on_the_hull_and_its_rival_is_not(computed, monkeypatch: pytest.MonkeyPatch) -> None:
    energies, _, _ = computed
    monkeypatch.setattr(energies_module, "run_limited", lambda *_, **__: pytest.fail("was computed again"))
    still = energies.single_point()
    hull = self_consistent_hull(KNOWN, still, [HALITE, None], progress=False)
    assert "self-consistent" in hull.source
    assert "single point" in hull.source
    table = stability(still(DRAWN, progress=False), DRAWN, hull)
    assert table["stable_0"].tolist() == [True, False, False, False, True], "a supercell lies where its crystal lies"
    assert table["e_above_hull"][1] > 0.1 > 0
    assert 1e-3 < table["e_above_hull"][2] < table["e_above_hull"][1]
    assert table["stability_failure"].tolist() == [None, None, None, "no_crystal", None]
    with pytest.raises(EvaluationError, match="reference"):
        find_hull("self", {}, still, DRAWN)


def test_evaluate_prints_stability_beside_its_hull(computed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    energies, _, _ = computed
    monkeypatch.setattr(energies_module, "run_limited", lambda *_, **__: pytest.fail("was computed again"))
    options = {"workers": 1, "measurements": ["sizes"], "compare": 0, "progress": False}
    report = evaluate(DRAWN, KNOWN, energies=energies.single_point(), directory=tmp_path / "out", **options)
    rates = report.rates.set_index("metric")
    assert rates.loc["stable (0)", ["count", "denominator"]].tolist() == [2, 5]
    assert rates.loc["S.U.N. (0)", "count"] == 0, "halite is known"
    assert rates.loc["stable (0)", "definition"].endswith(report.facts["hull"])
    assert "self-consistent, CHGNet" in report.facts["hull"]
    assert rates.loc["stable (0)", "low"] < 0.4 < rates.loc["stable (0)", "high"]
    saved = pd.read_parquet(tmp_path / "out" / "structures.parquet")
    assert saved["e_above_hull"].notna().sum() == 4
    assert saved["stability_failure"].dropna().tolist() == ["no_crystal"]
    assert "E above hull, eV/atom" in repr(report)
    table = pd.DataFrame({"formula": ["Na", "Cl", "NaCl"], "energy_per_atom": [-1.0, -1.0, -9.0]})
    table.to_csv(tmp_path / "hull.csv", index=False)
    other = evaluate(DRAWN, KNOWN, energies=energies.single_point(), hull=tmp_path / "hull.csv", **options)
    assert other["stable (0.1)"] == 0
    assert "table hull.csv, 3 formulas" in other.facts["hull"]


def test_what_cannot_be_asked_is_refused_before_anything_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(EvaluationError, match="choose from chgnet"):
        evaluate(DRAWN, KNOWN, energies="nonsense")
    HALITE.to_cif(tmp_path / "halite.cif")
    assert main(["evaluate", str(tmp_path), str(tmp_path / "out"), "--energies", "chgnet", "--hull", "self"]) == 2
    assert "give a reference, or a table as the hull" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*")), "nothing was written"


def test_missing_elements_come_from_prototypes() -> None:
    class Counting(Energies):
        def __call__(self, crystals, *, progress: bool = True) -> pd.DataFrame:
            return pd.DataFrame({"energy": [-1.0 - 0.01 * k for k in range(len(crystals))]})

    hull = self_consistent_hull({"NaCl": {"halite": HALITE}}, Counting(CHGNet(relax=False)), [HALITE], progress=False)
    assert set(hull.energies) == {"NaCl", "Na", "Cl2"}
    assert "2 elements from prototypes" in hull.source
    assert all(crystal.species == (11,) for crystal in elemental_crystals(11))
    assert len(elemental_crystals(11)) > 20
    assert 3 <= len(elemental_crystals(8)) < 6, "dense ones are left out"
    bare = self_consistent_hull(
        {"NaCl": {"halite": HALITE}}, Counting(CHGNet(relax=False)), [HALITE], elements=False, progress=False
    )
    assert bare.energy_above("NaCl", -2.0) is None, "no_hull"


def test_sevennet_agrees_on_what_is_lower() -> None:
    pytest.importorskip("sevenn", reason="the extra sevennet is not installed")
    energies = Energies(SevenNet(relax=False), workers=1)
    table = energies([HALITE, BLENDE, Crystal(CELL, [11, 117], HALITE.frac_coords)], progress=False)
    assert table["energy"][0] < table["energy"][1]
    assert table["energy_failure"][2] == "element"
    assert "SevenNet" in energies.potential.description


# ---------------------------------------------------------------------------------------------------- what hangs and dies


def _fails(monkeypatch: pytest.MonkeyPatch, failure: str) -> list[int]:
    "Worker processes that end like that; counts what was asked of them."
    asked: list[int] = []

    def run(function, items, seconds, workers, *, label=None, done) -> None:
        asked.append(len(items))
        for i in range(len(items)):
            done(i, Outcome(None, failure, seconds))

    monkeypatch.setattr(energies_module, "run_limited", run)
    return asked


@pytest.mark.parametrize(("failure", "again"), [("timeout", False), ("crash", True), ("RuntimeError: no", False)])
def test_hangs_and_crashes_are_counted_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, failure: str, again: bool
) -> None:
    asked = _fails(monkeypatch, failure)
    energies = Energies(CHGNet(), seconds=5, directory=tmp_path)
    assert energies([HALITE, HALITE], progress=False)["energy_failure"].tolist() == [failure] * 2
    energies([HALITE], progress=False)
    assert asked == ([1, 1] if again else [1]), "one structure, asked once"
    Energies(CHGNet(), seconds=50, directory=tmp_path)([HALITE], progress=False)
    assert len(asked) == (1 if failure.startswith("Runtime") else 3 if again else 2), "a longer limit is another chance"


def test_a_torn_line_is_computed_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = _fails(monkeypatch, "RuntimeError")
    energies = Energies(CHGNet(), directory=tmp_path)
    energies([HALITE, BLENDE], progress=False)
    path = tmp_path / "energies.jsonl"
    text = path.read_text()
    path.write_text(text[: len(text) - 20])
    energies([HALITE, BLENDE], progress=False)
    energies([HALITE, BLENDE], progress=False)
    assert asked == [2, 1]
    assert len({json.loads(line)["key"] for line in path.read_text().splitlines() if line.endswith("}")}) == 2


def test_wrong_settings_and_missing_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="change"):
        CHGNet(fmax=0)
    monkeypatch.setattr(SevenNet, "package", "no_such_package")
    with pytest.raises(EvaluationError, match=r"pip install 'fourier_workbench\[sevennet\]'"):
        Energies(SevenNet())([HALITE], progress=False)
    (tmp_path / "file").write_text("")
    _fails(monkeypatch, "crash")
    with pytest.raises(EvaluationError, match="give a directory"):
        Energies(CHGNet(), directory=tmp_path / "file")([HALITE], progress=False)


def test_results_are_named_by_what_was_computed() -> None:
    keys = {each.cache_key for each in (CHGNet(), CHGNet(fmax=0.1), CHGNet(relax=False), CHGNet(cell=False))}
    assert len(keys) == 4
    assert CHGNet(device="cuda").cache_key in keys
    assert set(POTENTIALS) == {"chgnet", "sevennet"}


def test_rmsd_is_in_angstrom_and_sees_volumes() -> None:
    square = Crystal(np.eye(3) * 4, [29, 29], [[0, 0, 0], [0.5, 0.5, 0.5]])
    moved = Crystal(square.lattice, square.numbers, [[0, 0, 0], [0.5, 0.5, 0.55]])
    assert relaxation_rmsd(square, moved) == pytest.approx(0.1), "0.2 Å between two atoms, each half of it"
    assert relaxation_rmsd(square, Crystal(np.eye(3) * 8, square.numbers, square.frac_coords)) is None


# ---------------------------------------------------------------------------------------------------- hulls

formation = st.floats(-2, 0.5).map(lambda x: round(x, 3))


@given(energies=st.lists(formation, min_size=4, max_size=4), energy=formation)
@settings(max_examples=25, deadline=None)
def test_distance_to_the_hull_is_pymatgens(energies: list[float], energy: float) -> None:
    formulas = ["LiO", "Li2O", "Na2O", "LiNaO"]
    hull = Hull({"Li": 0.0, "Na": 0.1, "O2": -0.2, "Cl2": 0.0, **dict(zip(formulas, energies, strict=True))}, "drawn")
    entries = [
        PDEntry(Composition(formula), value * Composition(formula).num_atoms)
        for formula, value in hull.energies.items()
        if formula != "Cl2"
    ]
    entry = PDEntry(Composition("Li3NaO2"), 6 * energy)
    assert hull.energy_above("Li3NaO2", energy) == pytest.approx(
        PhaseDiagram(entries).get_e_above_hull(entry, allow_negative=True), abs=1e-9
    )
    assert hull.energy_above("Li6Na2O4", energy + 0.25) == pytest.approx(hull.energy_above("Li3NaO2", energy) + 0.25), "per atom"


def test_hulls_from_files(tmp_path: Path) -> None:
    rows = pd.DataFrame({"formula": ["Na", "Cl2", "Na4Cl4", "NaCl"], "energy_per_atom": [-1.3, -1.8, -3.0, -3.4]})
    rows.to_csv(tmp_path / "hull.csv", index=False)
    rows.rename(columns={"formula": "composition"}).to_parquet(tmp_path / "hull.parquet")
    entries = [
        ComputedEntry("Na2", -2.6),
        ComputedEntry("Cl2", -3.4, correction=-0.2),
        ComputedEntry("NaCl", -6.8),
    ]
    content = json.dumps([entry.as_dict() for entry in entries])
    (tmp_path / "hull.json").write_text(content)
    with gzip.open(tmp_path / "entries.json.gz", "wt") as file:
        file.write(content)
    ids = pd.DataFrame({"material_id": ["halite", "bcc", "molecules", "unknown"], "energy_per_atom": [-3.4, -1.3, -1.8, 9]})
    ids.to_parquet(tmp_path / "ids.parquet")
    names = ("hull.csv", "hull.parquet", "hull.json", "entries.json.gz", "ids.parquet")
    for name in names:
        hull = read_hull(tmp_path / name, KNOWN)
        assert hull.energies == pytest.approx({"Na": -1.3, "Cl2": -1.8, "NaCl": -3.4}), name
        assert name in hull.source
    assert find_hull(tmp_path / "hull.csv", {}, Energies(), []).energy_above("NaCl", -3.4) == pytest.approx(0)


@pytest.mark.parametrize("content", ["", "a,b\n1,2\n", "formula,energy_per_atom\nNa,nan\n", "id,energy_per_atom\nx,1\n"])
def test_what_is_no_hull_says_so(tmp_path: Path, content: str) -> None:
    (tmp_path / "hull.csv").write_text(content)
    with pytest.raises(EvaluationError, match="give"):
        read_hull(tmp_path / "hull.csv")


def test_a_stranger_s_entries_run_no_code(tmp_path: Path) -> None:
    entry = {"@module": "os", "@class": "system", "composition": {"Na": 1}, "energy": -1.3}
    (tmp_path / "entries.json").write_text(json.dumps({"entries": [entry]}))
    assert read_hull(tmp_path / "entries.json").energies == {"Na": -1.3}


def test_rates_are_of_everything_drawn() -> None:
    hull = Hull({"Na": 0.0, "Cl2": 0.0, "NaCl": -1.0}, "by hand")
    drawn = [HALITE, BLENDE, PUSHED, None, Crystal(CELL, [19, 17], HALITE.frac_coords)]
    table = pd.DataFrame(
        {
            "energy": [-1.0, -0.95, -1.2, np.nan, -1.0],
            "energy_failure": [None, None, None, "no_crystal", None],
            "converged": pd.array([True, False, True, None, True], dtype="boolean"),
            "rmsd": [0.1, np.nan, 0.3, np.nan, 0.2],
        }
    )
    table = stability(table, drawn, hull)
    table["unique"] = [True, True, False, False, True]
    table["novel"] = [False, True, True, False, True]
    rates = pd.DataFrame(stability_rates(table, hull, "a potential")).set_index("metric")
    assert rates["count"].to_dict() == {
        "stable (0)": 2,
        "stable (0.1)": 3,
        "S.U.N. (0)": 0,
        "S.U.N. (0.1)": 1,
        "hull has rivals": 3,
        "relaxation converged": 3,
        "RMSD to relaxed, Å": 3,
        "E above hull, eV/atom": 3,
    }
    assert set(rates["denominator"][:6]) == {5}
    assert rates.loc["stable (0)", "failures"] == 2, "one without a crystal, one without a hull"
    assert rates.loc["RMSD to relaxed, Å", "value"] == pytest.approx(0.2)
    assert rates["definition"][:4].str.contains("by hand").all()
    assert table["stability_failure"].tolist() == [None, None, None, "no_crystal", "no_hull"]
    assert LEVELS == (0.0, 0.1)


def test_formulas_with_noble_gases_raise_no_warning() -> None:
    code = """import numpy as np
from fourier_workbench import Crystal
print(Crystal(4 * np.eye(3), [18], [[0, 0, 0]]).reduced_formula)"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.strip() == "Ar"
    assert not found.stderr
