"""The names other people's code relies on: they stay, with the arguments they are called with, where they were first found."""

import importlib
import subprocess
import sys

import griffe
import pytest

from project import LIBRARY, ROOT

# Imports of the public interface, and of README, tutorials, how-tos and explanations before the rooms were arranged as they are.
IMPORTS = {
    "fourier_workbench": "Crystal",
    "fourier_workbench.cli": "main",
    "fourier_workbench.data": "Corpus CrystalLoader Funnel Sample load_crystals prepare_corpus",
    "fourier_workbench.data.funnel": "Funnel funnel_figure",
    "fourier_workbench.diffusion": "SAMPLERS InformationMatchedSchedule",
    "fourier_workbench.errors": "CheckpointError CrystalError",
    "fourier_workbench.generation": "Generator Recovering SampleResult evaluate evaluate_reconstruction load_generator shipped",
    "fourier_workbench.generation.evaluate": "compare evaluate",
    "fourier_workbench.model": "Autoencoder Diffuser",
    "fourier_workbench.model.ladder": "channels_at final_channels",
    "fourier_workbench.representation": "FourierBasis FourierCrystals Recovery density encode lattice_to_log log_to_lattice "
    "recover snap snap_symmetric symmetry_operations transform",
    "fourier_workbench.representation.fourier": "FourierBasis coefficients_from_nodes encode",
    "fourier_workbench.training": "Run fit_autoencoder fit_diffuser get_recipe load_autoencoder recipes",
    "fourier_workbench.training.configuration": "override",
    "fourier_workbench.training.cost": "cost",
    "fourier_workbench.training.data_tables": "data_table",
    "fourier_workbench.training.devices": "layout",
    "fourier_workbench.training.paper_tables": "COLUMNS TABLES paper_table",
    "fourier_workbench.training.recipes": "paper_baseline paper_nhead10",
    "fourier_workbench.training.reproduce": "prepared reproduce",
    "fourier_workbench.training.scale": "Scale",
    "fourier_workbench.widgets": "curves_figure density_figure explore gallery gallery_figure play show_ladder show_report step "
    "trajectory_figure truncation watch wave_figure",
}
ARGUMENTS = {
    "crystal.Crystal": "lattice numbers frac_coords",
    "representation.encode.encode": "crystals basis grid shear",
    "representation.coefficients.density": "coefficients basis grid",
    "representation.recovery.recover.recover": "fc basis grid method tolerance policy",
    "representation.coefficients.FourierCrystals": "lattice species coefficients",
    "data.preparation.prepare.prepare_corpus": "source out_dir basis grid workers scheduler",
    "training.fitting.fit_autoencoder": "recipe corpus directory",
    "training.fitting.fit_diffuser": "recipe corpus directory",
    "evaluation.evaluate.evaluate": "reference",
    "generation.generator.Generator.sample": "n seed steps sampler",
}
RECIPES = "laptop paper_baseline paper_nhead10"


@pytest.fixture(scope="module")
def package() -> griffe.Object | griffe.Alias:
    "The package as its source declares it, read and not imported."
    return griffe.load(LIBRARY.name, search_paths=[ROOT], allow_inspection=False)


@pytest.mark.parametrize("module", IMPORTS)
def test_names_are_found_where_they_were(module: str) -> None:
    found = importlib.import_module(module)
    assert not [name for name in IMPORTS[module].split() if not hasattr(found, name)]


@pytest.mark.parametrize("path", ARGUMENTS)
def test_public_functions_take_these_arguments(package: griffe.Object | griffe.Alias, path: str) -> None:
    assert set(ARGUMENTS[path].split()) <= {parameter.name for parameter in package[path].parameters}


def test_recipes_are_functions_that_return_a_full_configuration() -> None:
    recipes = importlib.import_module("fourier_workbench.training").recipes
    made = {name: getattr(recipes, name)() for name in RECIPES.split()}
    assert all(hasattr(recipe, stage) for recipe in made.values() for stage in ("autoencoder", "diffuser", "fine_tune"))


def test_every_module_that_moved_is_found_and_nothing_else_is() -> None:
    moved = importlib.import_module("fourier_workbench._moved")
    for old, new in moved.MOVED.items():
        assert not LIBRARY.joinpath(*old.split(".")).with_suffix(".py").exists(), f"{old} is there itself"
        importlib.import_module(f"fourier_workbench.{old}")
        for module in new.split():
            importlib.import_module(f"fourier_workbench.{module}")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("fourier_workbench.training.no_such_module")
    with pytest.raises(AttributeError, match="no_such_name"):
        importlib.import_module("fourier_workbench.training.scale").no_such_name  # noqa: B018


def test_names_that_changed_are_found_under_the_old_ones() -> None:
    for old, new in importlib.import_module("fourier_workbench._moved").RENAMED.items():
        module, _, name = old.rpartition(".")
        assert getattr(importlib.import_module(f"fourier_workbench.{module}"), name).__name__ == new


def test_a_function_keeps_its_place_beside_a_module_of_its_name() -> None:
    code = (
        "from fourier_workbench.generation.evaluate import compare\n"
        "from fourier_workbench.generation import evaluate\n"
        "from fourier_workbench import Crystal\n"
        "print(evaluate([Crystal([[3, 0, 0], [0, 3, 0], [0, 0, 3]], [11], [[0, 0, 0]])], compare=0, workers=1))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True)
    assert "valid" in done.stdout, done.stderr
