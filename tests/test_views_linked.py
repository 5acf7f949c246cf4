"""Stepper, orbits, report, and what one view hands to another."""

import itertools
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.data.sources.prototypes import embedded
from fourier_workbench.generation import SampleResult, evaluate
from fourier_workbench.model.autoencoder import Decoded
from fourier_workbench.representation import (
    FourierBasis,
    encode,
    follow_atoms,
    recover,
    symmetry_operations,
)
from fourier_workbench.representation.recovery.symmetric import recover_symmetric
from fourier_workbench.representation.recovery.trace import Trace, Tracer
from fourier_workbench.widgets import ViewError, explore, gallery, show_report, step, watch
from fourier_workbench.widgets.reciprocal import (
    atom_orbit,
    find_group,
    grid_group,
    group_labels,
    operation_name,
    operation_orbit,
    wave_orbit,
)
from fourier_workbench.widgets.stepper import (
    STAGES,
    TracedRecovery,
    cell_step,
    residual_surfaces,
    step_frames,
    stepper_content,
)
from fourier_workbench.widgets.view import Packer

SALT = Crystal(np.eye(3) * 4.12, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])
QUARTZ = next(c for _, c, _ in embedded() if len(c) == 9 and c.reduced_formula == "SiO2")


# Rock salt in its cubic cell of four formulas, and the same bent by a per cent, as a decoder may give it.
ROCK = Crystal(
    np.eye(3) * 5.64,
    [11] * 4 + [17] * 4,
    [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
)
BENT = Crystal(ROCK.lattice @ np.diag([1.01, 1, 0.99]), ROCK.numbers, ROCK.frac_coords)


def samples_of(crystals: list[Crystal | None]) -> SampleResult:
    "Samples with the symmetry of their atoms, as a generator returns them."
    found = iter(follow_atoms([c for c in crystals if c is not None]))
    symmetries = [None if c is None else next(found) for c in crystals]
    n = len(crystals)
    decoded = Decoded(torch.zeros(n, 6), torch.zeros(n, 6, 119), torch.zeros(n, 6, 27, dtype=torch.complex64))
    reasons = [None if c is not None else "residual" for c in crystals]
    return SampleResult([s and s.crystal for s in symmetries], reasons, decoded, torch.zeros(n, 4, dtype=torch.complex64),
                        torch.zeros(n), tuple(range(n)), symmetries=symmetries)  # fmt: skip


def trace_of(crystal: Crystal, basis: FourierBasis, grid: int = 48) -> Trace:
    "Steps that place the atoms of a crystal one by one in their order."
    fourier = encode([crystal], basis, grid)
    tracer, alpha = Tracer(), fourier.coefficients[0]
    for slot, z in enumerate(crystal.species):
        nodes = torch.tensor(np.rint(crystal.frac_coords[crystal.numbers == z] * grid) % grid).long()
        for n in range(len(nodes)):
            tracer.step([slot], "greedy_removal", [nodes[: n + 1]], n)
    return Trace(tuple(tracer.species(slot, z, slot, alpha[slot], basis, grid) for slot, z in enumerate(crystal.species)))


def test_frames_follow_the_steps_and_what_is_left_is_the_missing_atom():
    basis = FourierBasis(9)
    crystal = Crystal(np.eye(3) * 5, [8, 8, 22], [[0.25, 0.25, 0.25], [0.75, 0.5, 0.75], [0, 0, 0]])
    trace = trace_of(crystal, basis)
    frames = step_frames(trace)
    assert [(f.z, len(f.nodes), f.picked) for f in frames] == [(8, 1, 0), (8, 2, 1), (22, 1, 0)]
    rho = frames[0].species.residual_density(0).numpy()
    surface = residual_surfaces(rho, crystal.lattice, 0.4 * len(basis), packer := Packer())
    assert [s["sign"] for s in surface] == [1], "one atom is missing, none is too many"
    where = surface[0]["vertices"]
    vertices = np.frombuffer(packer.bytes, "<u2", where["n"], where["at"]).reshape(-1, 3) / 65535
    assert np.allclose(vertices.mean(0), [0.75, 0.5, 0.75], atol=0.02)
    source = TracedRecovery(trace, crystal.lattice, recover(encode([crystal], basis), basis))
    rhos = [frame.residual_density() for frame in frames]
    film, _ = stepper_content(source, frames, rhos)
    assert film["certificate"]["accepted"]
    assert film["frames"][-1]["others"] == [{"z": 8, "nodes": [[0.25] * 3, [0.75, 0.5, 0.75]]}]
    assert not film["frames"][1]["surfaces"], "both oxygen atoms are explained"


def test_a_moved_atom_leaves_a_mark_and_long_traces_are_thinned():
    basis = FourierBasis(3)
    tracer, alpha = Tracer(), encode([Crystal(np.eye(3) * 4, [8], [[0, 0, 0]])], basis, 24).coefficients[0, 0]
    for i in range(400):
        tracer.step([0], "greedy_removal" if i < 300 else "gauss_newton", [torch.tensor([[i % 24, i // 24, 0]])], 0)
    trace = Trace((tracer.species(0, 8, 0, alpha, basis, 24),))
    frames = step_frames(trace, limit=50)
    assert 50 <= len(frames) <= 54
    kept = [frame.step for frame in frames]
    assert {0, 299, 300, 399} <= set(kept), "first and last of each stage stay"
    assert frames[1].removed.tolist() == [[(kept[1] - 1) % 24, (kept[1] - 1) // 24, 0]], "against the step before it"
    with pytest.raises(ViewError, match="no species was attempted"):
        step_frames(Trace(()))


def test_the_stepper_shows_the_search_that_users_get():
    """The very steps of an untraced recovery, each offer of a stage with its verdict."""
    basis = FourierBasis(5)
    plain, view = recover(encode([QUARTZ], basis, 24), basis, 24), step(QUARTZ, basis, 24)
    assert view.source.recovery.stages == plain.stages and torch.equal(view.source.recovery.residuals, plain.residuals)
    assert {frame.stage for frame in view.frames} <= set(STAGES)
    kept = [frame for frame in view.frames if frame.description.endswith("kept as the best so far")]
    assert kept and all(frame.species.steps[frame.step].taken for frame in kept)
    last = {frame.slot: frame.stage for frame in kept}
    assert tuple(last[slot] for slot in sorted(last)) == plain.stages[0]


def test_a_rejected_recovery_says_what_to_do():
    fourier = encode([SALT], FourierBasis(5))
    fourier.coefficients[0, 0] += 0.5
    rejected = recover(fourier, FourierBasis(5), policy="trust_species")
    assert rejected.crystals[0] is None
    words = TracedRecovery(Trace(()), SALT.lattice, rejected).certificate()
    assert not words["accepted"]
    assert words["words"].startswith("rejected (")
    assert ":" in words["words"], "a remedy follows"


@given(st.integers(0, 11), st.integers(0, 400))
def test_orbits_close_and_keep_the_phase_relation(operation, mode):
    basis = FourierBasis(7)
    group = symmetry_operations(QUARTZ, 0.1)
    operation %= len(group.rotations)
    mode %= len(basis)
    modes = wave_orbit(basis, group, operation, mode)
    assert len(modes) in (1, 2, 3, 4, 6)
    for a, b in itertools.pairwise(modes):
        assert torch.equal(basis.wave_vectors[a] @ group.rotations[operation], basis.wave_vectors[b])
    atoms = atom_orbit(QUARTZ, group, operation, mode % len(QUARTZ))
    assert len(set(QUARTZ.numbers[atoms])) == 1
    alpha = encode([QUARTZ], basis).coefficients[0, :2]
    found = operation_orbit(QUARTZ, alpha, basis, group, operation, wave=mode)
    assert found.modes == modes
    assert found.residual < 0.5, "only snapping stands between the crystal and its symmetry"


def test_operations_are_named_as_in_the_tables():
    assert operation_name(np.diag([1, -1, 1]), np.array([0, 0, 0.5])) == "m: x, −y, z+1/2"
    assert operation_name(np.array([[0, -1, 0], [1, -1, 0], [0, 0, 1]]), np.array([0, 0, 1 / 3])) == "3: −y, x−y, z+1/3"
    coincident = Crystal(np.eye(3) * 4, [8, 8], [[0, 0, 0], [1e-9, 0, 0]])
    assert find_group(coincident) is None


def test_the_explorer_lights_an_orbit():
    view = explore(SALT)
    assert view.group["symbol"] == "Pm-3m (221)"
    assert len(view.group["operations"]) == 48
    view.handle("set", operation=20)
    assert view.error == ""
    assert "residual over all waves" in view.scene["orbit"]["relation"]
    assert {atom["index"] for atom in view.scene["atoms"]} == {0, 1}
    view.handle("set", operation=99)
    assert "no operation 99" in view.error


def test_a_report_has_its_baselines_and_refuses_other_things():
    crystals = [SALT, QUARTZ]
    report = evaluate(crystals)
    view = show_report(report, {"again": report}, reference=report.structures)
    assert view.error == ""
    assert view.html.count("<section>") == 3
    assert "again" in view.rates
    assert "reference" in view.html
    assert "no column" in show_report(report, reference=pd.DataFrame({"n_sites": [1]})).error
    assert "is not an evaluation" in show_report(crystals).error
    shown = gallery(crystals, report=report)
    assert {"unique"} <= {c["key"] for c in shown.content["columns"]}
    assert "evaluate these" in gallery([SALT], report=report).error


def test_a_dashboard_without_a_linked_ladder_says_how_to_link_one(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "stopped", "stage": "autoencoder", "step": 3}')
    view = watch(tmp_path)
    view.handle("ladder")
    assert "dashboard.link(ladder)" in view.error
    view.close()


def test_a_crystal_shows_itself():
    shown = SALT._repr_html_()
    assert "4.120, 4.120, 4.120 Å" in shown
    assert "<b>CsCl</b>" in shown
    assert "Si₃O₆" in QUARTZ._repr_html_()


def test_steps_of_a_real_recovery_end_in_its_certificate():
    view = step(QUARTZ)
    assert view.error == ""
    assert view.frames[-1].residual < 1e-5
    assert view.content["certificate"]["accepted"]
    assert {f["z"] for f in view.content["frames"]} == {8, 14}
    first = view.content["frames"]
    view.handle("level", level=0.1)
    assert view.error == ""
    assert view.content["level"] == 0.1
    assert [f["residual"] for f in view.content["frames"]] == [f["residual"] for f in first]
    view.handle("level", level=7)
    assert "a fraction of one atom's peak" in view.error
    basis = FourierBasis(7)
    assert "trace=True" in step(recover(encode([SALT], basis), basis)).error
    traced = step(recover(encode([SALT], basis), basis, trace=True))
    assert traced.error == ""


def test_decoded_coefficients_end_with_the_cell_that_follows_the_atoms():
    basis = FourierBasis(5)
    fourier = encode([BENT], basis, 24)
    view = step(fourier, basis, 24, decoded=True)
    assert view.error == "" and view.source.recovery.traces[0] is not None
    last, frames = view.content["frames"][-1], view.content["frames"]
    assert len(frames) == len(view.frames) + 1 and f"{len(frames)} steps" in view.subtitle
    assert last["description"] == "Fm-3m (225), 48 operations; strain of the cell 1.0 % before, 0.0 % after"
    assert np.allclose(np.abs(np.diag(np.reshape(last["lattice"], (3, 3)))), BENT.volume ** (1 / 3), atol=1e-4)
    assert sum(len(one["nodes"]) for one in last["others"]) == 8 and not any(one["moved"] for one in last["others"])
    assert "48 operations of the grid map them onto themselves" in view.content["certificate"]["words"]
    assert "cell" not in step(BENT, basis, 24).content["stages"], "exact data keep their cell"
    whole = step(recover_symmetric(fourier, basis, 24, trace=True))
    assert whole.content["frames"][-1]["description"] == last["description"], "a traced recovery brings its symmetry"
    tight = step(fourier, basis, 24, decoded=True, max_strain=1e-3)
    assert tight.content["frames"][-1]["description"].startswith("Fmmm (69), 8 operations; strain of the cell 0.0 % before")


def test_atoms_that_symmetry_moved_are_marked():
    basis = FourierBasis(5)
    recovery = recover_symmetric(encode([BENT], basis, 24), basis, 24, trace=True)
    symmetry, species = recovery.symmetries[0], recovery.traces[0].species
    one = species[0].steps[-1]
    elsewhere = replace(one, nodes=torch.cat([one.nodes[:-1], one.nodes[-1:] + torch.tensor([1, 0, 0])]), taken=True)
    trace = Trace((replace(species[0], steps=(elsewhere,)), *species[1:]))
    moved = replace(recovery, symmetries=[replace(symmetry, moved=1)])
    last = cell_step(TracedRecovery(trace, BENT.lattice, moved))
    assert [len(part["moved"]) for part in last["others"]] == [1, 0]
    assert len(last["removed"]) == 1 and "1 atom moved" in last["description"]


def test_the_explorer_lights_the_operations_of_a_sample():
    """In the cell of the sample, which spglib does not recognise, with the translations that centre it."""
    result = samples_of([BENT, None])
    view = explore(result, operation=7)
    assert view.error == "" and view.group["symbol"] == "Fm-3m (225)"
    assert sorted(view.group["operations"]) == sorted(group_labels(find_group(ROCK))["operations"])
    assert "strained by 1.0 %" in view.group["source"]
    assert float(view.scene["orbit"]["relation"].split("waves ")[1]) < 1e-5
    assert "explore(symmetry" in view.code
    view.show(SALT)
    assert "spglib" in view.group["source"] and "explore(crystal" in view.code
    for row, words in ((1, "has no crystal"), (5, "no sample 5")):
        with pytest.raises(ViewError, match=words):
            explore(result, index=row)


@pytest.mark.parametrize(("seed", "left", "multiple"), [(0, False, [1, 1, 1]), (1, True, [2, 1, 1]), (2, True, [1, 2, 2])])
def test_operations_on_the_grid_keep_the_crystal_in_any_cell(seed, left, multiple):
    basis, rng = FourierBasis(5), np.random.default_rng(seed)
    shear = np.eye(3, dtype=int)
    shear[0, seed % 3] += seed % 3 > 0
    cell = np.diag(multiple) @ shear
    whole = ROCK.to_structure()
    whole.make_supercell(cell)
    some = Crystal.from_structure(whole)
    frac = (some.frac_coords + rng.integers(0, 48, 3) / 48) % 1
    lattice = some.lattice * (-1 if left else 1)
    (symmetry,) = follow_atoms([Crystal(lattice, some.numbers, frac)])
    crystal, group = symmetry.crystal.right_handed(), grid_group(symmetry)
    alpha = encode([crystal], basis).coefficients[0, :2]
    assert len(group.rotations) % round(4 * np.prod(multiple)) == 0
    assert group_labels(group)["operations"][0] == "1: x, y, z"
    worst = [operation_orbit(crystal, alpha, basis, group, k).residual for k in range(0, len(group.rotations), 31)]
    assert max(worst) < 1e-4


def test_a_gallery_of_samples_has_their_symmetry_and_shows_it_in_the_explorer():
    shown, explorer = gallery(samples_of([BENT, None, SALT])), explore(SALT)
    titles = {column["key"]: column["title"] for column in shown.content["columns"]}
    assert titles["group"] == "group (exact)" and "space_group" not in titles
    hints = {column["key"]: column["hint"] for column in shown.content["columns"]}
    assert all(hints[key] for key in ("group", "operations", "strain_percent", "moved"))
    row = shown.content["rows"][0]
    assert (row["group"], row["operations"], row["moved"]) == ("Fm-3m (225)", 48, 0)
    assert row["strain_percent"] == pytest.approx(1, abs=0.02)
    assert shown.content["rows"][1]["group"] is None
    plain = {column["key"]: column["title"] for column in gallery([BENT]).content["columns"]}
    assert plain["space_group"] == "group (0.1 Å)" and "group" not in plain
    shown.link(explorer)
    assert explorer.symmetry is shown.symmetries[0]
    shown.picked = 2
    assert explorer.group["symbol"] == "Pm-3m (221)" and "exact on the grid" in explorer.group["source"]
