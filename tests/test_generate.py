"""Drawing samples: same noise whatever the batch, everything drawn accounted for, files that can be read again."""

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ase.db import connect
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.checkpoints import load_autoencoder, save_autoencoder, save_checkpoint, save_diffuser
from fourier_workbench.config.schema import AutoencoderStage, DiffuserStage, Recipe
from fourier_workbench.crystal import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.diffusion.noise import InformationMatchedSchedule
from fourier_workbench.diffusion.samplers import SAMPLERS
from fourier_workbench.errors import CheckpointError, EvaluationError, RecipeError
from fourier_workbench.generation import Generator, RecoveryOptions, SampleResult, load_generator
from fourier_workbench.generation.generator import draw_accepted
from fourier_workbench.generation.samples import COUNT_DEVIATION, check_slots
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.autoencoder import Decoded
from fourier_workbench.representation import FourierBasis, encode

from ladders import UNSOUGHT

SALT = Crystal(2.9 * (1 - np.eye(3)), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
CAESIUM = Crystal(np.eye(3) * 4.1, [17, 55], [[0.5, 0.5, 0.5], [0, 0, 0]])


@pytest.fixture(scope="module")
def generator() -> Generator:
    "Untrained, two layers, fifteen channels."
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=1, n_layers=2)
    model = AutoencoderConfig(shape, bpd=5, tokens="half", n_aux=2, compression=0.012)
    steps = DiffuserConfig(shape, model.ladder_shape, scratch_bpd=3, output="skip")
    autoencoder, diffuser = Autoencoder(model).eval(), Diffuser(steps).eval()
    autoencoder.ladder.prune(15)
    diffuser.selector.copy_(autoencoder.selector)
    schedule = InformationMatchedSchedule(diffuser.tau, autoencoder.log_sigma)
    return Generator(
        autoencoder, diffuser, schedule, Recipe("tiny", AutoencoderStage(model, grid=24), DiffuserStage(steps))
    )


def by_hand(crystals: list[Crystal | None], shift: float = 0.0) -> SampleResult:
    "A result whose coefficients are those of `crystals`, every count `shift` too large; None is a rejected draw."
    basis = FourierBasis(5)
    fourier = encode([crystal or SALT for crystal in crystals], basis, 24)
    alpha = fourier.coefficients.clone()
    alpha[..., basis.zero] += shift * (fourier.species > 0)
    decoded = Decoded(fourier.lattice, torch.nn.functional.one_hot(fourier.species, 84).float(), alpha)
    n, reasons = len(crystals), [None if crystal else "residual" for crystal in crystals]
    return SampleResult(
        crystals, reasons, decoded, torch.zeros(n, 2, dtype=torch.complex64), torch.zeros(n), tuple(range(n)), seed=5
    )


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_sample_does_not_depend_on_its_batch(generator: Generator, sampler: str) -> None:
    draws = [
        generator.sample(5, seed=3, steps=5, sampler=sampler, batch_size=size, progress=False) for size in (1, 2, 5)
    ]
    alone = generator.sample(1, seed=3, steps=5, sampler=sampler, first=4, progress=False)
    for other in draws[1:]:
        assert torch.allclose(other.ladders, draws[0].ladders, atol=1e-4)
        assert other.ids == draws[0].ids
        assert other.reasons == draws[0].reasons
    assert torch.allclose(alone.ladders[0], draws[0].ladders[4], atol=1e-4)
    assert alone.ids == draws[0].ids[4:]


def test_the_same_call_gives_the_same_bits_and_another_seed_others(generator: Generator) -> None:
    first, second, third = (generator.sample(3, seed=seed, steps=3, recovery=UNSOUGHT, progress=False) for seed in (1, 1, 2))
    assert torch.equal(first.ladders, second.ladders)
    assert torch.equal(first.decoded.coefficients, second.decoded.coefficients)
    assert not torch.allclose(first.ladders, third.ladders, atol=1e-2)


def test_a_traced_sample_ends_where_its_trajectory_does(generator: Generator) -> None:
    result = generator.sample(3, steps=4, batch_size=2, trace=True, recovery=UNSOUGHT, progress=False)
    trajectory = result.trajectory
    assert trajectory is not None
    assert trajectory.phi.shape == (4,)
    assert trajectory.noisy.shape == trajectory.clean.shape == (4, 3, 24)
    assert torch.equal(trajectory.clean[-1], result.ladders)
    assert (trajectory.phi.diff() < 0).all()
    middle = generator.decode(trajectory.clean[1], UNSOUGHT)
    assert len(middle) == 3
    assert generator.sample(1, steps=2, recovery=UNSOUGHT, progress=False).trajectory is None


def test_a_guide_leads_only_where_it_differs_and_is_asked_for(generator: Generator) -> None:
    torch.manual_seed(1)
    how = {"steps": 4, "recovery": UNSOUGHT, "progress": False}
    plain = generator.sample(3, **how).ladders
    other = Diffuser(generator.recipe.diffuser.model).eval()
    other.selector.copy_(generator.autoencoder.selector)
    stage = replace(generator.recipe.diffuser, guide_at=0.5, guidance=2.0)
    led = replace(generator, guide=other, recipe=replace(generator.recipe, diffuser=stage))
    same = replace(led, guide=generator.diffuser)
    assert torch.equal(led.sample(3, guidance=1, **how).ladders, plain)
    assert torch.allclose(same.sample(3, **how).ladders, plain, atol=1e-5)
    drawn = led.sample(3, **how)
    assert drawn.settings["guidance"] == 2
    assert not torch.allclose(drawn.ladders, plain, atol=1e-3)
    assert torch.equal(drawn.ladders, led.sample(3, guidance=2.0, batch_size=3, **how).ladders)
    with pytest.raises(CheckpointError, match=r"guide.*guide_at"):
        generator.sample(1, guidance=2.0)
    with pytest.raises(CheckpointError, match="no early checkpoint"):
        replace(led, guide=None).sample(1)  # what the recipe asks for is not left out unnoticed
    with pytest.raises(RecipeError, match="positive"):
        led.sample(1, guidance=0)


def test_controls_are_seeded_and_keep_to_the_kept_channels(generator: Generator) -> None:
    noise, ceiling = generator.noise_control(4, seed=2), generator.ceiling([SALT, CAESIUM, SALT], seed=2)
    off = ~generator.autoencoder.selector
    for result in (noise, ceiling):
        assert not result.ladders[:, off].any()
        assert result.funnel["in"] == len(result) == result.funnel["kept"] + sum(result.funnel["rejected"].values())
    assert torch.equal(noise.ladders, generator.noise_control(4, seed=2).ladders)
    assert not torch.equal(ceiling.ladders[0], ceiling.ladders[2]), "each draw has noise of its own"
    spread = (ceiling.ladders - generator.encode([SALT, CAESIUM, SALT]))[:, ~off]
    assert 0.5 < float(spread.abs().mean() / generator.autoencoder.log_sigma.exp().mean()) < 2.5


@pytest.mark.parametrize(
    ("arguments", "word"),
    [({"n": 0}, "at least 1"), ({"n": 2, "batch_size": 0}, "at least 1"), ({"n": 2, "steps": 0}, "step")]
    + [({"n": 2, "sampler": "magic"}, "magic")],
)
def test_impossible_arguments_are_refused(generator: Generator, arguments: dict, word: str) -> None:
    with pytest.raises(RecipeError, match=word):
        generator.sample(**arguments)


def test_a_crystal_that_collides_on_the_grid_is_refused_by_name(generator: Generator) -> None:
    with pytest.raises(RecipeError, match=r"crystal 1 .*collision"):
        generator.reconstruct([SALT, Crystal(np.eye(3) * 4, [11, 11], [[0, 0, 0], [0.001, 0, 0]])])


# ---------------------------------------------------------------------------------------------------- loading


def test_a_run_directory_gives_its_generator_back(generator: Generator, tmp_path: Path) -> None:
    generator.recipe.to_json(tmp_path / "recipe.json")
    save_autoencoder(tmp_path / "weights", generator.autoencoder)
    early = load_generator(tmp_path)
    with pytest.raises(CheckpointError, match="no diffuser"):
        early.sample(1)
    assert torch.equal(early.reconstruct([SALT]).ladders, generator.reconstruct([SALT]).ladders)
    assert generator.diffuser is not None
    assert generator.schedule is not None
    save_diffuser(tmp_path / "weights", generator.diffuser, generator.schedule)
    again = load_generator(tmp_path)
    assert again.grid == 24
    assert again.recipe == generator.recipe
    assert again.guide is None
    save_diffuser(tmp_path / "weights", generator.diffuser, generator.schedule, name="guide")
    assert load_generator(tmp_path).guide is not None
    expected = generator.sample(2, steps=3, recovery=UNSOUGHT, progress=False)
    assert torch.equal(again.sample(2, steps=3, recovery=UNSOUGHT, progress=False).ladders, expected.ladders)


@pytest.mark.parametrize("damage", ["nothing", "no recipe", "bytes", "words", "another kind"])
def test_what_is_no_checkpoint_is_refused_in_one_line(generator: Generator, tmp_path: Path, damage: str) -> None:
    if damage != "nothing":
        save_autoencoder(tmp_path, generator.autoencoder)
    if damage not in ("nothing", "no recipe"):
        generator.recipe.to_json(tmp_path / "recipe.json")
    if damage == "bytes":
        path = tmp_path / "autoencoder.safetensors"
        path.write_bytes(path.read_bytes()[:-9])
    if damage == "words":
        (tmp_path / "autoencoder.json").write_text("[1, 2]")
    if damage == "another kind":
        words = json.loads((tmp_path / "autoencoder.json").read_text())
        (tmp_path / "autoencoder.json").write_text(json.dumps(words | {"kind": "diffuser"}))
    with pytest.raises(CheckpointError) as refused:
        load_generator(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


# ---------------------------------------------------------------------------------------------------- words


@given(counts=st.lists(st.integers(0, 12), min_size=6, max_size=6), shift=st.floats(-0.24, 0.24))
def test_slots_that_agree_are_neither_ghost_nor_empty(counts: list[int], shift: float) -> None:
    zero = torch.tensor([counts], dtype=torch.float64) + shift
    verdict = check_slots((torch.tensor([counts]) > 0) * 11, zero)
    assert not verdict.ghost
    assert not verdict.empty
    assert abs(float(verdict.deviation) - abs(shift)) < 1e-9


@given(slot=st.integers(0, 5), count=st.integers(1, 9))
@settings(max_examples=20)
def test_a_ghost_and_an_empty_slot_are_seen_wherever_they_are(slot: int, count: int) -> None:
    species, zero = torch.zeros(2, 6, dtype=torch.int64), torch.zeros(2, 6)
    zero[0, slot] = count
    species[1, slot] = 26
    verdict = check_slots(species, zero)
    assert verdict.ghost.tolist() == [True, False]
    assert verdict.empty.tolist() == [False, True]
    assert verdict.deviation.tolist() == [count, 0]


@pytest.mark.parametrize(("shift", "clean"), [(0.0, True), (0.2, True), (0.3, False), (-0.26, False)])
def test_clean_needs_counts_that_are_nearly_whole(shift: float, clean: bool) -> None:
    table = by_hand([SALT, None], shift).table
    assert table["clean"].tolist() == [clean, False]
    assert table["valid"].tolist() == [True, False]
    assert (abs(shift) <= COUNT_DEVIATION) == clean


# ---------------------------------------------------------------------------------------------------- files


def test_every_format_holds_the_crystals(tmp_path: Path) -> None:
    result = by_hand([SALT, None, CAESIUM])
    paths = {path.name: path for path in result.save(tmp_path)}
    names = ["sample_5_000000", "sample_5_000002"]
    assert sorted(path.stem for path in paths["cif"].glob("*.cif")) == names
    frames = read(paths["samples.extxyz"], ":")
    assert [frame.info["id"] for frame in frames] == names
    with connect(paths["samples.db"]) as database:
        assert [row.name for row in database.select()] == names
    lines = [json.loads(line) for line in paths["samples.jsonl"].read_text().splitlines()]
    assert lines[0]["x-optimade"]["meta"]["api_version"]
    assert [entry["id"] for entry in lines[1:]] == names
    assert lines[1]["attributes"]["chemical_formula_reduced"] == "ClNa"
    assert json.loads(paths["funnel.json"].read_text())["rejected"] == {"residual": 1}
    table = pd.read_parquet(paths["samples.parquet"])
    assert table["reason"].tolist() == [None, "residual", None]
    back = [sample.crystal for sample in load_crystals(paths["samples.parquet"], on_reject=lambda *_: None)]
    assert [crystal.formula for crystal in back] == [SALT.formula, CAESIUM.formula]
    assert np.allclose(back[1].lattice, CAESIUM.lattice)


def test_a_shorter_draw_leaves_nothing_of_a_longer_one(tmp_path: Path) -> None:
    by_hand([SALT, SALT]).save(tmp_path, ("cif",))
    by_hand([SALT]).save(tmp_path, ("cif",))
    assert len(list((tmp_path / "cif").glob("*.cif"))) == 1


def test_nothing_recovered_can_be_saved_too(tmp_path: Path) -> None:
    result = by_hand([None])
    result.save(tmp_path)
    assert len(pd.read_parquet(tmp_path / "samples.parquet")) == 1
    assert result.funnel == {"in": 1, "kept": 0, "rejected": {"residual": 1}}


def test_a_directory_that_is_a_file_and_an_unknown_format_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EvaluationError, match="directory"):
        by_hand([SALT]).save(tmp_path / "file")
    with pytest.raises(EvaluationError, match="pickle"):
        by_hand([SALT]).save(tmp_path, ("pickle",))


def test_recovery_is_told_what_to_do(generator: Generator) -> None:
    strict = RecoveryOptions(policy="strict", tolerance=1e-6)
    drawn = generator.sample(3, steps=2, recovery=strict, progress=False)
    assert drawn.funnel["kept"] == 0, "an untrained decoder certifies nothing"
    assert drawn.settings["recovery"]["policy"] == "strict"
    assert replace(strict, tolerance=1.0).tolerance == 1.0


@given(n=st.integers(1, 9), period=st.integers(1, 7), first=st.integers(0, 5))
@settings(max_examples=12)
def test_samples_are_drawn_until_so_many_are_accepted(n: int, period: int, first: int) -> None:
    rounds: list[int] = []

    def draw(start: int, count: int) -> SampleResult:
        rounds.append(count)
        numbers = range(start, start + count)
        residuals = torch.tensor([0.2 if i % period == 0 else 0.6 for i in numbers], dtype=torch.float64)
        return replace(by_hand([SALT] * count), residuals=residuals, indices=tuple(numbers))

    result = draw_accepted(draw, first, n, 0.5)
    kept = [i for i, reason in zip(result.indices, result.reasons, strict=True) if reason is None]
    assert kept == [i for i in range(first, first + 200) if i % period == 0][:n], "the first that fit, whatever the rounds"
    assert result.indices == tuple(range(first, kept[-1] + 1)), "those not accepted stay"
    assert result.funnel["rejected"].get("not accepted", 0) == len(result) - n
    assert all((crystal is None) == (reason is not None) for crystal, reason in zip(result.crystals, result.reasons, strict=True))
    assert rounds[0] == n and len(rounds) < 12


def test_acceptance_that_never_comes_is_refused(generator: Generator) -> None:
    with pytest.raises(RecipeError, match=r"only 0 of 50 .* accept a larger one"):
        draw_accepted(lambda start, count: replace(by_hand([SALT] * count), residuals=torch.ones(count)), 0, 1, 0.5)
    for accept in (0, -1.0, float("nan")):
        with pytest.raises(RecipeError, match="accept must be a positive finite number"):
            generator.sample(1, steps=2, accept=accept, progress=False)


def test_the_limit_of_strain_is_the_decoders_own(generator: Generator) -> None:
    trained = replace(generator, autoencoder=copy.deepcopy(generator.autoencoder))
    found = {}
    for strain in (0.0, 0.03, 5.0):
        trained.autoencoder.lattice_strain.fill_(strain)
        found[strain] = trained.max_strain
    assert found == {0.0: 0.1, 0.03: pytest.approx(0.09), 5.0: 0.2}
    assert trained.strain_limit(RecoveryOptions(symmetry=False)) is None
    assert trained.strain_limit(RecoveryOptions(max_strain=0.04)) == 0.04
    with pytest.raises(RecipeError, match="max_strain"):
        RecoveryOptions(max_strain=1.5)
    result = trained.sample(4, steps=3, recovery=RecoveryOptions(max_strain=0.04), progress=False)
    assert result.settings["max_strain"] == 0.04 and {"group", "operations", "strain", "moved"} <= set(result.table)
    assert all(s is None or s.strain <= 0.04 for s in result.symmetries)


def test_weights_without_a_measured_strain_still_load(generator: Generator, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in generator.autoencoder.state_dict().items() if name != "lattice_strain"}
    save_autoencoder(tmp_path, generator.autoencoder)
    about = json.loads((tmp_path / "autoencoder.json").read_text())
    save_checkpoint(tmp_path / "autoencoder", "autoencoder", tensors, {"config": about["config"]})
    assert load_autoencoder(tmp_path).lattice_strain == 0
