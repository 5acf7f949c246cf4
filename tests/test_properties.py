"""Properties as conditions: told to the diffuser, preferred among compositions, refused where unknown, judged where computed."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench import cli
from fourier_workbench.checkpoints import load_properties, save_properties
from fourier_workbench.cli import _properties, _request
from fourier_workbench.config.recipes import get_recipe, with_properties
from fourier_workbench.config.schema import AutoencoderStage, DiffuserStage, PropertyStage, Recipe, override
from fourier_workbench.crystal import Crystal
from fourier_workbench.data.sources.base import Sample
from fourier_workbench.diffusion import InformationMatchedSchedule
from fourier_workbench.errors import CheckpointError, RecipeError
from fourier_workbench.generation import Generator, Request, load_generator, sample_folder
from fourier_workbench.generation.asking import (
    answer_request,
    known_ranges,
    likelihood,
    open_compositions,
    told_properties,
    told_ranges,
)
from fourier_workbench.generation.requests import met_rates
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.composition import CompositionConfig, CompositionModel
from fourier_workbench.model.conditions import ConditionConfig, ConditionNetwork, Conditions
from fourier_workbench.model.properties import PropertyConfig, PropertyModel
from fourier_workbench.training.cost import diffuser_cost
from fourier_workbench.training.fitting import conditions_of, fit, fit_properties
from fourier_workbench.training.known import read_properties, training_conditions
from fourier_workbench.widgets.studio import Form, in_words, request_python

from ladders import UNSOUGHT

HOW = {"seed": 3, "steps": 3, "progress": False}
SALT = Crystal(4 * np.eye(3), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])


def compositions(n: int, seed: int = 0) -> Conditions:
    "Binary compounds of the elements up to argon, one atom of each, with the mean atomic number as a property."
    sources = [torch.Generator().manual_seed(seed + i) for i in range(n)]
    z = torch.stack([torch.randperm(18, generator=source)[:2] + 1 for source in sources]).sort(1).values
    found = Conditions.nothing(n)._replace(properties=z.float().mean(1, keepdim=True))
    found.species[:, :2], found.counts[:, :2], found.space_group[:] = z, 1, 225
    return found


@pytest.fixture(scope="module")
def judge() -> PropertyModel:
    "Knows which compositions are heavy."
    torch.manual_seed(0)
    model, known = PropertyModel(PropertyConfig(("mean Z",), d_hidden=32, bins=8, dropout=0.0)), compositions(300)
    model.measure(known.properties)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(80):
        optimiser.zero_grad()
        (-model(known).mean()).backward()
        optimiser.step()
    return model.eval()


@pytest.fixture(scope="module")
def told(judge: PropertyModel) -> Generator:
    "Untrained; its diffuser is told a gap, its judge knows mean atomic numbers."
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=1, n_layers=2)
    model = AutoencoderConfig(shape, bpd=5, tokens="half", n_aux=2, compression=0.012)
    conditions = ConditionConfig(max_count=4, properties=("gap",))
    autoencoder = Autoencoder(model).eval()
    diffuser = Diffuser(DiffuserConfig(shape, model.ladder_shape, scratch_bpd=3, output="skip", conditions=conditions)).eval()
    diffuser.network.conditions.properties.measure(torch.linspace(1, 3, 50)[:, None])
    autoencoder.ladder.prune(15)
    with torch.no_grad():
        autoencoder.decoder.lattice_head.bias.copy_(torch.tensor([1.6, 1.6, 1.6, 0.0, 0.0, 0.0]))
    diffuser.selector.copy_(autoencoder.selector)
    recipe = Recipe("tiny", AutoencoderStage(model, grid=24, cyclic_slots=False), DiffuserStage(diffuser.config))
    composer = CompositionModel(CompositionConfig(d_hidden=16, max_count=4, max_atomic_number=83)).eval()
    return Generator(autoencoder, diffuser, InformationMatchedSchedule(diffuser.tau, autoencoder.log_sigma), recipe,
                     composer=composer, judge=judge)


@given(st.lists(st.floats(0, 20), min_size=2, max_size=6, unique=True).map(sorted))
@settings(max_examples=30, deadline=None)
def test_probabilities_of_ranges_add_up(judge: PropertyModel, cuts: list[float]) -> None:
    known, ends = compositions(20, seed=1), [-np.inf, *cuts, np.inf]
    parts = [judge.probability(known, "mean Z", low, high) for low, high in pairwise(ends)]
    assert all(((part > -1e-9) & (part < 1 + 1e-9)).all() for part in parts)
    assert torch.allclose(sum(parts), torch.ones(20, dtype=torch.float64))


@pytest.mark.parametrize("value", [0.0, 1e-9, -7.25, 1000.0])
def test_bins_of_equal_values_have_a_width(value: float) -> None:
    model, known = PropertyModel(PropertyConfig(("same",), bins=4)).eval(), compositions(3)
    model.measure(torch.full((10, 1), value))
    assert (model.edges.diff(dim=1) > 0).all()
    assert torch.isfinite(model(known._replace(properties=torch.full((3, 1), value)))).all()
    single = model.probability(known, "same", value, value)
    assert torch.allclose(single, model(known._replace(properties=torch.full((3, 1), value))).exp().double(), rtol=1e-4)


@pytest.mark.parametrize("shared", [0.0, 1.0, 3.0])
def test_a_value_that_many_crystals_share_can_be_asked_for(shared: float) -> None:
    values = torch.cat([torch.full((600,), shared), torch.linspace(0, 3, 400)])[:, None]
    model, known = PropertyModel(PropertyConfig(("gap",), bins=10)).eval(), compositions(2)
    model.measure(values)
    seen = torch.bincount((values >= model.edges[0, 1:-1]).sum(1), minlength=10) / len(values)
    with torch.no_grad():
        model.layers[-1].weight.zero_()
        model.layers[-1].bias.copy_(seen.clamp_min(1e-9).log())  # as if trained on crystals that are all alike
    for low, high in ((shared, shared), (-np.inf, shared), (shared, np.inf)):
        right = ((values >= low) & (values <= high)).float().mean().item()
        assert model.probability(known, "gap", low, high).tolist() == pytest.approx([right] * 2, abs=0.1)


def test_compositions_are_likely_to_have_what_is_asked(told: Generator) -> None:
    means = {}
    for name, span in {"light": (0.0, 6.0), "heavy": (14.0, 40.0)}.items():
        request = Request(required=("O",), allowed=("H", "Li", "C", "N", "S", "Cl", "Ar"), properties={"mean Z": span})
        drawn, _, _ = open_compositions(told.composer, request, 0, range(60), told.judge)
        means[name] = float(((drawn.species * drawn.counts).sum(1) / drawn.counts.sum(1)).mean())
        alone, _, _ = open_compositions(told.composer, request, 0, [17], told.judge)
        assert torch.equal(alone.species[0], drawn.species[17])
    assert means["light"] + 2 < means["heavy"]


def test_fixed_compositions_take_the_number_of_units_that_is_likely(told: Generator, judge: PropertyModel) -> None:
    request = Request(formula="NaCl", properties={"mean Z": (0.0, 6.0)})
    found = answer_request(request, told, 0, range(4)).conditions
    assert found.species[:, :2].tolist() == [[11, 17]] * 4
    assert (likelihood(judge, request, found) < 0).all()
    assert likelihood(judge, Request(formula="NaCl"), found).tolist() == [0.0] * 4


def test_the_diffuser_is_told_the_middle_of_what_it_has_seen(told: Generator) -> None:
    result = told.sample(3, request=Request(properties={"gap": (2.0, 100.0)}), recovery=UNSOUGHT, **HOW)
    low, high = known_ranges(told)["gap"]
    assert result.asked.properties[:, 0].tolist() == pytest.approx([(2.0 + high) / 2] * 3)
    other = told.sample(3, request=Request(properties={"gap": (low, 1.5)}), recovery=UNSOUGHT, **HOW)
    assert torch.equal(other.asked.species, result.asked.species), "the judge knows no gap, so compositions stay"
    assert not torch.allclose(other.ladders, result.ladders)
    nothing = told.sample(3, recovery=UNSOUGHT, **HOW)
    assert nothing.asked.properties.shape[1] == 0, "nothing asked, nothing told"


def test_an_open_end_is_as_far_as_the_diffuser_has_seen_often(told: Generator) -> None:
    wide = replace(told, judge=PropertyModel(PropertyConfig(("gap",), bins=2)))
    wide.judge.measure(torch.tensor([[-50.0], [2.0], [90.0]]))  # outliers that the model of properties has seen
    low, high = told_ranges(wide)["gap"]
    assert known_ranges(wide)["gap"][0] < -49 and low > 1
    for asked, value in (((2.0, None), (2 + high) / 2), ((None, 1.5), (low + 1.5) / 2), ((40.0, 60.0), high)):
        assert told_properties(wide, Request(properties={"gap": asked}), 1).item() == pytest.approx(value)


def test_elements_are_led_to_where_no_composition_is_drawn(told: Generator) -> None:
    alone = replace(told, composer=None)
    for parts in ({}, {"properties": {"gap": (2.0, 3.0)}}, {"crystal_system": "cubic"}):
        steering = answer_request(Request(required=("O",), allowed=("Ti",), **parts), alone, 0, range(2)).steering
        assert [type(guide).__name__ for guide in steering.guides] == ["ElementsGuide"]


def test_a_crystal_drawn_anew_keeps_its_composition_open(told: Generator) -> None:
    found = answer_request(Request(start=SALT, phi=0.3, properties={"gap": (2.0, 3.0)}), told, 0, range(2))
    assert not found.conditions.species.any() and found.proposed == 0 and found.conditions.properties.isfinite().all()
    with pytest.raises(RecipeError, match="mean Z acts on the choice of a composition"):
        answer_request(Request(start=SALT, phi=0.3, properties={"mean Z": (2.0, 3.0)}), told, 0, range(2))
    around = Request(start=SALT, keep=("Cl",), properties={"mean Z": (2.0, 30.0)})
    assert answer_request(around, replace(told, judge=told.judge), 0, range(2)).proposed > 0


def test_a_network_without_properties_has_the_same_weights_and_answers() -> None:
    plain, named = (ConditionConfig(max_count=4, properties=names) for names in ((), ("gap",)))
    torch.manual_seed(0)
    network = ConditionNetwork(plain, 5, 6)
    assert not [name for name in network.state_dict() if "properties" in name]
    more = ConditionNetwork(named, 5, 6)
    nothing, nan = Conditions.nothing(2), Conditions.nothing(2, properties=1)
    assert torch.equal(more(nothing), more(nan))
    shape = TransformerConfig(d_head=6, n_heads=1, n_layers=1)
    for config in (plain, named):
        model = DiffuserConfig(shape, (1, 2, 6), scratch_bpd=3, conditions=config)
        assert diffuser_cost(model).parameters == sum(p.numel() for p in Diffuser(model).parameters())


@pytest.mark.parametrize("parts, message", [
    ({"properties": {"magnetisation": (0, 1)}}, r"not trained with magnetisation \(it knows gap, mean Z\)"),
    ({"properties": {"gap": (50.0, 60.0)}}, "with gap from 1.02 to 2.98"),
    ({"e_above_hull": 0.1}, "not trained with e_above_hull"),
])
def test_properties_that_are_not_known_are_refused(told: Generator, parts: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        told.sample(1, request=Request(**parts), **HOW)
    assert "\n" not in str(caught.value)


def test_what_is_met_is_known_where_a_property_is(told: Generator, tmp_path: Path) -> None:
    request = Request(properties={"gap": (2.0, 3.0)}, formula="NaCl")
    result = told.sample(4, request=request, **HOW)
    assert result.table["met_gap"].isna().sum() == sum(crystal is not None for crystal in result.crystals) > 0
    assert result.met["part"].tolist() == ["formula"], "nothing is said of what was not computed"
    assert "not known" in result._repr_html_()
    judged = result.with_properties(gap=[2.5, 0.0, float("nan"), 2.9])
    whole = [crystal is not None for crystal in result.crystals]
    assert judged.table["met_gap"].tolist() == [w and g for w, g in zip(whole, [True, False, False, True], strict=True)]
    assert judged.part(1, 3).properties == {"gap": judged.properties["gap"][1:3]}
    assert len(judged.met) == 3
    for missing in (None, pd.NA):
        assert result.with_properties(gap=pd.Series([2.5, missing, 0, 1], dtype=object)).table["met_gap"].tolist()[1] is False
    with pytest.raises(RecipeError, match="2 values for 4 samples"):
        result.with_properties(gap=[1.0, 2.0])
    drawn = sample_folder(told, tmp_path / "s", 2, 3, 3, request=request, progress=False)
    assert met_rates(drawn.table)["part"].tolist() == ["formula"]


def test_requests_refuse_single_numbers_and_double_names() -> None:
    assert Request(properties={"gap": (1, 2)}).ranges == {"gap": (1.0, 2.0)}
    assert Request.from_json(Request(properties={"gap": (1, 2)}).to_json()) == Request(properties={"gap": [1.0, 2.0]})
    for value in (1.0, (2.0, 1.0), "1:2", (1.0,), (1.0, float("nan"))):
        with pytest.raises(RecipeError, match="gap"):
            Request(properties={"gap": value})
    with pytest.raises(RecipeError, match="part of its own"):
        Request(properties={"e_above_hull": (0, 0.1)})


def test_open_ends_are_none_in_json_and_in_python() -> None:
    request = Request(properties={"gap": (2, None), "density": (None, 5)})
    assert request.ranges == {"density": (-np.inf, 5.0), "gap": (2.0, np.inf)}
    written = json.loads(request.to_json(), parse_constant=pytest.fail)
    assert written == {"properties": {"density": [None, 5.0], "gap": [2.0, None]}}
    assert Request.from_json(request.to_json()) == request == Request(properties=request.properties)
    assert in_words(request) == "density at most 5, gap at least 2"
    names: dict = {}
    exec(f"from fourier_workbench.generation import Request\n{request_python(Form(), request)}", names)
    assert names["request"] == request
    for text in ('{"properties": null}', '{"properties": ["gap"]}', '{"properties": {"gap": 1}}', '{"sizes": 3}'):
        with pytest.raises(RecipeError, match=r"gap|must be"):
            Request.from_json(text)


def test_the_command_line_reads_open_ranges_and_adds_them_to_a_file(tmp_path: Path) -> None:
    assert _properties(("gap=1e-3:", "density=:5", "e=-3:-1"), "--properties") == {
        "gap": (0.001, None), "density": (None, 5.0), "e": (-3.0, -1.0)}
    for wrong in (("gap",), ("gap=1",), ("gap=:",), ("=1:2",), ("gap=1:2:3",), ("gap=a:2",), ("gap=1:2", "gap=3:4")):
        with pytest.raises(RecipeError, match="--properties"):
            _properties(wrong, "--properties")
    Request(formula="NaCl", properties={"gap": (1, 2), "density": (3, 4)}).to_json(tmp_path / "r.json")
    both = _request(tmp_path / "r.json", properties={"gap": (2.0, None)}, formula=None)
    assert both == Request(formula="NaCl", properties={"gap": (2, None), "density": (3, 4)})


def test_search_keeps_the_best_where_a_property_was_not_computed(
    told: Generator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("fourier_workbench.generation.load_generator", lambda run: told)
    cli.search("told", tmp_path / "s", n=4, seed=3, steps=3, formula="NaCl", properties=("gap=2:3",))
    said = capsys.readouterr().out
    assert "gap              not computed" in said and "best as asked" in said
    assert list((tmp_path / "s" / "best").glob("*.cif"))


def test_fine_tuning_takes_crystals_without_the_property() -> None:
    samples = [Sample(str(i), SALT, {"gap": float(i)}) for i in range(3)]
    few = conditions_of(with_properties(get_recipe("mp20"), "gap"), samples, keep=lambda sample: sample.id == "1")
    assert few.properties.tolist() == [[1.0]]


def test_properties_are_read_from_the_corpus() -> None:
    samples = [Sample(str(i), SALT, {"gap": i, "energy_above_hull": 0.1 * i, "kind": "salt", "metal": True}) for i in range(3)]
    samples[1].properties["gap"] = np.float32(1)
    samples.append(Sample("3", SALT, {}))
    found = read_properties(samples, ("gap", "e_above_hull"))
    assert found[:3].tolist() == [[pytest.approx(i), pytest.approx(0.1 * i)] for i in range(3)]
    assert found[3].isnan().all()
    assert training_conditions(samples, 4, ("gap",)).properties.shape == (4, 1)
    for name in ("kind", "metal", "colour"):
        with pytest.raises(RecipeError, match=r"the corpus has energy_above_hull, gap:"):
            read_properties(samples, (name,))


def test_recipes_name_properties() -> None:
    recipe = override(get_recipe("mp20"), properties=PropertyStage(PropertyConfig(("gap",), max_atomic_number=103)))
    assert Recipe.from_json(recipe.to_json()) == recipe
    with pytest.raises(RecipeError, match="model of compositions"):
        replace(recipe, composition=None)
    with pytest.raises(RecipeError, match="the autoencoder's is 103"):
        override(recipe, properties__model__max_atomic_number=83)
    for names in ((), ("gap", "gap")):
        with pytest.raises(RecipeError):
            PropertyConfig(names)
    with pytest.raises(RecipeError, match="twice"):
        ConditionConfig(properties=("gap", "gap"))


def test_a_trained_judge_is_loaded_with_its_model(tmp_path: Path) -> None:
    shape = PropertyConfig(("mean Z",), d_hidden=16, bins=4, max_atomic_number=103)
    recipe = override(get_recipe("mp20"), properties=PropertyStage(shape, steps=30, batch_size=64))
    halves = [fit_properties(recipe, compositions(100), tmp_path / "one", progress=False, about={"values": "made up"})]
    halves.append(load_properties(tmp_path / "one" / "weights"))
    assert all(torch.equal(a, b) for a, b in zip(*(model.state_dict().values() for model in halves), strict=True))
    with pytest.raises(CheckpointError):  # what was learned from other values is not taken for it
        fit_properties(recipe, compositions(100, seed=1), tmp_path / "one", progress=False)
    weights = load_generator("mp20").directory
    for path in weights.iterdir():
        (tmp_path / path.name).symlink_to(path)
    for suffix in ("json", "safetensors"):
        (tmp_path / f"properties.{suffix}").unlink(missing_ok=True)
        (tmp_path / f"properties.{suffix}").symlink_to(tmp_path / "one" / "weights" / f"properties.{suffix}")
    assert known_ranges(load_generator(tmp_path)).keys() == {"mean Z"}
    halves[0].config = replace(shape, bins=5)
    save_properties(tmp_path / "bad", halves[0])
    with pytest.raises(CheckpointError, match="do not fit"):
        load_properties(tmp_path / "bad")


def test_the_shipped_model_prefers_compositions_that_it_draws_well() -> None:
    generator = load_generator("mp20")
    low, open_ = (answer_request(request, generator, 0, range(30)).conditions
                  for request in (Request(e_above_hull=0.1), Request(n_atoms=(1, 20))))
    likely = Request(e_above_hull=0.1)
    better, usual = (likelihood(generator.judge, likely, each).exp().mean() for each in (low, open_))
    assert better > 2 * usual
    low, high = known_ranges(generator)["formation_energy_per_atom"]
    assert low < -3 < 0 < high


def test_a_corpus_that_does_not_fit_the_conditions_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    samples = [Sample(str(i), SALT, {"gap": 1.0 * i}) for i in range(4)]
    with pytest.raises(RecipeError, match="the corpus has gap"):
        fit(with_properties(get_recipe("mp20"), "colour"), samples, tmp_path / "run", progress=False)
    assert not list((tmp_path / "run").glob("checkpoints/*"))
    recipe = override(get_recipe("mp20"), diffuser__model__conditions__max_count=1)
    with pytest.raises(RecipeError, match="has 4 atoms of one species"):
        fit(recipe, [Crystal(8 * np.eye(3), [11] * 4, [[0, 0, i / 4] for i in range(4)])], tmp_path / "run", progress=False)
