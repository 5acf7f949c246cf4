"""Guides: their gradients, what they move and leave alone, and that a led sample does not depend on its batch."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fourier_workbench.crystal import Crystal
from fourier_workbench.diffusion import SAMPLERS
from fourier_workbench.diffusion.guides import (
    CompositionGuide,
    ElementsGuide,
    SizeGuide,
    SpaceGroupGuide,
    Steering,
    SublatticeGuide,
    SymmetryGuide,
    VolumeGuide,
    expected_atoms,
)
from fourier_workbench.errors import EvaluationError, RecipeError
from fourier_workbench.generation import Generator, SampleResult, load_generator, sample_folder
from fourier_workbench.model.autoencoder import Decoded
from fourier_workbench.model.conditions import Conditions
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.representation.symmetry import symmetry_operations

from ladders import UNSOUGHT

SALT = Crystal(np.eye(3) * 4, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
BASIS = FourierBasis(5)
EACH = Conditions.nothing(3)
EACH.species[:, :2], EACH.counts[:, :2] = torch.tensor([8, 22]), torch.tensor([[2, 1], [3, 2], [0, 0]])
SUPPLIED = [
    CompositionGuide.of("SrTiO3"),
    CompositionGuide(EACH),
    ElementsGuide(required=(8, 22), forbidden=(9,)),
    ElementsGuide(allowed=(8, 22)),
    VolumeGuide(2, 3),
    VolumeGuide(50, 60),
    SizeGuide(1, 2),
    SizeGuide(torch.tensor([9.0, 1.0, 30.0]), torch.tensor([9.0, 2.0, 40.0])),
    SublatticeGuide.of(SALT, ["Cl"], BASIS, 24),
    SublatticeGuide.of(SALT, ["Na", "Cl"], BASIS, 24, cell=False),
    SymmetryGuide(symmetry_operations(SALT), BASIS),
    SpaceGroupGuide(torch.tensor([2, 221, 62]), BASIS),
]


@pytest.fixture(scope="module")
def laptop() -> Generator:
    "The shipped model."
    return load_generator("laptop")


def some_decoded(seed: int = 0) -> Decoded:
    "Three crystals of nothing in particular, in double precision."
    rng = torch.Generator().manual_seed(seed)
    lattice = 0.2 * torch.randn(3, 6, generator=rng, dtype=torch.float64) + torch.tensor([1.4, 1.4, 1.4, 0, 0, 0])
    alpha = torch.view_as_complex(torch.randn(3, 6, len(BASIS), 2, generator=rng, dtype=torch.float64))
    alpha[..., BASIS.zero] += 2
    return Decoded(lattice, torch.randn(3, 6, 84, generator=rng, dtype=torch.float64), BASIS.hermitian(alpha))


@pytest.mark.parametrize("guide", SUPPLIED, ids=repr)
def test_gradients_of_supplied_guides_are_those_of_finite_differences(guide: Callable) -> None:
    decoded = Decoded(*(tensor.requires_grad_() for tensor in some_decoded()))
    loss = guide(decoded)
    assert loss.shape == (3,)
    assert (loss > 0).any(), "a loss of zero has no gradient to test"
    gradients = torch.autograd.grad(loss.sum(), decoded, allow_unused=True)
    for part, (tensor, gradient) in enumerate(zip(decoded, gradients, strict=True)):
        for seed in range(3):
            rng = torch.Generator().manual_seed(seed)
            real = torch.view_as_real(tensor) if tensor.is_complex() else tensor
            along = torch.randn(real.shape, generator=rng, dtype=torch.float64)
            along = torch.view_as_complex(along) if tensor.is_complex() else along
            if part == 0 and isinstance(guide, SublatticeGuide):
                along = along.float().double()
            ends = []
            for step in (1e-4, -1e-4):
                moved = list(decoded)
                moved[part] = (tensor + step * along).detach()
                ends.append(guide(Decoded(*moved)).sum().double())
            numeric = float((ends[0] - ends[1]).detach() / 2e-4)
            exact = 0.0 if gradient is None else float((gradient.conj() * along).real.sum())
            assert exact == pytest.approx(numeric, rel=2e-3, abs=1e-4)


def test_a_crystal_that_meets_the_wish_has_no_loss() -> None:
    fourier = encode([SALT], BASIS, 24)
    logits = 60 * torch.nn.functional.one_hot(fourier.species, 84).float()
    decoded = Decoded(fourier.lattice.float(), logits, fourier.coefficients)
    assert expected_atoms(decoded)[0].tolist() == pytest.approx([1, 1, 0, 0, 0, 0], abs=1e-5)
    met = (CompositionGuide.of("NaCl"), ElementsGuide((11, 17)), ElementsGuide(allowed=(11, 17)), ElementsGuide(forbidden=(8,)),
           VolumeGuide(30, 34), SizeGuide(2, 2), SublatticeGuide.of(SALT, ["Na"], BASIS, 24),
           SymmetryGuide(symmetry_operations(SALT), BASIS))
    missed = (CompositionGuide.of("NaCl2"), ElementsGuide((8,)), ElementsGuide(allowed=(11,)), ElementsGuide(forbidden=(11,)),
              VolumeGuide(20, 30), SizeGuide(3, 9))
    assert all(float(guide(decoded)[0]) < 1e-4 for guide in met)
    assert all(float(guide(decoded)[0]) > 1e-3 for guide in missed)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_led_sample_does_not_depend_on_its_batch(laptop: Generator, sampler: str) -> None:
    guide = [(SizeGuide(torch.tensor([2.0, 3, 4, 5]), torch.tensor([2.0, 3, 4, 5])), 1.0), (ElementsGuide((8,)), 0.5)]
    how = {"seed": 3, "steps": 5, "sampler": sampler, "recovery": UNSOUGHT, "progress": False}
    one, all_ = (laptop.sample(4, guide=guide, batch_size=size, **how) for size in (1, 4))
    alone = laptop.sample(1, first=2, guide=[(SizeGuide(4, 4), 1.0), (ElementsGuide((8,)), 0.5)], **how)
    assert torch.allclose(one.ladders, all_.ladders, atol=2e-3)
    assert torch.allclose(alone.ladders[0], all_.ladders[2], atol=2e-3)
    again = laptop.sample(4, guide=guide, batch_size=4, **how)
    assert torch.equal(again.ladders, all_.ladders)


def test_guides_lead_where_plain_samples_do_not_go(laptop: Generator) -> None:
    plain = laptop.sample(16, steps=20, progress=False)
    led = laptop.sample(16, steps=20, guide=CompositionGuide.of("Li2O"), progress=False)
    assert (plain.table["reduced_formula"] == "Li2O").sum() == 0
    assert (led.table["reduced_formula"] == "Li2O").mean() > 0.6
    about = led.settings["guide"]
    assert about["guides"] == ["CompositionGuide(Li2 O1)"]
    assert about["unmoved"] == 0
    assert about["cost"] > 1
    json.dumps(led.settings)
    small = laptop.sample(16, steps=20, guide=SizeGuide(1, 3), progress=False)
    assert small.table["n_sites"].dropna().astype(float).mean() < 0.6 * plain.table["n_sites"].dropna().astype(float).mean()


def test_levels_and_no_guide_leave_samples_alone(laptop: Generator) -> None:
    how = {"steps": 5, "recovery": UNSOUGHT, "progress": False}
    plain = laptop.sample(3, **how)
    early = Steering((SizeGuide(1, 2),), (1.0,), levels=(0.995, 1.0))  # above the first level
    assert torch.equal(laptop.sample(3, guide=early, **how).ladders, plain.ladders)
    assert torch.equal(laptop.sample(3, guide=None, **how).ladders, plain.ladders)
    assert "guide" not in plain.settings
    more = replace(early, levels=(0.0, 1.0), repeats=2)
    assert not torch.allclose(laptop.sample(3, guide=more, **how).ladders, plain.ladders, atol=1e-2)


def test_a_gradient_that_is_not_finite_moves_nothing_and_is_counted(laptop: Generator) -> None:
    def broken(decoded: Decoded) -> torch.Tensor:
        return (decoded.lattice[:, 0] - decoded.lattice[:, 0].detach()).sqrt()  # the slope of a root at zero

    how = {"steps": 4, "recovery": UNSOUGHT, "progress": False}
    result = laptop.sample(3, guide=broken, **how)
    assert torch.equal(result.ladders, laptop.sample(3, **how).ladders)
    assert result.settings["guide"]["unmoved"] == 12


@pytest.mark.parametrize("guide, message", [
    ("LiO", "must be a function"), ([], "must be a function"), ([(SizeGuide(1, 2), 0)], "weight of a guide must be a positive"),
    (lambda decoded: decoded.lattice, r"one loss a sample, \(2,\); got \(2, 6\)"), (lambda decoded: 0.0, "got float"),
    (lambda decoded: decoded.species.float().sum(1), "has no gradient"), (ElementsGuide((92,)), "knows no U"),
    (CompositionGuide.of("UO2"), "knows no U; ask for elements up to Bi"),
])
def test_what_is_no_guide_is_refused(laptop: Generator, guide: object, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        laptop.sample(2, steps=2, guide=guide, progress=False)


IMPOSSIBLE = {
    "not a chemical formula": lambda: CompositionGuide.of("Xx2"),
    "7 elements": lambda: CompositionGuide.of("LiBeBCNOF"),
    "whole numbers": lambda: CompositionGuide.of("Li0.5O"),
    "volume per atom must be a range": lambda: VolumeGuide(5, 4),
    "number of atoms must be a positive": lambda: SizeGuide(0, 4),
    "has no O; keep some of Na, Cl": lambda: SublatticeGuide.of(SALT, ["O"], BASIS, 24),
    "levels of a guide": lambda: Steering((), (), levels=(0.5, 0.1)),
    "repeats must be": lambda: Steering((), (), repeats=0),
}


@pytest.mark.parametrize("message", IMPOSSIBLE)
def test_impossible_guides_are_refused_when_they_are_made(message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        IMPOSSIBLE[message]()


def test_a_folder_of_led_samples_continues_and_refuses_another_guide(laptop: Generator, tmp_path: Path) -> None:
    how = {"steps": 4, "progress": False, "formats": ("parquet",)}
    first = sample_folder(laptop, tmp_path / "a", 3, guide=SizeGuide(1, 3), **how)
    more = sample_folder(laptop, tmp_path / "a", 5, guide=SizeGuide(1, 3), **how)
    whole = laptop.sample(5, steps=4, guide=SizeGuide(1, 3), progress=False)
    assert len(first.table) == 3
    assert more.table["formula"].tolist() == whole.table["formula"].tolist()
    with pytest.raises(EvaluationError, match="guide"):
        sample_folder(laptop, tmp_path / "a", 6, guide=SizeGuide(1, 4), **how)


def test_samples_are_held_to_what_they_were_asked_for() -> None:
    "Counts of atoms come near whole numbers and space groups are met; `hold=0` is the diffuser alone."
    generator, how = load_generator("mp20"), {"seed": 4, "steps": 10, "progress": False}
    held, free = (generator.sample(12, hold=hold, **how) for hold in (0.3, 0.0))
    assert held.asked is not None and free.asked is not None and torch.equal(held.asked.species, free.asked.species)
    assert (held.settings["hold"], free.settings["hold"]) == (0.3, 0.0)
    assert not torch.equal(held.ladders, free.ladders)
    assert held.table["clean"].sum() > free.table["clean"].sum()

    def met(result: SampleResult) -> int:
        groups = [0 if symmetry is None else symmetry.space_group[0] for symmetry in result.symmetries]
        return sum(group == asked for group, asked in zip(groups, result.table["asked_group"], strict=True))

    assert met(held) >= met(free)
    opened = [generator.sample(2, hold=hold, compositions="open", **how).ladders for hold in (0.3, 0.0)]
    assert torch.equal(*opened)
    with pytest.raises(RecipeError, match="hold must be"):
        generator.sample(1, hold=1.5, **how)


def test_a_space_group_leads_each_sample_by_its_own_operations() -> None:
    fourier = encode([SALT, SALT, SALT], BASIS, 24)
    bent = fourier.coefficients + 0.3 * BASIS.hermitian(torch.randn(fourier.coefficients.shape, dtype=torch.complex64))
    decoded = Decoded(fourier.lattice.float(), torch.zeros(3, 6, 84), bent)
    losses = SpaceGroupGuide(torch.tensor([221, 0, 1]), BASIS)(decoded)
    assert losses[0] > 1e-3 and not losses[1:].any()
    assert SpaceGroupGuide(torch.tensor([0, 221, 221]), BASIS).at(slice(1, 3))(decoded)[0] == pytest.approx(float(losses[0]))
