"""Requests: refused or met, the same through JSON, folders and batches, and nothing asked is ignored."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.config.schema import AutoencoderStage, DiffuserStage, Recipe
from fourier_workbench.crystal import Crystal
from fourier_workbench.diffusion import CompositionGuide, InformationMatchedSchedule
from fourier_workbench.errors import RecipeError
from fourier_workbench.generation import Generator, Request, load_generator, sample_folder
from fourier_workbench.generation.asking import answer_request, open_compositions
from fourier_workbench.generation.requests import kept_nodes
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.composition import CompositionConfig, CompositionModel
from fourier_workbench.model.conditions import ConditionConfig

from ladders import UNSOUGHT

SALT = Crystal(4 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
TITANATE = Crystal(3.9 * np.eye(3), [8, 8, 8, 22, 38],
                   [[0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5], [0.5, 0.5, 0.5], [0, 0, 0]])
HOW = {"seed": 3, "steps": 4, "progress": False}


@pytest.fixture(scope="module")
def told() -> Generator:
    "Untrained, conditioned, with a model of compositions that knows at most four atoms of an element."
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=1, n_layers=2)
    model = AutoencoderConfig(shape, bpd=5, tokens="half", n_aux=2, compression=0.012)
    steps = DiffuserConfig(shape, model.ladder_shape, scratch_bpd=3, output="skip", conditions=ConditionConfig(max_count=4))
    autoencoder, diffuser = Autoencoder(model).eval(), Diffuser(steps).eval()
    autoencoder.ladder.prune(15)
    diffuser.selector.copy_(autoencoder.selector)
    with torch.no_grad():
        autoencoder.decoder.lattice_head.bias.copy_(torch.tensor([1.6, 1.6, 1.6, 0.0, 0.0, 0.0]))
    schedule = InformationMatchedSchedule(diffuser.tau, autoencoder.log_sigma)
    recipe = Recipe("tiny", AutoencoderStage(model, grid=24, cyclic_slots=False), DiffuserStage(steps))
    composer = CompositionModel(CompositionConfig(d_hidden=16, max_count=4)).eval()
    return Generator(autoencoder, diffuser, schedule, recipe, composer=composer)


@pytest.fixture(scope="module")
def laptop() -> Generator:
    "The shipped model, which can be told nothing."
    return load_generator("laptop")


PARTS = {
    "required": st.lists(st.sampled_from(["O", "Ti", "Li", "Na"]), max_size=3, unique=True).map(tuple),
    "n_atoms": st.none() | st.integers(20, 60) | st.tuples(st.integers(1, 20), st.integers(20, 60)),
    "crystal_system": st.none() | st.sampled_from(["cubic", "triclinic"]),
    "volume_per_atom": st.none() | st.just((8.5, 12.25)),
    "sizes": st.none() | st.dictionaries(st.integers(1, 60), st.floats(0.1, 9), min_size=1, max_size=5),
    "start": st.just(SALT), "phi": st.floats(0.01, 1), "keep": st.sampled_from([(), ("Na",)]),
    "forbidden": st.sampled_from([(), ("F",), ["Cl", "F"]]),
}  # fmt: skip


@given(st.fixed_dictionaries(PARTS))
@settings(max_examples=40, deadline=None)
def test_a_request_survives_json(parts: dict) -> None:
    if "Cl" in parts["forbidden"] and parts["keep"]:
        return
    request = Request(**parts)
    again = Request.from_json(request.to_json())
    assert again == request
    assert hash(again) == hash(request)
    assert again.to_json() == request.to_json()
    assert again.n_atoms == request.n_atoms


REFUSED = {
    "required must hold symbols": {"required": ("Unobtainium",)},
    "at most 6 elements": {"required": ("H", "Li", "Be", "B", "C", "N", "O")},
    "asked and forbidden": {"formula": "SrTiO3", "forbidden": ("O",)},
    "ask for multiples of 5": {"formula": "SrTiO3", "n_atoms": (6, 9)},
    "not in the composition": {"formula": "SrTiO3", "required": ("Na",)},
    "not among those allowed": {"formula": "SrTiO3", "allowed": ("O", "Ti")},
    "counts .* are not": {"formula": "SrTiO3", "counts": {"O": 3}},
    "whole numbers": {"formula": "Li0.5O"},
    "space group 225 is cubic": {"space_group": 225, "crystal_system": "trigonal"},
    "crystal_system must be one of": {"crystal_system": "squarish"},
    "space_group must be": {"space_group": 231},
    "n_atoms must be": {"n_atoms": (9, 4)},
    "volume_per_atom must be": {"volume_per_atom": (0, 4)},
    "need a crystal to start from": {"keep": ("O",)},
    "needs a noise level": {"start": SALT},
    "no O to keep; keep some of Na, Cl": {"start": SALT, "keep": ("O",)},
    "with as many atoms": {"start": SALT, "keep": ("Na",), "counts": {"Na": 2, "Cl": 1}},
    "sizes must give": {"sizes": {4: -1.0}},
    "phi must be": {"start": SALT, "phi": 1.5},
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_no_crystal_can_be_is_refused_in_one_line(message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        Request(**REFUSED[message])
    assert "\n" not in str(caught.value)


def test_json_that_is_no_request_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[1")
    bad = {"{": "no JSON", '{"elements": 1}': "has no part elements", str(tmp_path / "none"): "no request at",
           str(tmp_path / "bad.json"): "no JSON"}
    for text, message in bad.items():
        with pytest.raises(RecipeError, match=message):
            Request.from_json(text)


@pytest.mark.parametrize("parts, message", [
    ({"required": ("U",)}, "knows no U; ask for elements up to Bi"), ({"e_above_hull": 0.1}, "not trained with e_above_hull"),
    ({"properties": {"gap": (0, 1)}}, "not trained with gap"), ({"counts": {"Na": 5, "Cl": 1}}, "at most 4 atoms of one element"),
    ({"n_atoms": (30, 40)}, "ask for fewer atoms"),
])
def test_what_the_model_cannot_do_is_refused_before_anything_is_drawn(told: Generator, tmp_path: Path, parts, message) -> None:
    with pytest.raises(RecipeError, match=message):
        told.sample(2, request=Request(**parts), **HOW)
    with pytest.raises(RecipeError, match=message):
        sample_folder(told, tmp_path / "out", 2, request=Request(**parts), steps=2, progress=False)
    assert not (tmp_path / "out" / "samples.parquet").exists()


def test_symmetry_is_refused_where_it_was_not_trained(laptop: Generator) -> None:
    for parts in ({"crystal_system": "cubic"}, {"space_group": 221}):
        with pytest.raises(RecipeError, match="not trained with crystal systems"):
            laptop.sample(1, request=Request(**parts), **HOW)


ASKED = {
    "exact set": Request(required=("Na", "Cl")),
    "allowed": Request(required=("O",), allowed=("Li", "Ti"), n_atoms=(3, 8)),
    "forbidden": Request(forbidden=("O", "F"), n_atoms=6),
    "formula": Request(formula="TiO2", n_atoms=(3, 6), crystal_system="cubic"),
    "counts": Request(counts={"Sr": 1, "Ti": 1, "O": 3}, space_group=221),
    "sizes": Request(sizes={2: 1.0, 5: 1.0}),
}


@pytest.mark.parametrize("name", ASKED)
def test_hard_parts_are_met_by_every_crystal(told: Generator, name: str) -> None:
    request = ASKED[name]
    result = told.sample(8, request=request, **HOW)
    table = result.table
    hard = [f"met_{part}" for part in ("elements", "formula", "counts", "n_atoms", "sizes") if f"met_{part}" in table]
    assert hard
    for crystal, (_, row) in zip(result.crystals, table.iterrows(), strict=True):
        assert all(row[hard]) == (crystal is not None), "recovery keeps to what was asked, or rejects"
    rates = result.met
    assert set(rates["part"]) == {"all parts", *(column.removeprefix("met_") for column in table if column.startswith("met_"))}
    assert (rates["of"] == 8).all()
    assert ((rates["low"] <= rates["rate"]) & (rates["rate"] <= rates["high"])).all()
    assert result.settings["request"].items() >= request.parts().items()
    json.dumps(result.settings)


def test_the_diffuser_is_told_the_symmetry(told: Generator) -> None:
    result = told.sample(6, request=ASKED["counts"], recovery=UNSOUGHT, **HOW)
    assert result.asked.space_group.tolist() == [221] * 6
    assert result.asked.crystal_system.tolist() == [7] * 6
    result = told.sample(6, request=Request(crystal_system="hexagonal"), recovery=UNSOUGHT, **HOW)
    assert set(result.asked.crystal_system.tolist()) == {6}
    assert "met_crystal_system" in result.table


def test_a_request_gives_the_same_samples_in_any_batch_folder_or_file(told: Generator, tmp_path: Path) -> None:
    request = ASKED["allowed"]
    whole = told.sample(6, request=request, **HOW)
    small = told.sample(6, request=Request.from_json(request.to_json()), batch_size=2, recovery=UNSOUGHT, **HOW)
    later = told.sample(2, request=request, first=4, recovery=UNSOUGHT, **HOW)
    assert torch.equal(small.asked.counts, whole.asked.counts)
    assert torch.allclose(small.ladders, whole.ladders, atol=1e-4)
    assert torch.equal(later.asked.species, whole.asked.species[4:])
    assert torch.allclose(later.ladders, whole.ladders[4:], atol=1e-4)
    sample_folder(told, tmp_path / "s", 3, 3, 4, request=request, chunk=2, progress=False)
    drawn = sample_folder(told, tmp_path / "s", 6, 3, 4, request=request, chunk=2, progress=False)
    assert drawn.table["asked"].tolist() == whole.table["asked"].tolist()
    assert drawn.table["met"].tolist() == whole.table["met"].tolist()
    with pytest.raises(Exception, match="another request"):
        sample_folder(told, tmp_path / "s", 6, 3, 4, request=ASKED["sizes"], chunk=2, progress=False)


def test_conditions_off_are_the_unconditional_model(told: Generator) -> None:
    plain = replace(told, composer=None).sample(4, recovery=UNSOUGHT, **HOW)
    assert torch.equal(told.sample(4, compositions="open", recovery=UNSOUGHT, **HOW).ladders, plain.ladders)
    assert plain.request is None
    assert not [column for column in plain.table if column.startswith("met")]


@pytest.mark.parametrize("size", [1, 5])
def test_kept_sublattices_are_kept_to_the_node(told: Generator, laptop: Generator, size: int) -> None:
    for generator in (told, laptop):
        request = Request(start=TITANATE, keep=("O",), counts={"Sr": 1, "Ti": 1, "O": 3})
        result = generator.sample(6, request=request, batch_size=size, **HOW)
        kept = [crystal for crystal in result.crystals if crystal is not None]
        assert kept
        for crystal in kept:
            assert kept_nodes(request, crystal, generator.grid)
            assert np.allclose(crystal.lattice @ crystal.lattice.T, TITANATE.lattice @ TITANATE.lattice.T, atol=1e-3)
        assert result.table["met_keep"].sum() == len(kept)
    open_ = told.sample(4, request=Request(start=TITANATE, keep=("O",)), **HOW)
    assert all(np.sum(crystal.numbers == 8) == 3 for crystal in open_.crystals if crystal is not None)
    with pytest.raises(RecipeError, match="give counts"):
        laptop.sample(1, request=Request(start=TITANATE, keep=("O",)), **HOW)


def test_a_start_is_left_further_behind_the_higher_its_level(laptop: Generator) -> None:
    begin = laptop.encode([SALT])
    apart = []
    for phi in (0.05, 0.3, 0.9):
        result = laptop.sample(4, seed=0, steps=20, request=Request(start=SALT, phi=phi), recovery=UNSOUGHT, trace=True,
                               progress=False)
        assert float(result.trajectory.phi[0]) == pytest.approx(phi)
        assert len(result.trajectory.phi) == round(20 * phi)
        apart.append(float((result.ladders - begin).abs().mean()))
    assert apart[0] < apart[1] < apart[2]


def test_a_crystal_drawn_anew_keeps_its_elements(told: Generator, laptop: Generator) -> None:
    sized, symmetric = Request(start=TITANATE, phi=0.3, n_atoms=(3, 8)), Request(start=TITANATE, phi=0.3, crystal_system="cubic")
    either = {"Sr", "Ti", "O"}
    for request in (sized, Request(start=TITANATE, phi=0.3, sizes={4: 1, 6: 1})):
        answer = answer_request(request, told, 0, range(8))
        assert {frozenset(row[row > 0].tolist()) for row in answer.conditions.species} == {frozenset({8, 22, 38})}
    answer = answer_request(symmetric, told, 0, range(4))
    assert (answer.conditions.counts.sort(1, descending=True).values[:, :3] == torch.tensor([3, 1, 1])).all()
    drawn = told.sample(3, request=sized, **HOW)
    assert all({part.rstrip("0123456789") for part in crystal.formula.split()} == either
               for crystal in drawn.crystals if crystal is not None)
    named = Request(start=TITANATE, phi=0.3, required=("Na", "Cl"), n_atoms=(2, 6))
    assert {11, 17} == set(answer_request(named, told, 0, range(4)).conditions.species.unique().tolist()) - {0}
    assert answer_request(Request(start=TITANATE, phi=0.3), told, 0, range(2)).conditions is None, "nothing is asked of it"
    led = answer_request(Request(start=SALT, phi=0.3, n_atoms=(2, 8)), laptop, 0, range(2))
    assert led.conditions.species[:, :2].tolist() == [[11, 17]] * 2


def test_a_model_without_conditions_is_led(laptop: Generator) -> None:
    result = laptop.sample(12, request=Request(formula="Li2O"), steps=15, seed=0, progress=False)
    assert result.table["decoded_as_asked"].mean() > 0.5
    assert result.table["met"].sum() == result.funnel["kept"]
    plain = laptop.sample(12, steps=15, seed=0, progress=False)
    oxides = Request(required=("O",), allowed=("Li", "Na", "Mg"), n_atoms=(2, 6))
    led = laptop.sample(12, request=oxides, steps=15, seed=0, progress=False)
    assert led.table["met_elements"].mean() > 0.4 > plain.table["formula"].str.contains("O").mean() * 0.4
    exact = laptop.sample(8, request=Request(required=("Li", "O")), steps=10, seed=0, progress=False)
    assert exact.table["met_elements"].sum() == exact.funnel["kept"] > 0
    both = laptop.sample(2, request=Request(volume_per_atom=(10, 12)), guide=CompositionGuide.of("Li2O"), steps=4, progress=False)
    assert both.settings["guide"]["cost"] > 1


def test_compositions_have_the_models_own_distribution_within_the_constraint(told: Generator) -> None:
    torch.manual_seed(1)
    model = CompositionModel(CompositionConfig(d_hidden=8, max_atomic_number=6, max_count=2)).eval()
    free = model.sample([torch.Generator().manual_seed(i) for i in range(20000)])
    fits = (free.species == 3).any(1) & (free.counts.sum(1) == 4) & ~(free.species == 5).any(1)
    drawn, proposed, matching = open_compositions(
        model, Request(required=("Li",), allowed=("H", "He", "Be", "C"), n_atoms=4), 0, range(1500))
    share = (free.at(fits).species == 6).any(1).float().mean() - (drawn.species == 6).any(1).float().mean()
    assert abs(float(share)) < 0.08
    assert 0 < matching < proposed
    with pytest.raises(RecipeError, match=r"none of .* ask for that, or for other elements"):
        open_compositions(model, Request(required=("Li",), n_atoms=5), 0, range(2))


def test_an_answer_names_guides_only_where_a_network_cannot_be_told(told: Generator, laptop: Generator) -> None:
    request = Request(formula="SrTiO3", volume_per_atom=(10, 14))
    assert repr(answer_request(request, told, 0, range(2)).steering.guides) == "(VolumeGuide(low=10, high=14),)"
    assert len(answer_request(request, laptop, 0, range(2)).steering.guides) == 2
    assert answer_request(Request(formula="SrTiO3"), told, 0, range(2)).steering is None
