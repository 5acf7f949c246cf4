"""What evaluations get wrong: nothing to compare with, mixed valence, foreign elements, orders that change a count."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Composition, Element
from smact.screening import smact_validity

from fourier_workbench.crystal import Crystal
from fourier_workbench.errors import WorkbenchError
from fourier_workbench.evaluation import evaluate
from fourier_workbench.evaluation.checks import check_charges
from fourier_workbench.evaluation.report.html import evaluation_page
from fourier_workbench.evaluation.uniqueness import find_matches, is_same
from fourier_workbench.evaluation.workers import Outcome, Workers

QUICK: dict[str, Any] = {"workers": 1, "compare": 0, "measurements": ["sizes"], "progress": False}
HALITE = Crystal(2.9 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting worker processes takes seconds; what runs in them is tested here, not how."""

    def run(self: Workers, function: Any, items: Any, *, done: Any = None, **options: Any) -> list[Outcome]:
        outcomes = []
        for i, item in enumerate(items):
            try:
                outcomes.append(Outcome(function(item), None, 0.0))
            except Exception as error:
                outcomes.append(Outcome(None, f"{type(error).__name__}: {error}", 0.0))
            if done is not None:
                done(i, outcomes[-1])
        return outcomes

    monkeypatch.setattr(Workers, "run", run)


def spaced(formula: str, edge: float = 5.2) -> Crystal:
    """Atoms of a formula on the nodes of a coarse grid."""
    numbers = [element.Z for element, n in Composition(formula).items() for _ in range(int(n))]
    nodes = itertools.product((0, 0.5), repeat=3)
    return Crystal(np.eye(3) * edge, numbers, [node for node, _ in zip(nodes, numbers, strict=False)])


def charges(formula: str) -> dict[str, bool]:
    return check_charges({element.Z: int(n) for element, n in Composition(formula).items()})


# ---------------------------------------------------------------------------------------------------- denominators


@pytest.mark.parametrize("content", ['{"name": "a recipe"}', "[]", '[{"lattice": "none"}]'])
def test_nothing_is_novel_beside_a_reference_that_cannot_be_read(tmp_path: Path, content: str) -> None:
    path = tmp_path / "reference.json"
    path.write_text(content)
    with pytest.raises(WorkbenchError, match=r"give another one, or leave it out|holds no"):
        evaluate([HALITE], path, **QUICK)


def test_entries_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "reference.json"
    path.write_text(json.dumps([spaced("KBr").to_structure().as_dict(), {"lattice": "none"}]))
    remarks = evaluate([HALITE, spaced("LiF")], path, **QUICK).remarks
    assert len(remarks) == 2
    assert "every crystal is novel" in remarks[0]
    assert "1 entries of the reference could not be read" in remarks[1]


@pytest.mark.parametrize(
    ("samples", "reference", "remark"),
    [
        (["NaCl", "KBr"], ["NaCl", "KBr"], "2 of 2 crystals equal a reference crystal in every digit"),
        (["NaCl", "NaCl"], ["KBr", "NaCl"], "all 2 crystals have one formula, NaCl"),
        (["NaCl", "KBr"], ["LiF"], "the reference of one crystal has 0"),
        ([None, None], ["LiF"], "none of 2 samples became a crystal"),
    ],
)
def test_rates_that_mislead_get_a_remark(samples: list, reference: list, remark: str, tmp_path: Path) -> None:
    crystals = [None if formula is None else spaced(formula) for formula in samples]
    report = evaluate(crystals, [spaced(formula) for formula in reference], **QUICK)
    assert any(remark in each for each in report.remarks), report.remarks
    assert remark in evaluation_page(tmp_path / "report.html", report).read_text()
    assert remark in repr(report)


def test_a_reference_with_rounded_copies_gets_a_remark() -> None:
    rounded = [Crystal(c.lattice * 1.0001, c.numbers, c.frac_coords) for c in (HALITE, spaced("KBr"))]
    remarks = evaluate([HALITE, spaced("KBr")], rounded, **QUICK).remarks
    assert any("does the reference contain the samples?" in remark for remark in remarks)


# ---------------------------------------------------------------------------------------------------- charges


@pytest.mark.parametrize(
    ("formula", "neutral", "unmixed"),
    [
        ("Fe3O4", True, False),
        ("Mn3O4", True, False),
        ("Pb3O4", True, False),
        ("U3O8", True, False),
        ("Fe11O16", True, False),
        ("Cu3Al", True, True),
        ("MgZn2", True, True),
        ("Fe", True, True),
        ("Xe", True, True),
        ("Na2O2", True, True),
        ("Hg2Cl2", True, True),
        ("MnReOsRuCrVNS", True, True),
        ("NaCl3", False, False),
        ("Mg2Cl3", False, False),
        ("HeNe", False, False),
    ],
)
def test_charges_with_mixed_valence(formula: str, neutral: bool, unmixed: bool) -> None:
    found = charges(formula)
    assert (found["charge_neutral"], found["charges_as_pauling"], found["charges_unmixed"]) == (neutral, neutral, unmixed)


def test_without_mixed_valence_the_verdict_is_that_of_smact() -> None:
    rng, verdicts = np.random.default_rng(0), []
    for _ in range(150):
        numbers = rng.choice([z for z in range(1, 84) if z not in (2, 10, 18, 36)], rng.integers(2, 5), replace=False)
        composition = Composition({Element.from_Z(int(z)): int(rng.integers(1, 6)) for z in numbers}).reduced_composition
        expected = smact_validity(composition, oxidation_states_set="smact14")
        assert charges(composition.formula)["charges_unmixed"] == expected, composition
        verdicts.append(expected)
    assert 20 < sum(verdicts) < 130


# ---------------------------------------------------------------------------------------------------- elements


def test_elements_beyond_the_tables_have_a_row_and_a_picture(tmp_path: Path) -> None:
    crystals = [spaced(formula) for formula in ("HeNe", "Md4", "OgF2", "PmCl3", "Pu", "H", "He")]
    report = evaluate(crystals, workers=1, compare=0, measurements=["sizes", "charges"], progress=False)
    table = report.structures
    assert table["valid"].all()
    assert table["formula"].notna().all()
    assert table["failure"].isna().tolist() == [True, False, False, True, True, True, True]
    assert "smact knows no oxidation states" in table["failure"][2]
    assert "beyond curium" in table["failure"][1]
    assert evaluation_page(tmp_path / "report.html", report, viewer_js="//").stat().st_size > 10_000


# ---------------------------------------------------------------------------------------------------- uniqueness


def perovskite(t: float) -> Crystal:
    frac = [[0, 0, 0], [0.5, 0.5, 0.5 + 0.06 * t], [0.5, 0.5, 1 - 0.06 * t], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return Crystal(3.905 * np.diag([1 + 0.02 * t, 1, 1 + 0.25 * t]), [56, 22, 8, 8, 8], frac)


def test_the_number_of_unique_structures_does_not_depend_on_their_order() -> None:
    path = [perovskite(t) for t in (0, 0.35, 0.7, 1.05, 1.4)]
    assert all(is_same(a, b) for a, b in itertools.pairwise(path))
    assert not is_same(path[0], path[-1])
    orders = [list(order) for order in itertools.permutations(range(5))][::17]
    chosen = set()
    for order in orders:
        results = find_matches([path[i] for i in order], workers=1, progress=False)
        chosen.add(frozenset(i for i, result in zip(order, results, strict=True) if result.duplicate_of is None))
    assert len(orders) > 6
    assert len(chosen) == 1
    assert 1 < len(next(iter(chosen))) < 5
