"""Training across processes: shared batches give the result of one process, and a kill in the middle changes nothing."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fourier_workbench.data import Corpus, prepare_corpus
from fourier_workbench.errors import CheckpointError, RecipeError
from fourier_workbench.representation import FourierBasis
from fourier_workbench.training import fit, load_autoencoder, load_diffuser, override
from fourier_workbench.training.configuration import FineTuneStage, Recipe
from fourier_workbench.training.recipes import laptop
from fourier_workbench.training.stages import make_fabric


def tiny(steps: int = 12) -> Recipe:
    """The laptop recipe in miniature, every part switched on."""
    base = override(laptop(), diffuser=None, autoencoder__model__transformer__n_heads=1,
                    autoencoder__model__compression=24 / 1254, autoencoder__steps=steps,
                    autoencoder__batch_size=8, autoencoder__prune_every=4)
    model = replace(laptop().diffuser.model, ladder_shape=base.autoencoder.model.ladder_shape,
                    transformer=base.autoencoder.model.transformer)
    return override(base, diffuser=replace(laptop().diffuser, model=model, steps=steps, batch_size=8))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    """Small embedded prototypes."""
    return prepare_corpus("embedded", tmp_path_factory.mktemp("corpus") / "c", FourierBasis(5), 24, limit=60, max_sites=8,
                          deduplicate=False, progress=False)


def test_two_processes_give_the_result_of_one(corpus, tmp_path):
    assert fit(tiny(), corpus, tmp_path / "one", progress=False)
    assert fit(tiny(), corpus, tmp_path / "two", processes=2, progress=False)
    for load in (load_autoencoder, lambda folder: load_diffuser(folder)[0]):
        one, two = (load(tmp_path / name / "weights").state_dict() for name in ("one", "two"))
        for name, value in one.items():
            if value.is_floating_point():
                assert torch.allclose(value, two[name], atol=2e-3), name
            else:
                assert torch.equal(value, two[name]), name
    logs = [(tmp_path / name / "metrics.jsonl").read_text().splitlines() for name in ("one", "two")]
    rows = [[json.loads(line) for line in log] for log in logs]
    assert [row["step"] for row in rows[0]] == [row["step"] for row in rows[1]]
    assert rows[0][0]["loss"] == pytest.approx(rows[1][0]["loss"], rel=2e-2)


def test_a_killed_run_ends_in_the_same_bits(corpus, tmp_path):
    recipe, script = tiny(60), tmp_path / "train.py"
    assert fit(recipe, corpus, tmp_path / "straight", progress=False)
    script.write_text(
        "import sys\nfrom fourier_workbench.data import Corpus\nfrom fourier_workbench.training import fit_autoencoder, Recipe\n"
        "from fourier_workbench.training.checkpoints import RunDirectory\n"
        "run = RunDirectory(sys.argv[3])\n"
        "ask = lambda stage, step: run.answer('checkpoint') if step == 20 else None\n"
        "fit_autoencoder(Recipe.from_json(sys.argv[1]), Corpus(sys.argv[2]), sys.argv[3], progress=False, callback=ask)\n")
    recipe.to_json(tmp_path / "recipe.json")
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, script, tmp_path / "recipe.json", corpus.path, folder])
    saved = folder / "checkpoints" / "autoencoder" / "latest.json"
    while not saved.is_file() and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert fit(recipe, corpus, folder, progress=False)
    for load in (load_autoencoder, lambda path: load_diffuser(path)[0]):
        straight, killed = (load(tmp_path / name / "weights").state_dict() for name in ("straight", "killed"))
        assert all(torch.equal(straight[name], killed[name]) for name in straight)


def test_what_cannot_be_trained_says_so(corpus, tmp_path):
    with pytest.raises(RecipeError, match="processes"):
        make_fabric(0)
    with pytest.raises(RecipeError, match="prepared Corpus"):
        fit(tiny(), [corpus[0].crystal], tmp_path / "a", processes=2)
    with pytest.raises(RecipeError, match="no training crystal has an e_above_hull"):
        fit(override(tiny(4), fine_tune=FineTuneStage(steps=2)), corpus, tmp_path / "b", progress=False)
    with pytest.raises(CheckpointError, match="no checkpoint"):
        load_autoencoder(Path(tmp_path))
