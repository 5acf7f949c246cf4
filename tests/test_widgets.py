"""The views beneath their widgets: pure functions, told from independent statements, and what a page may ask."""

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fourier_workbench import Crystal
from fourier_workbench.crystal import pretty_formula
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.files import RunDirectory, write_json
from fourier_workbench.model.autoencoder import Autoencoder
from fourier_workbench.representation import FourierBasis, density, encode
from fourier_workbench.training import recipes
from fourier_workbench.training.monitor import Monitor, load_snapshot
from fourier_workbench.widgets import (
    View,
    ViewError,
    explore,
    gallery,
    gallery_figure,
    play,
    show_ladder,
    watch,
    wave_table,
)
from fourier_workbench.widgets.dashboard import MAX_POINTS, MetricsTail, metric_curves
from fourier_workbench.widgets.density import BPDS, Explorer, shell, truncation
from fourier_workbench.widgets.geometry import atom_spheres, isosurface, level_at, periodic_images, slice_surface
from fourier_workbench.widgets.ladder import LadderHistory, recorded_signal
from fourier_workbench.widgets.theme import colour_map, element_colour
from fourier_workbench.widgets.trajectory import frame_steps
from fourier_workbench.widgets.view import Packer, script, static_file

STATIC = Path(__file__).parents[1] / "fourier_workbench/widgets/static"
SALT = Crystal(np.eye(3) * 4.12, [17, 55], [[0, 0, 0], [0.5, 0.5, 0.5]])
SKEW = Crystal(
    [[3.9, 0, 0], [1.2, 4.1, 0], [0.3, 0.8, 5.2]], [8, 8, 22], [[0.1, 0.2, 0.3], [0.6, 0.7, 0.9], [0.4, 0.5, 0.05]]
)
lattices = st.lists(st.floats(-1, 1), min_size=9, max_size=9).map(lambda v: 4 * np.eye(3) + np.reshape(v, (3, 3)))


@given(lattices, st.integers(0, 2), st.floats(-0.6, 0.6))
def test_a_waves_isosurface_lies_where_the_wave_says(lattice, axis, level):
    x = np.arange(24) / 24
    shape = [1, 1, 1]
    shape[axis] = 24
    rho = np.broadcast_to(np.cos(2 * np.pi * x).reshape(shape), (24, 24, 24))
    surface = isosurface(rho, level, lattice)
    places = (surface.vertices.astype(float) @ np.linalg.inv(lattice))[:, axis]
    assert np.abs(np.cos(2 * np.pi * places) - level).max() < 0.03
    assert np.allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-4)
    others = [k for k in range(3) if k != axis]
    assert np.abs(surface.normals @ lattice[others].T).max() < 0.02, "normals stand on the planes"


@given(st.tuples(*[st.integers(-3, 3)] * 3).filter(any), st.floats(0.05, 0.95))
def test_a_slice_lies_on_its_lattice_plane(hkl, share):
    low, high = sum(min(h, 0) for h in hkl), sum(max(h, 0) for h in hkl)
    offset = low + share * (high - low)
    rho = np.random.default_rng(0).random((12, 12, 12))
    surface, values = slice_surface(rho, hkl, offset, SKEW.lattice)
    f = surface.vertices @ np.linalg.inv(SKEW.lattice)
    assert np.allclose(f @ hkl, offset, atol=1e-3)
    assert values.min() >= rho.min() - 1e-6
    assert values.max() <= rho.max() + 1e-6


def test_peaks_of_an_isosurface_are_the_atoms():
    basis = FourierBasis(9)
    rho = density(encode([SKEW], basis).coefficients[0, 0], basis).numpy()
    surface = isosurface(rho, level_at(rho, 6.0), SKEW.lattice)
    f = surface.vertices @ np.linalg.inv(SKEW.lattice)
    atoms = SKEW.frac_coords[SKEW.numbers == 8]
    away = np.abs((f[:, None] - atoms + 0.5) % 1 - 0.5).max(-1).min(1)
    assert len(f) > 50
    assert away.max() < 0.12


def test_shells_and_waves_add_up():
    basis = FourierBasis(7)
    alpha = encode([SKEW], basis).coefficients[0]
    table = wave_table(alpha[0], basis, SKEW.lattice)
    assert len(table) == (len(basis) - 1) // 2
    metric = np.linalg.inv(SKEW.lattice @ SKEW.lattice.T)
    j = table[["h", "k", "l"]].to_numpy()
    assert np.allclose(table.length, 2 * np.pi * np.sqrt(np.einsum("ni,ij,nj->n", j, metric, j)))
    edges = [0, 2.5, 5, 1e9]
    parts = [shell(alpha, basis, SKEW.lattice, a, b - 1e-9) for a, b in itertools.pairwise(edges)]
    assert torch.allclose(sum(parts), alpha)


def test_truncation_error_falls_to_nothing():
    errors = [truncation(SALT, bpd).error for bpd in (3, 7, 13)]
    assert errors[0] > errors[1] > errors[2] == 0
    assert BPDS == (3, 5, 7, 9, 11, 13)


@given(st.integers(1, 3))
def test_images_are_the_atoms_and_nothing_else(repeat):
    atom, places = periodic_images(SKEW, repeat)
    assert np.allclose((places - SKEW.frac_coords[atom] + 0.5) % 1, 0.5)
    assert len(atom) == len(SKEW) * repeat**3, "no atom lies on a face here"
    assert len(atom_spheres(SALT, repeat=repeat)) == (repeat + 1) ** 3 + repeat**3


def test_colours():
    assert len(set(colour_map("phase"))) > 40
    assert element_colour(0) == "#808080"
    assert element_colour(26, "vesta") != element_colour(26, "jmol")


@given(st.lists(st.sampled_from(["f4", "f8", "i8", "u2", "u1", "?", "i1"]), min_size=1, max_size=6))
def test_packed_arrays_can_be_read_where_they_are_said_to_lie(kinds):
    packer, arrays = Packer(), [np.arange(3 + i).astype(kind) for i, kind in enumerate(kinds)]
    places = [packer.add(a) for a in arrays]
    for values, place in zip(arrays, places, strict=True):
        assert place["at"] % 4 == 0
        found = np.frombuffer(packer.bytes, "<" + place["type"], place["n"], place["at"])
        assert np.array_equal(found.astype(float), values.astype(float))


@given(st.integers(1, 200), st.integers(1, 60))
def test_frames_are_spread_from_first_to_last(n, frames):
    steps = frame_steps(n, frames)
    assert len(steps) == min(n, frames)
    assert steps[0] == 0
    assert frames == 1 or steps[-1] == n - 1
    assert (np.diff(steps) > 0).all()


@given(st.integers(1, 3000))
def test_curves_keep_the_last_row_and_few_points(n):
    found = metric_curves([{"step": 7 * k, "loss": 1.0} for k in range(n)])
    assert found["step"][-1] == 7 * (n - 1)
    assert len(found["loss"]) <= MAX_POINTS + 1


def test_metrics_survive_half_lines_and_rewritten_tails(tmp_path):
    tail = MetricsTail(tmp_path / "metrics.jsonl")
    lines = [json.dumps({"stage": "autoencoder", "step": k, "loss": 1 / k}) + "\n" for k in range(1, 9)]
    text = "".join(lines)
    for cut in range(0, len(text) + 1, 13):
        tail.path.write_text(text[:cut])
        tail.read()
        assert len(tail.rows.get("autoencoder", [])) == text[:cut].count("\n")
    tail.path.write_text("not json\n" + lines[0])
    tail.read()
    assert [row["step"] for row in tail.rows["autoencoder"]] == [1]


def test_explorer_answers_the_page():
    view = explore(SALT, bpd=5)
    first = view.scene
    view.handle("set", sigmas=3.0, repeat=2)
    assert view.error == ""
    assert view.scene != first
    assert len(view.scene["atoms"]) == 27 + 8
    view.handle("set", repeat=40)
    assert "too many to draw" in view.error
    view.handle("set", repeat=1)
    assert view.error == ""
    view.handle("set", colour="red")
    assert "TypeError" in view.error
    with pytest.raises(ViewError, match="bpd must be one of"):
        explore(SALT, bpd=4)


@pytest.mark.parametrize(
    "changes",
    [{}, {"bpd": 5, "sigmas": 3.0}, {"plane": [1, 1, 0], "offset": 0.25, "repeat": 2}, {"slot": 1, "shell": [0.5, 3.0]}],
)
def test_the_python_that_a_view_copies_makes_that_view(changes):
    view = explore(SALT)
    view.handle("set", **changes)
    view.scheme = "vesta"
    names: dict = {"crystal": SALT}
    exec(view.code.splitlines()[0], names)
    again = eval(view.code.splitlines()[-1], names)
    assert (again.scene, again.data, again.scheme) == (view.scene, view.data, "vesta")
    with pytest.raises(ViewError, match="no setting 'colour'"):
        explore(SALT, colour="red")


def test_a_left_handed_cell_is_shown_as_the_crystal_it_is():
    left = Crystal(SKEW.lattice[[1, 0, 2]], SKEW.numbers, SKEW.frac_coords[:, [1, 0, 2]])
    view = explore(left)
    assert view.error == ""
    assert view.facts["recovered"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: explore(Crystal(np.eye(3) * 4, [11, 11], [[0, 0, 0], [0.001, 0, 0]])), "share a grid node"),
        (
            lambda: explore(Crystal(np.eye(3) * 9, range(1, 8), np.arange(21).reshape(7, 3) / 24)),
            "more than six species",
        ),
        (lambda: gallery([]), "there are no samples to show"),
        (lambda: gallery(["NaCl"]), "a gallery shows crystals"),
        (lambda: watch("no/such/run"), "holds no run"),
        (lambda: show_ladder(3), "has no ladder"),
    ],
)
def test_what_cannot_be_shown_says_so_inside_the_view(make, words):
    view = make()
    assert words in view.error
    assert "\n" not in view.error
    assert words in view.to_html(), "also in the page that is saved"


def test_untraced_samples_are_refused():
    with pytest.raises(ViewError, match="trace=True"):
        play(None, None)
    with pytest.raises(ViewError, match="no column"):
        gallery_figure([SALT], x="price")


def test_a_picked_crystal_opens_in_the_linked_explorer():
    shown, explorer = gallery([SALT, SKEW]), explore(SALT)
    shown.link(explorer)
    shown.picked = 1
    assert explorer.crystal.formula == SKEW.formula
    assert shown.crystal is SKEW


def test_dashboard_follows_and_steers_a_directory(tmp_path):
    write_json(
        tmp_path / "status.json",
        {"state": "failed", "stage": "autoencoder", "step": 3, "error": "boom; lower the rate"},
    )
    (tmp_path / "checkpoints/autoencoder").mkdir(parents=True)
    (tmp_path / "checkpoints/autoencoder/latest.json").write_text("{}")
    view = watch(tmp_path)
    assert view.reports[0]["error"] == "boom; lower the rate"
    assert view.reports[0]["checkpoint"] == "checkpoints/autoencoder/latest.safetensors"
    view.handle("control", command="fly")
    assert "no command 'fly'" in view.error
    view.handle("control", command="resume")
    assert "was not started by Run.start" in view.error
    view.close()


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A run's directory with a crystal decoded at three moments, and the untrained model that decoded it."""
    torch.manual_seed(0)
    recipe = recipes.laptop()
    crystals = CrystalDataset([SKEW, SALT], FourierBasis(5), recipe.autoencoder.grid)
    model, folder = Autoencoder(recipe.autoencoder.model), tmp_path_factory.mktemp("taught")
    lead = SimpleNamespace(is_global_zero=True)
    look = Monitor(RunDirectory(folder), SimpleNamespace(steps=80, fabric=lead))
    for step in (1, 2, 40):
        look(SimpleNamespace(model=model, crystals=crystals, steps=80, fabric=lead), step)
    write_json(folder / "config.json", {"recipe": json.loads(recipe.to_json())})
    write_json(folder / "status.json", {"state": "stopped", "stage": "autoencoder", "step": 40, "total": 80})
    return folder, model


def test_dashboard_shows_a_crystal_decoded_as_training_goes(taught):
    view = watch(taught[0])
    assert view.error == ""
    assert view.moments == [1, 2, 40]
    assert view.decoded["step"] == 40
    assert view.decoded["scenes"][0]["formula"] == pretty_formula(SKEW.formula), "what was given stands beside it"
    assert view.decoded["error"] == pytest.approx(load_snapshot(taught[0]).error, abs=1e-4)
    view.handle("moment", step=2)
    assert view.decoded["step"] == 2
    view.refresh()
    assert view.decoded["step"] == 2, "who looks at an earlier moment is left there"
    view.handle("moment", step=3)
    assert "has no snapshot of step 3" in view.error
    view.handle("extend", steps=5)  # answers from a thread
    deadline = monotonic() + 30
    while not view.error and monotonic() < deadline:
        sleep(0.01)
    assert "was not started by Run.start" in view.error
    view.close()


def test_a_damaged_moment_is_left_out_until_it_is_whole(taught, tmp_path):
    shutil.copytree(taught[0], tmp_path / "run")
    path = tmp_path / "run/decoded/00000040.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-8])
    view = watch(tmp_path / "run", every=3600)
    assert (view.moments, view.error) == ([1, 2], "")
    path.write_bytes(whole)
    view.refresh()
    assert view.moments == [1, 2, 40]
    assert view.decoded["step"] == 40
    view.close()


def test_ladder_has_the_strength_recorded_at_each_step(taught):
    folder, model = taught
    steps = np.array([0, 39])
    history = LadderHistory(steps, np.zeros((2, 432), np.float32), np.ones((2, 432), bool), model.ladder_shape)
    strength = recorded_signal(folder, history)
    assert np.array_equal(strength[1], load_snapshot(folder, 40).signal.numpy())
    assert (strength > 0).all()
    assert recorded_signal(folder / "decoded", history) is None


def test_silent_channels_change_the_decoded_density_and_say_so(taught):
    view = show_ladder(taught[1], [SKEW])
    same = [[surface["faces"]["n"] for surface in scene["surfaces"]] for scene in view.scenes]
    assert same[0] == same[1]
    view.ablate(list(range(432)))
    assert view.ablated[-1] == 431
    assert "density changes by" in view.ablation
    assert ".ablate([0, 1," in view.code
    view.ablate([])
    assert (view.ablated, view.ablation) == ([], "")


VIEWS = {"density": True, "trajectory": True, "gallery": True, "stepper": True}
VIEWS |= {"ladder": True, "dashboard": True, "report": False}


@pytest.mark.parametrize("name", VIEWS)
def test_scripts_parse_and_name_no_other_host(name, tmp_path):
    text = script(name, VIEWS[name])
    assert text.count("export default") == 1
    own = (STATIC / "core.js").read_text() + (STATIC / f"{name}.js").read_text() + static_file("view.css")
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", own)
    path = tmp_path / "view.mjs"
    path.write_text(text)
    if shutil.which("node"):  # else the browser tests are the first to parse it
        subprocess.run(["node", "--check", path], check=True, capture_output=True)


def test_the_wrapper_does_not_take_the_librarys_name():
    assert "const $3Dmol" not in script("density", True)
    assert "3Dmol" not in script("report", False).split("// Shared by all views")[0]


def test_every_view_has_a_script_and_code_to_copy():
    assert all((STATIC / f"{kind.NAME}.js").is_file() for kind in View.__subclasses__() if kind.NAME)
    assert isinstance(explore(SALT), Explorer)
    assert "explore(crystal)" in explore(SALT).code
