"""Batches: a crystal gives the same tensor in any batch of an epoch; augmentations agree with those in real space."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.data import CrystalDataset, CrystalLoader, batch_indices
from fourier_workbench.data.augment import axis_changes, random_augmentation
from fourier_workbench.data.sources.prototypes import embedded
from fourier_workbench.errors import CorpusError
from fourier_workbench.randomness import keyed_generator, keyed_integers
from fourier_workbench.representation import FourierBasis, encode, snap
from fourier_workbench.representation.symmetry import apply_operation

GRID, BASIS = 24, FourierBasis(5)


@pytest.fixture(scope="module")
def crystals():
    small = [crystal for _, crystal, _ in embedded() if len(crystal) <= 10 and crystal.species[-1] <= 83]
    reasons = encode(small, BASIS, GRID).reasons
    return [crystal for crystal, reason in zip(small, reasons, strict=True) if reason is None][:150]


@pytest.fixture(scope="module")
def tensors(crystals):
    return CrystalDataset(crystals, BASIS, GRID)


seeds = st.integers(0, 2**31 - 1)
picks = st.lists(st.integers(0, 149), min_size=1, max_size=12)


@given(picks, seeds, st.integers(0, 1000), st.booleans(), st.booleans())
def test_a_crystal_does_not_depend_on_its_batch(tensors, picked, seed, epoch, cyclic, shift):
    options = {"seed": seed, "epoch": epoch, "cyclic": cyclic, "origin_shift": shift}
    batch = tensors.batch(picked, **options)
    alone = tensors.batch(picked[-1:], **options)
    assert torch.equal(batch.species[-1], alone.species[0])
    assert torch.equal(batch.coefficients[-1], alone.coefficients[0])
    assert batch.index.tolist() == picked


@given(picks)
def test_a_plain_batch_is_encode(tensors, crystals, picked):
    batch, reference = tensors.batch(picked), encode([crystals[i] for i in picked], BASIS, GRID)
    assert torch.equal(batch.species, reference.species)
    assert torch.allclose(batch.coefficients, reference.coefficients, atol=1e-5)
    assert torch.allclose(batch.lattice, reference.lattice.float(), atol=1e-5)
    assert batch.lattice.dtype == torch.float32
    assert batch.coefficients.dtype == torch.complex64


@given(picks, seeds)
def test_origin_shift_is_the_shift_of_the_crystal(tensors, crystals, picked, seed):
    batch = tensors.batch(picked, seed=seed, epoch=3, origin_shift=True)
    shifts = keyed_integers(GRID, torch.tensor(picked), 3, seed=seed, epoch=3, stream=3).numpy()
    moved = [Crystal(crystals[i].lattice, crystals[i].numbers, (snap(crystals[i].frac_coords, GRID) + shift) / GRID)
             for i, shift in zip(picked, shifts, strict=True)]
    assert torch.allclose(batch.coefficients, encode(moved, BASIS, GRID).coefficients, atol=1e-4)


@given(picks, seeds)
def test_cyclic_slots_move_species_and_coefficients_together(tensors, picked, seed):
    plain, turned = tensors.batch(picked), tensors.batch(picked, seed=seed, cyclic=True)
    start = keyed_integers(6, torch.tensor(picked), 1, seed=seed, epoch=0, stream=2)[:, 0].tolist()
    for i, k in enumerate(start):
        assert torch.equal(turned.species[i], plain.species[i].roll(k))
        assert torch.allclose(turned.coefficients[i], plain.coefficients[i].roll(k, 0), atol=1e-6)


@given(st.integers(1, 300), st.integers(1, 64), seeds, st.integers(0, 50))
def test_an_epoch_holds_every_crystal_once(n, size, seed, epoch):
    batches = batch_indices(n, size, seed, epoch)
    assert torch.equal(torch.cat(batches).sort().values, torch.arange(n))
    assert all(len(batch) == size for batch in batches[:-1])
    again = batch_indices(n, size, seed, epoch)
    assert all(torch.equal(a, b) for a, b in zip(batches, again, strict=True))


def test_keyed_integers_are_uniform_and_differ_between_seeds_epochs_and_streams():
    index = torch.arange(20000)
    draws = {key: keyed_integers(6, index, 1, seed=key[0], epoch=key[1], stream=key[2])[:, 0]
             for key in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (12345, 7, 2)]}
    for values in draws.values():
        counts = torch.bincount(values, minlength=6)
        assert ((counts - 20000 / 6) ** 2 / (20000 / 6)).sum() < 25  # χ² of 5 degrees of freedom
    keys = list(draws)
    for i, a in enumerate(keys):
        for b in keys[i + 1 :]:
            assert abs((draws[a] == draws[b]).float().mean() - 1 / 6) < 0.015


def test_keyed_numbers_are_those_of_earlier_versions():
    """Resumed runs, published samples and the order of an epoch depend on them."""
    assert keyed_integers(1000, torch.arange(3), 2, seed=7, epoch=5, stream=2).tolist() == [[717, 399], [683, 637], [286, 685]]
    assert keyed_generator(7, 0).initial_seed() == 1359132159871175244
    assert keyed_generator(7, 41, stream=2).initial_seed() == 7034797918636292291
    assert torch.cat(batch_indices(8, 8, 7, 5)).tolist() == [2, 4, 3, 1, 0, 7, 5, 6]


def test_numbers_of_neighbouring_crystals_are_independent():
    draws = keyed_integers(1000, torch.arange(20000), 3, seed=0, epoch=0).double().numpy()
    flat = draws.flatten()
    assert abs(np.corrcoef(flat[:-1], flat[1:])[0, 1]) < 0.02
    assert abs(np.corrcoef(draws[:, 0], draws[:, 2])[0, 1]) < 0.02


def test_what_cannot_be_encoded_is_refused():
    packed = [Crystal(np.eye(3) * 9, [6, 6], [[0, 0, 0], [0.001, 0, 0]])]
    with pytest.raises(CorpusError, match="collision"):
        CrystalDataset(packed, BASIS, GRID)


@pytest.mark.parametrize(("n", "size"), [(0, 4), (4, 0)])
def test_impossible_batches_are_refused(n, size):
    with pytest.raises(CorpusError, match="at least 1"):
        batch_indices(n, size, 0, 0)


@pytest.mark.gpu
def test_batches_are_expanded_on_the_device(tensors):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    there = tensors.to("cuda").batch([1, 2, 3], seed=4, cyclic=True, origin_shift=True)
    here = tensors.batch([1, 2, 3], seed=4, cyclic=True, origin_shift=True)
    assert there.coefficients.is_cuda
    assert torch.equal(there.species.cpu(), here.species)
    assert torch.allclose(there.coefficients.cpu(), here.coefficients, atol=1e-5)


@given(picks, seeds, st.booleans(), st.booleans())
def test_augmentations_are_those_of_the_crystal_and_of_its_coefficients(tensors, crystals, picked, seed, inversion, shift):
    options = {"seed": seed, "epoch": 2, "axes": True, "inversion": inversion, "origin_shift": shift}
    batch, plain = tensors.batch(picked, **options), tensors.batch(picked)
    changes = random_augmentation(torch.tensor(picked), GRID, **options)
    moved = []
    for k, (change, sign, by) in enumerate(zip(*changes, strict=True)):
        crystal = crystals[picked[k]].right_handed()
        nodes = int(sign) * snap(crystal.frac_coords, GRID) @ change.numpy().T + by.numpy()
        moved.append(Crystal(change.numpy() @ crystal.lattice, crystal.numbers, nodes % GRID / GRID))
        known = plain.coefficients[k].conj() if sign < 0 else plain.coefficients[k]
        changed, inside = apply_operation(known, change, by / GRID, BASIS)
        assert inside.all()
        assert torch.allclose(batch.coefficients[k], changed, atol=1e-4)
    reference = encode(moved, BASIS, GRID)
    assert torch.allclose(batch.coefficients, reference.coefficients, atol=1e-4)
    assert torch.allclose(batch.lattice, reference.lattice.float(), atol=1e-5)
    assert torch.equal(batch.species, reference.species)


@pytest.mark.parametrize("index", range(24))
def test_exchanged_axes_leave_the_crystal_as_it_is(index):
    crystal = Crystal([[4, 0, 0], [1, 5, 0], [0.5, -1, 6]], [8, 22, 22], [[0.1, 0.2, 0.5], [0.4, 0.7, 0.0], [0.3, 0.9, 0.6]])
    change = axis_changes()[index].numpy()
    other = Crystal(change @ crystal.lattice, crystal.numbers, crystal.frac_coords @ change.T)
    assert np.linalg.det(other.lattice) > 0
    assert np.allclose(sorted(np.linalg.norm(other.lattice, axis=1)), sorted(np.linalg.norm(crystal.lattice, axis=1)))
    assert np.allclose(other.to_structure().distance_matrix, crystal.to_structure().distance_matrix)


def test_every_augmentation_occurs_about_equally_often():
    changes = random_augmentation(torch.arange(24000), GRID, seed=0, epoch=0, inversion=True, axes=True, origin_shift=True)
    which = (changes.axes.flatten(1)[:, None] == axis_changes().flatten(1)).all(2).double().argmax(1)
    assert (torch.bincount(which, minlength=24) - 1000).abs().max() < 150
    assert abs(changes.sign.double().mean()) < 0.03
    assert torch.bincount(changes.shift.flatten(), minlength=GRID).min() > 2600


@pytest.mark.parametrize(("workers", "world"), [(2, 1), (0, 3), (0, 1)])
def test_the_loader_gives_the_same_batches_to_any_number_of_workers_and_processes(crystals, tensors, workers, world):
    options = {"seed": 4, "cyclic": True, "origin_shift": True, "inversion": True, "axes": True}
    dataset = CrystalDataset(crystals, BASIS, GRID)
    loaders = [CrystalLoader(dataset, BASIS, GRID, 32, rank=rank, world_size=world, workers=workers, **options)
               for rank in range(world)]
    for epoch in (0, 5):
        for loader in loaders:
            loader.set_epoch(epoch)
        for step, shares in enumerate(zip(*loaders, strict=True)):
            index = batch_indices(len(dataset), 32, 4, epoch)[step]
            for rank, batch in enumerate(shares):
                expected = tensors.batch(index[rank::world], epoch=epoch, **options)
                assert all(torch.equal(getattr(batch, name), getattr(expected, name))
                           for name in ("lattice", "species", "coefficients", "index"))
        assert step == len(dataset) // 32 - 1


def test_the_data_set_gives_small_items(crystals):
    dataset = CrystalDataset(crystals, BASIS, GRID)
    item = dataset[7]
    assert item.sizes.tolist() == [len(crystals[7])]
    assert sum(tensor.nbytes for tensor in item) < 200
    assert dataset[[7, 3]].index.tolist() == [7, 3]


@pytest.mark.parametrize("sizes", [{"batch_size": 0}, {"batch_size": 1000}, {"batch_size": 4, "world_size": 8},
                                   {"batch_size": 4, "rank": 1}])
def test_impossible_shares_are_refused(crystals, sizes):
    with pytest.raises(CorpusError, match=r"cannot share|batch_size must be"):
        CrystalLoader(crystals, BASIS, GRID, **sizes)
