"""Training across processes: shared batches give the result of one process, and a kill in the middle changes nothing."""

import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fourier_workbench.checkpoints import check_recipe, load_checkpoint
from fourier_workbench.config.recipes import laptop
from fourier_workbench.config.schema import CompositionStage, FineTuneStage, Recipe
from fourier_workbench.crystal import Crystal
from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.data.batches import CrystalDataset
from fourier_workbench.diffusion import LadderNoise, denoiser, get_sampler, noise_levels, sample_generators
from fourier_workbench.errors import CheckpointError, CorpusError, RecipeError
from fourier_workbench.files import RunDirectory
from fourier_workbench.generation import load_generator
from fourier_workbench.model import Autoencoder
from fourier_workbench.model.composition import CompositionConfig
from fourier_workbench.model.conditions import ConditionConfig
from fourier_workbench.model.execution import ExecutionConfig
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.training import fit, fit_autoencoder, load_autoencoder, load_diffuser, override
from fourier_workbench.training.distributed import make_fabric
from fourier_workbench.training.stages import lattice_strain
from fourier_workbench.training.trainer import Checkpointer

from ladders import UNSOUGHT


def tiny(steps: int = 12) -> Recipe:
    """The laptop recipe in miniature, every part switched on."""
    base = override(laptop(), diffuser=None, autoencoder__model__transformer__n_heads=1,
                    autoencoder__model__transformer__n_layers=2, autoencoder__model__compression=24 / 1254,
                    autoencoder__steps=steps, autoencoder__batch_size=8, autoencoder__prune_every=4)
    model = replace(laptop().diffuser.model, ladder_shape=base.autoencoder.model.ladder_shape,
                    transformer=base.autoencoder.model.transformer)
    return override(base, diffuser=replace(laptop().diffuser, model=model, steps=steps, batch_size=8))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Small embedded prototypes."""
    return prepare_corpus("embedded", tmp_path_factory.mktemp("corpus") / "c", FourierBasis(5), 24, limit=60, max_sites=8,
                          deduplicate=False, progress=False)


@pytest.mark.parametrize("optimiser", ["adam", "muon"])
def test_two_processes_give_the_result_of_one(corpus, tmp_path, optimiser):
    recipe = override(tiny(), autoencoder__optimiser__name=optimiser, diffuser__optimiser__name=optimiser,
                      autoencoder__batch_size=7)  # an odd batch: one process gets a crystal more than the other
    assert fit(recipe, corpus, tmp_path / "one", progress=False)
    assert fit(recipe, corpus, tmp_path / "two", devices=2, progress=False)
    for load in (load_autoencoder, lambda folder: load_diffuser(folder)[0]):
        one, two = (load(tmp_path / name / "weights").state_dict() for name in ("one", "two"))
        for name, value in one.items():
            if value.is_floating_point():  # Muon orthogonalises in half precision, which magnifies another order of sums
                assert torch.allclose(value, two[name], atol=2e-3 if optimiser == "muon" else 2e-4), name
            else:
                assert torch.equal(value, two[name]), name
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    rows = [[json.loads(line) for line in log] for log in logs]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    assert rows[0][0]["loss"] == pytest.approx(rows[1][0]["loss"], rel=2e-2)


def test_a_run_killed_half_way_ends_in_the_same_bits(corpus, tmp_path):
    """80 steps straight, against 40, a kill, and 40 more: weights, averages and optimisers are equal to the bit."""
    recipe = override(tiny(80), diffuser__steps=24, diffuser__guide_at=0.25, diffuser__guidance=2.0)
    script, folder = tmp_path / "train.py", tmp_path / "killed"
    assert fit(recipe, corpus, tmp_path / "straight", progress=False)
    script.write_text(
        "import os, signal, sys\nfrom fourier_workbench.data import Corpus\n"
        "from fourier_workbench.training import fit_autoencoder, fit_diffuser, Recipe\n"
        "from fourier_workbench.files import RunDirectory\n"
        "run = RunDirectory(sys.argv[3])\n"
        "def at(stage, step):\n"
        "    if stage.name == sys.argv[4] and step == stage.steps // 2: run.set_command('checkpoint')\n"
        "    if stage.name == sys.argv[4] and step == stage.steps // 2 + 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "for fit in (fit_autoencoder, fit_diffuser):\n"
        "    fit(Recipe.from_json(sys.argv[1]), Corpus(sys.argv[2]), sys.argv[3], progress=False, callback=at)\n")
    recipe.to_json(tmp_path / "recipe.json")
    for stage, half in (("autoencoder", 40), ("diffuser", 12)):
        ended = subprocess.run([sys.executable, script, tmp_path / "recipe.json", corpus.path, folder, stage], check=False)
        assert ended.returncode == -signal.SIGKILL
        saved = load_checkpoint(folder / "checkpoints" / stage / "latest", stage)[1]["step"]
        assert half <= saved < half + 3, "the checkpoint asked for, or one that was due by the clock before the kill"
    assert fit(recipe, corpus, folder, progress=False)
    for stage in ("autoencoder", "diffuser"):
        (straight, about), (killed, again) = (
            load_checkpoint(tmp_path / name / "checkpoints" / stage / "latest", stage) for name in ("straight", "killed"))
        assert straight.keys() == killed.keys() and all(torch.equal(straight[name], killed[name]) for name in straight)
        assert {**about, "sha256": 0} == {**again, "sha256": 0}
        assert {"step", "recipe", "corpus_hash", "code", "random", "R"} <= about.keys()
        assert {name.partition(".")[0] for name in straight} >= {"model", "ema", "optimiser"}
        later = {"model.selector", "model.tau", "guide.tau", "schedule.R"}
        assert ({"model.ladder.selector"} if stage == "autoencoder" else later) <= straight.keys()
    guide, diffuser = (load_diffuser(folder / "weights", name)[0].state_dict() for name in ("guide", "diffuser"))
    assert all(torch.equal(value, killed[f"guide.{name}"]) for name, value in guide.items())
    assert torch.equal(guide["tau"], diffuser["tau"])
    assert not torch.equal(guide["network.tokens"], diffuser["network.tokens"])


def test_a_stop_while_a_checkpoint_is_written_is_not_lost(corpus, tmp_path, monkeypatch):
    run, save = RunDirectory(tmp_path / "run"), Checkpointer.save

    def stopped_meanwhile(checkpointer, step):
        save(checkpointer, step)
        run.set_command("stop")

    monkeypatch.setattr(Checkpointer, "save", stopped_meanwhile)
    at = lambda stage, step: run.set_command("checkpoint") if step == 4 else None  # noqa: E731
    assert fit_autoencoder(tiny(), corpus, run.path, progress=False, callback=at) is None
    assert load_checkpoint(run.checkpoints / "autoencoder" / "latest", "autoencoder")[1]["step"] < 8


def test_what_was_logged_before_the_first_checkpoint_is_logged_once(corpus, tmp_path):
    log = RunDirectory(tmp_path / "run").path / "metrics.jsonl"
    log.write_text('{"stage": "autoencoder", "step": 20, "loss": 1.0}\n{"stage": "autoencoder", "st{"step": 1}\n')
    assert fit_autoencoder(tiny(), corpus, tmp_path / "run", progress=False) is not None
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [12]


def test_one_crystal_is_enough_to_try(tmp_path):
    salt = Crystal(np.eye(3) * 4.1, [55, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert fit_autoencoder(tiny(), [salt], tmp_path / "run", progress=False) is not None


def test_a_kill_between_the_two_files_of_a_checkpoint_costs_only_steps(corpus, tmp_path):
    def at(stage, step):
        if step in (4, 8):
            RunDirectory(tmp_path / "torn").set_command("checkpoint" if step == 4 else "stop")

    recipe, latest = tiny(), tmp_path / "torn/checkpoints/autoencoder/latest.safetensors"
    assert fit_autoencoder(recipe, corpus, tmp_path / "torn", progress=False, callback=at) is None
    assert load_checkpoint(latest.with_suffix(""), "autoencoder")[1]["step"] == 8
    shutil.copy(latest.with_name("latest.previous.safetensors"), latest)  # words of one, tensors of the other
    with pytest.warns(UserWarning, match="using latest.previous instead"):
        torn = fit_autoencoder(recipe, corpus, tmp_path / "torn", progress=False)
    whole = fit_autoencoder(recipe, corpus, tmp_path / "whole", progress=False)
    assert all(torch.equal(one, other) for one, other in zip(torn.parameters(), whole.parameters(), strict=True))


@pytest.mark.filterwarnings("ignore:.*precision.*:UserWarning")
def test_every_engine_trains_alike(corpus, tmp_path):
    recipe = override(tiny(6), autoencoder__optimiser__name="adam", diffuser__optimiser__name="adam")
    results = {}
    for name, engine in {"literal": ExecutionConfig(), "recomputed": ExecutionConfig(checkpointing=True),
                         "fused": ExecutionConfig(fused=True), "bf16": ExecutionConfig("bf16")}.items():
        assert fit(override(recipe, engine=engine), corpus, tmp_path / name, progress=False)
        log = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        results[name] = torch.tensor([row["loss"] for row in log])
    assert torch.equal(results["literal"], results["recomputed"])
    assert torch.allclose(results["literal"], results["fused"], rtol=1e-4)
    assert torch.allclose(results["literal"], results["bf16"], rtol=2e-2) and not torch.equal(results["literal"], results["bf16"])


def test_self_conditioning_reaches_the_weights_and_the_sampler(corpus, tmp_path):
    recipe = override(tiny(20), diffuser__model__self_conditioning=True)
    assert fit(recipe, corpus, tmp_path / "run", devices=2, progress=False)
    diffuser, schedule = load_diffuser(tmp_path / "run/weights")
    x, level = torch.randn(2, len(diffuser.tau), dtype=torch.complex64), torch.tensor([0.5])
    c, s = schedule.coefficients(level)
    with torch.no_grad():
        without, given = diffuser(x, level, c, s).mean, diffuser(x, level, c, s, previous=x).mean
    assert not torch.allclose(without, given)
    seen: list[torch.Tensor | None] = []
    known = denoiser(diffuser, schedule)
    watched = lambda x, phi, previous=None: (seen.append(previous), known(x, phi, previous))[1]  # noqa: E731
    noise = LadderNoise(diffuser.tau, diffuser.selector, sample_generators(0, [0, 1]))
    get_sampler("ancestral")(watched, schedule, noise, noise_levels(3))
    assert seen[0] is None and all(previous is not None for previous in seen[1:])


def test_what_cannot_be_trained_says_so(corpus, tmp_path):
    with pytest.raises(RecipeError, match="devices"):
        make_fabric(0)
    with pytest.raises(RecipeError, match="prepared Corpus"):
        fit(tiny(), [corpus[0].crystal], tmp_path / "a", devices=2)
    with pytest.raises(RecipeError, match="no training crystal has an e_above_hull"):
        fit(override(tiny(4), fine_tune=FineTuneStage(steps=2)), corpus, tmp_path / "b", progress=False)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_autoencoder(Path(tmp_path))


def test_the_strain_of_decoded_cells_counts_shapes_not_sizes(corpus):
    crystals = CrystalDataset(corpus.split("train"), FourierBasis(5), 24)
    torch.manual_seed(0)
    model = Autoencoder(tiny().autoencoder.model).eval()

    def strain_of(change: list[float]) -> float:
        """The strain measured if every decoded lattice were the true one plus `change`."""
        asked: list[torch.Tensor] = []
        encode, decode = model.encode, model.decode
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(model, "encode", lambda lattice, *rest: (asked.append(lattice), encode(lattice, *rest))[1])
            patch.setattr(model, "decode", lambda mu: replace_lattice(decode(mu), asked[-1] + torch.tensor(change)))
            return lattice_strain(model, crystals)

    assert strain_of([0.0] * 6) < 1e-5 and strain_of([0.05, 0.05, 0.05, 0, 0, 0]) < 1e-5
    assert 0.015 < strain_of([0.02, -0.02, 0, 0, 0, 0]) < 0.025
    assert lattice_strain(model, crystals) == lattice_strain(model, crystals) > 0.03, "untrained"


def replace_lattice(decoded, lattice):
    """`decoded` with another lattice."""
    return decoded._replace(lattice=lattice.float())


def test_a_conditioned_run_trains_all_three_stages_and_samples_what_it_asked_for(corpus, tmp_path):
    base = tiny()
    told = replace(base.diffuser.model, conditions=ConditionConfig(max_atomic_number=103))
    recipe = override(base, autoencoder__model__max_atomic_number=103, diffuser__model=told, diffuser__guide_at=0.5,
                      diffuser__guidance=1.5, composition=CompositionStage(
                          CompositionConfig(d_hidden=16, max_atomic_number=103), steps=10, batch_size=16))
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert fit(recipe, corpus, tmp_path / "run", progress=False)
    generator = load_generator(tmp_path / "run")
    assert generator.max_atomic_number == 103 and generator.composer is not None
    result = generator.sample(2, seed=3, steps=4, progress=False)
    again = generator.sample(1, seed=3, steps=4, first=1, batch_size=1, recovery=UNSOUGHT, progress=False)
    table = result.table
    assert table["asked"].notna().all() and torch.equal(again.asked.counts, result.asked.counts[1:])
    for crystal, row in zip(result.crystals, table.itertuples(), strict=True):
        assert row.met == (crystal is not None), "recovery keeps to the composition, or rejects"
        assert crystal is None or crystal.formula == row.asked
    plain = generator.sample(2, seed=3, steps=4, compositions="open", recovery=UNSOUGHT, progress=False)
    assert plain.asked is None and "asked" not in plain.table
    with pytest.raises(RecipeError, match="compositions must be one of first, open"):
        generator.sample(2, steps=4, compositions="last", progress=False)
    with pytest.raises(CheckpointError, match="composition"):
        check_recipe(tmp_path / "run" / "weights", override(recipe, composition__model__d_hidden=8))
    alone = replace(generator, guide=None)
    how = {"seed": 3, "steps": 4, "recovery": UNSOUGHT, "progress": False}
    weights = {w: alone.sample(2, guidance=w, **how).ladders for w in (1.0, 2.0)}
    itself = replace(generator, guide=generator.diffuser).sample(2, guidance=2.0, **how).ladders
    assert torch.equal(weights[2.0], itself) and not torch.equal(weights[1.0], itself), "with and without conditions"
    dropped = [alone.sample(2, guidance=w, compositions="open", **how).ladders for w in (1.0, 2.0)]
    assert torch.equal(*dropped), "without conditions both estimates are one"


def test_elements_beyond_the_model_are_refused_with_the_remedy(tmp_path):
    uranium = Crystal(4 * np.eye(3), [92], [[0, 0, 0]])
    assert encode([uranium], FourierBasis(3), 24).reasons == ("element",)
    heavy = encode([uranium], FourierBasis(3), 24, max_atomic_number=103)
    assert heavy.reasons == (None,) and heavy.species[0].tolist() == [92, 0, 0, 0, 0, 0]
    with pytest.raises(CorpusError, match="largest atomic number here is 83"):
        fit_autoencoder(override(tiny(2), diffuser=None), [uranium] * 8, tmp_path / "run", progress=False)
    recipe = override(tiny(2), diffuser=None, autoencoder__model__max_atomic_number=103)
    assert fit_autoencoder(recipe, [uranium] * 8, tmp_path / "heavy", progress=False) is not None
    back = load_generator(tmp_path / "heavy").reconstruct([uranium])
    assert back.decoded.species_logits.shape == (1, 6, 104)
