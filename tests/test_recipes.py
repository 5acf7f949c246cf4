"""Recipes and what they cost: the counts are the networks' own, every row of the paper's tables is a full configuration."""

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fourier_workbench.errors import RecipeError
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.attention import control_shapes
from fourier_workbench.model.engine import EngineConfig, accelerate
from fourier_workbench.training.configuration import Recipe, override
from fourier_workbench.training.cost import autoencoder_work, cost, diffuser_work
from fourier_workbench.training.losses import AutoencoderLoss, autoencoder_loss
from fourier_workbench.training.machines import MACHINES, Machine, machine_named, this_machine
from fourier_workbench.training.paper_tables import COLUMNS, TABLES, paper_table, row_recipe
from fourier_workbench.training.recipes import RECIPES, get_recipe, h200, laptop, paper_baseline, workstation

SHAPES = st.builds(
    TransformerConfig, d_head=st.sampled_from([3, 6, 12]), n_heads=st.integers(1, 3), n_layers=st.integers(1, 3),
    mlp_ratio=st.sampled_from([1.0, 2.0, 2.5]), rms_bias=st.booleans(), head_scale=st.booleans(), mlp_bias=st.booleans(),
    modulus_gating=st.booleans(), value_rotation=st.booleans(), key_bias=st.booleans(),
    places=st.sampled_from(["twelfths", "even"]),
)
CODERS = st.builds(
    AutoencoderConfig, SHAPES, bpd=st.sampled_from([3, 5]), truncation=st.sampled_from(["cubic", "spherical"]),
    tokens=st.sampled_from(["full", "half"]), n_aux=st.integers(1, 3), d_species=st.sampled_from([4, 32]),
    compression=st.just(2 / 1254), anchors=st.booleans(),
)


def one_step(config: AutoencoderConfig, samples: int, engine: EngineConfig | None = None):
    "The autoencoder's network and a function that computes its loss."
    model = Autoencoder(config)
    accelerate(model, engine or EngineConfig())
    n = len(model.basis.half) if config.tokens == "half" else len(model.basis)
    inputs = torch.randn(samples, 6), torch.ones(samples, 6, dtype=torch.int64), torch.randn(samples, 6, n) + 0j
    noise = torch.randn(samples, 2 * config.n_channels)
    return model, lambda: autoencoder_loss(model, AutoencoderLoss(), *inputs, noise)[0]


def counted(step) -> float:
    "FLOP of a loss and its gradient, by PyTorch, which does not know the CPU's fused attention."
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        step().backward()
    return counter.get_total_flops()


@settings(max_examples=8, deadline=None)
@given(CODERS)
def test_the_autoencoder_is_counted_as_it_is(config: AutoencoderConfig) -> None:
    model, step = one_step(config, samples=2)
    work = autoencoder_work(config)
    assert work.parameters == sum(p.numel() for p in model.parameters())
    assert work.both == pytest.approx(counted(step) / 2, rel=1e-3)


@settings(max_examples=8, deadline=None)
@given(SHAPES, st.booleans(), st.booleans(), st.sampled_from([0, 3, 5]), st.sampled_from(["full", "half"]))
def test_the_diffuser_is_counted_as_it_is(shape, maps, again, scratch, layout) -> None:
    rung = shape.d_model + 4 * maps
    config = DiffuserConfig(shape, (2, 2, rung), scratch, layout, token_maps=maps, self_conditioning=maps and again)
    model = Diffuser(config)
    work = diffuser_work(config)
    assert work.parameters == sum(p.numel() for p in model.parameters())
    x, share = torch.randn(2, 4 * rung) + 0j, torch.full((4 * rung,), 0.7)

    def step():
        return torch.view_as_real(model(x, torch.tensor([0.5]), share, share).noise).square().sum()

    controls = sum(math.prod(size) for size in control_shapes(model.network.config.transformer, 4).values())
    steering = counted(step) - 2 * work.both  # two small products a control, once a step and not once a sample
    assert 0 <= steering <= 12 * controls * shape.n_layers


def kept_bytes(step, model) -> int:
    "Bytes that are kept between the two passes, weights left out."
    own = {p.untyped_storage().data_ptr() for p in itertools.chain(model.parameters(), model.buffers())}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes(), tensor  # held, so that no address is used twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("changes", [{}, {"mlp_ratio": 4.0}, {"value_rotation": True, "key_bias": True}])
def test_memory_a_sample_is_what_autograd_keeps(changes: dict, half: bool) -> None:
    config = AutoencoderConfig(TransformerConfig(12, 4, 3, **changes), bpd=5, n_aux=2, compression=2 / 1254)
    sizes = []
    for samples in (2, 6):  # what does not grow with the batch is the weights' business
        model, step = one_step(config, samples)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            sizes.append(kept_bytes(step, model))
    assert autoencoder_work(config, half_precision=half).activations == pytest.approx((sizes[1] - sizes[0]) / 4, rel=0.12)


def test_checkpointing_keeps_less_and_computes_more() -> None:
    config = paper_baseline().autoencoder.model
    plain, again = autoencoder_work(config), autoencoder_work(config, checkpointing=True)
    assert again.activations < plain.activations / 8 and again.parameters == plain.parameters
    assert 1.25 < again.both / plain.both < 1.4
    assert 1.0e9 < plain.activations < 1.3e9  # about 1.1 GB a sample at the paper's size


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_costs(name: str) -> None:
    recipe = get_recipe(name)
    found = cost(recipe, "h200")
    assert Recipe.from_json(recipe.to_json()) == recipe
    assert found.stages[0].name == "autoencoder" and found.total_s > 0
    text = str(found)
    assert "predicted" in text and f"{found.parameters:,}" in text and "stated" in text
    halves = cost(recipe, "h200", devices=2)
    assert halves.total_s <= found.total_s and halves.memory < found.memory and halves.stages[0].flop == found.stages[0].flop


def test_recipes_for_cards_fit_on_them() -> None:
    assert cost(h200(), "h200").memory < MACHINES["h200"].memory
    assert cost(workstation(), "rtx4090").memory < MACHINES["rtx4090"].memory
    too_much = override(workstation(), autoencoder__batch_size=4096)
    assert "lower batch_size" in str(cost(too_much, "rtx4090"))
    seen = h200().autoencoder.steps * h200().autoencoder.batch_size
    assert seen == paper_baseline().autoencoder.steps * paper_baseline().autoencoder.batch_size


def test_machines_are_named_or_measured() -> None:
    here = machine_named(None)
    assert here.measured and here.flops > 1e8 and here.bandwidth > 1e8 and "measured" in str(here)
    mine = Machine("mine", 1e12, 1e11, 1e9)
    assert machine_named(mine) is mine and cost(laptop(), mine).total_s > 0
    with pytest.raises(RecipeError, match="no machine 'abacus'; give one of h200"):
        cost(laptop(), "abacus")
    with pytest.raises(RecipeError, match="must be positive"):
        Machine("none", 0.0, 1.0, 1.0)


def test_a_gpu_is_measured_by_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    "A process that has touched a GPU may keep the one that is to train from it."
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda *_: pytest.fail("measured here"))
    this_machine.cache_clear()
    found = this_machine(half_precision=True)
    this_machine.cache_clear()
    assert found.measured and found.flops > 1e8  # the other process finds the CPU of this machine


@pytest.mark.parametrize("name", TABLES)
def test_every_row_of_the_paper_is_a_recipe(name: str) -> None:
    table = paper_table(name)
    assert paper_table(name.removeprefix("table")).name == name
    assert len({row.slug for row in table.rows}) == len(table.rows)
    assert table.reference in [row.settings for row in table.rows] and table.column in COLUMNS
    for row in table.rows:
        assert set(row.values) <= set(COLUMNS) and (row.values or row.note)
        assert row_recipe(f"{name}:{row.slug}") == row.recipe == Recipe.from_json(row.recipe.to_json())
        swept = row.recipe.fine_tune or row.recipe.diffuser or row.recipe.autoencoder
        assert swept.steps == table.steps


def test_the_toggles_change_one_at_a_time() -> None:
    rows = [row.settings for row in paper_table(6).rows]
    for one, two in zip(rows, rows[1:] + rows[:1], strict=True):
        assert sum(a != b for a, b in zip(one, two, strict=True)) == 1


def test_recipes_that_are_none_name_those_that_are() -> None:
    with pytest.raises(RecipeError, match=r"no recipe tablet.*laptop"):
        get_recipe("tablet")
    with pytest.raises(RecipeError, match="no table 'table12'; give one of table1"):
        get_recipe("table12:x")
    with pytest.raises(RecipeError, match="table6 has no row 'xyz'; give one of fffff"):
        get_recipe("table6:xyz")
    with pytest.raises(RecipeError):
        replace(laptop(), diffuser=None, fine_tune=paper_baseline().fine_tune)
