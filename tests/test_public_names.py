"""The names other people's code relies on: they stay, with the arguments they are called with."""

import importlib
import inspect

import pytest

NAMES = {
    "fourier_workbench": "Crystal",
    "fourier_workbench.representation": "FourierBasis FourierCrystals Recovery density encode lattice_to_log "
    "log_to_lattice recover snap",
    "fourier_workbench.data": "Corpus load_crystals prepare_corpus",
    "fourier_workbench.model": "Autoencoder Diffuser",
    "fourier_workbench.diffusion": "SAMPLERS InformationMatchedSchedule",
    "fourier_workbench.training": "Run fit_autoencoder fit_diffuser recipes",
    "fourier_workbench.generation": "evaluate load_generator",
    "fourier_workbench.cli": "main",
}
ARGUMENTS = {
    "fourier_workbench.Crystal": "lattice numbers frac_coords",
    "fourier_workbench.representation.encode": "crystals basis grid shear",
    "fourier_workbench.representation.density": "coefficients basis grid",
    "fourier_workbench.representation.recover": "basis grid method tolerance policy",
    "fourier_workbench.representation.FourierCrystals": "lattice species coefficients",
    "fourier_workbench.data.prepare_corpus": "source out_dir basis grid workers scheduler",
    "fourier_workbench.training.fit_autoencoder": "recipe corpus directory",
    "fourier_workbench.training.fit_diffuser": "recipe corpus directory",
    "fourier_workbench.generation.evaluate": "reference",
}
RECIPES = "laptop paper_baseline paper_nhead10"


@pytest.mark.parametrize("module", NAMES)
def test_public_names_are_there(module: str) -> None:
    found = importlib.import_module(module)
    missing = [name for name in NAMES[module].split() if not hasattr(found, name)]
    assert not missing


@pytest.mark.parametrize("path", ARGUMENTS)
def test_public_functions_take_these_arguments(path: str) -> None:
    module, name = path.rsplit(".", 1)
    taken = inspect.signature(getattr(importlib.import_module(module), name)).parameters
    assert set(ARGUMENTS[path].split()) <= set(taken)


def test_recipes_are_functions_that_return_a_full_configuration() -> None:
    recipes = importlib.import_module("fourier_workbench.training").recipes
    made = {name: getattr(recipes, name)() for name in RECIPES.split()}
    assert all(hasattr(recipe, stage) for recipe in made.values() for stage in ("autoencoder", "diffuser", "fine_tune"))
