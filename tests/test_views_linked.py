"""Stepper, orbits, report, and what one view hands to another."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.data.prototypes import embedded
from fourier_workbench.generation import evaluate
from fourier_workbench.representation import (
    FourierBasis,
    encode,
    recover,
    symmetry_operations,
)
from fourier_workbench.representation.trace import Trace, Tracer
from fourier_workbench.widgets import ViewError, explore, gallery, show_report, step, watch
from fourier_workbench.widgets.orbits import atom_orbit, find_group, lit, operation_name, wave_orbit
from fourier_workbench.widgets.stepper import (
    Source,
    certificate,
    left_surfaces,
    step_frames,
    stepper_film,
    thin_density,
)
from fourier_workbench.widgets.view import Packer

SALT = Crystal(np.eye(3) * 4.12, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])
QUARTZ = next(c for _, c, _ in embedded() if len(c) == 9 and c.reduced_formula == "SiO2")


def trace_of(crystal: Crystal, basis: FourierBasis, grid: int = 48) -> Trace:
    "Steps that place the atoms of a crystal one by one in their order."
    fourier = encode([crystal], basis, grid)
    tracer = Tracer(fourier.coefficients[0], basis, grid)
    for slot, z in enumerate(crystal.species):
        nodes = torch.tensor(np.rint(crystal.frac_coords[crystal.numbers == z] * grid) % grid).long()
        for n in range(len(nodes)):
            tracer(slot, "greedy", nodes[: n + 1], n)
    return Trace(tuple(tracer.species(slot, z, slot) for slot, z in enumerate(crystal.species)))


def test_frames_follow_the_steps_and_what_is_left_is_the_missing_atom():
    basis = FourierBasis(9)
    crystal = Crystal(np.eye(3) * 5, [8, 8, 22], [[0.25, 0.25, 0.25], [0.75, 0.5, 0.75], [0, 0, 0]])
    trace = trace_of(crystal, basis)
    frames = step_frames(trace)
    assert [(f.z, len(f.nodes), f.picked) for f in frames] == [(8, 1, 0), (8, 2, 1), (22, 1, 0)]
    surface = left_surfaces(frames[0].species.residual_density(0).numpy(), crystal.lattice, 0.4 * len(basis), packer := Packer())
    assert [s["sign"] for s in surface] == [1], "one atom is missing, none is too many"
    where = surface[0]["vertices"]
    vertices = np.frombuffer(packer.bytes, "<f4", where["n"], where["at"]).reshape(-1, 3)
    assert np.allclose(vertices.mean(0) / 5, [0.75, 0.5, 0.75], atol=0.02)
    source = Source(trace, crystal.lattice, recover(encode([crystal], basis), basis))
    rhos = [thin_density(frame) for frame in frames]
    film, _ = stepper_film(source, frames, rhos)
    assert film["certificate"]["accepted"]
    assert film["frames"][-1]["others"] == [{"z": 8, "nodes": [[0.25] * 3, [0.75, 0.5, 0.75]]}]
    assert not film["frames"][1]["surfaces"], "both oxygen atoms are explained"


def test_a_moved_atom_leaves_a_mark_and_long_traces_are_thinned():
    basis = FourierBasis(3)
    tracer = Tracer(encode([Crystal(np.eye(3) * 4, [8], [[0, 0, 0]])], basis, 24).coefficients[0, :1], basis, 24)
    for i in range(400):
        tracer(0, "greedy" if i < 300 else "newton", torch.tensor([[i % 24, i // 24, 0]]), 0)
    trace = Trace((tracer.species(0, 8, 0),))
    frames = step_frames(trace, limit=50)
    assert 50 <= len(frames) <= 54
    kept = [frame.k for frame in frames]
    assert {0, 299, 300, 399} <= set(kept), "first and last of each stage stay"
    assert frames[1].left.tolist() == [[(kept[1] - 1) % 24, (kept[1] - 1) // 24, 0]], "against the step before it"
    with pytest.raises(ViewError, match="no species was attempted"):
        step_frames(Trace(()))


def test_a_rejected_recovery_says_what_to_do():
    fourier = encode([SALT], FourierBasis(5))
    fourier.coefficients[0, 0] += 0.5
    rejected = recover(fourier, FourierBasis(5), policy="trust_species")
    assert rejected.crystals[0] is None
    words = certificate(Source(Trace(()), SALT.lattice, rejected))
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
    found = lit(QUARTZ, alpha, basis, group, operation, wave=mode)
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
    view._receive(None, {"do": "set", "with": {"operation": 20}, "id": 1}, [])
    assert view.error == ""
    assert "residual over all waves" in view.scene["orbit"]["words"]
    assert {atom["index"] for atom in view.scene["atoms"]} == {0, 1}
    view._receive(None, {"do": "set", "with": {"operation": 99}, "id": 2}, [])
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
    assert "is no evaluation" in show_report(crystals).error
    shown = gallery(crystals, report=report)
    assert {"unique"} <= {c["key"] for c in shown.content["columns"]}
    assert "evaluate these" in gallery([SALT], report=report).error


def test_a_dashboard_without_a_linked_ladder_says_how_to_link_one(tmp_path):
    (tmp_path / "status.json").write_text('{"state": "stopped", "stage": "autoencoder", "step": 3}')
    view = watch(tmp_path)
    view._receive(None, {"do": "ladder", "id": 1}, [])
    assert "dashboard.link(ladder)" in view.error
    view.close()


def test_a_crystal_shows_itself():
    shown = SALT._repr_html_()
    assert "4.120, 4.120, 4.120 Å" in shown
    assert "Cs<sub>1</sub>" in shown


def test_steps_of_a_real_recovery_end_in_its_certificate():
    view = step(QUARTZ)
    assert view.error == ""
    assert view.frames[-1].residual < 1e-5
    assert view.film["certificate"]["accepted"]
    assert {f["z"] for f in view.film["frames"]} == {8, 14}
    first = view.film["frames"]
    view._receive(None, {"do": "contour", "with": {"share": 0.1}, "id": 1}, [])
    assert view.error == ""
    assert view.film["share"] == 0.1
    assert [f["residual"] for f in view.film["frames"]] == [f["residual"] for f in first]
    view._receive(None, {"do": "contour", "with": {"share": 7}, "id": 2}, [])
    assert "a share of one atom's peak" in view.error
    basis = FourierBasis(7)
    assert "trace=True" in step(recover(encode([SALT], basis), basis)).error
    traced = step(recover(encode([SALT], basis), basis, trace=True))
    assert traced.error == ""
