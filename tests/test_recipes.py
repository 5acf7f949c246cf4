"""Recipes and what they cost: the counts are the networks' own, every row of the paper's tables is a full configuration."""

import csv
import itertools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from fourier_workbench.config.paper_tables import COLUMNS, TABLES, paper_table, row_recipe
from fourier_workbench.config.recipes import RECIPES, get_recipe, h200, laptop, paper_baseline, workstation
from fourier_workbench.config.schema import AutoencoderLoss, Recipe, override
from fourier_workbench.errors import RecipeError
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.attention import modulation_shapes
from fourier_workbench.model.execution import ExecutionConfig, accelerate
from fourier_workbench.model.ladder import channels_at
from fourier_workbench.training.cost import autoencoder_cost, cost, diffuser_cost
from fourier_workbench.training.losses import autoencoder_loss
from fourier_workbench.training.machines import MACHINES, Machine, get_machine, this_machine
from fourier_workbench.training.optimisation import warmup_cosine

SHAPES = st.builds(
    TransformerConfig, d_head=st.sampled_from([3, 6, 12]), n_heads=st.integers(1, 3), n_layers=st.integers(1, 3),
    mlp_ratio=st.sampled_from([1.0, 2.0, 2.5]), rms_bias=st.booleans(), head_scale=st.booleans(), mlp_bias=st.booleans(),
    modulus_gating=st.booleans(), value_rotation=st.booleans(), key_bias=st.booleans(),
    value_positions=st.sampled_from(["twelfths", "even"]),
)
CODERS = st.builds(
    AutoencoderConfig, SHAPES, bpd=st.sampled_from([3, 5]), truncation=st.sampled_from(["cubic", "spherical"]),
    tokens=st.sampled_from(["full", "half"]), n_aux=st.integers(1, 3), d_species=st.sampled_from([4, 32]),
    compression=st.just(2 / 1254), wave_embedding=st.booleans(),
)


def one_step(config: AutoencoderConfig, samples: int, engine: ExecutionConfig | None = None):
    "The autoencoder's network and a function that computes its loss."
    model = Autoencoder(config)
    accelerate(model, engine or ExecutionConfig())
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
    work = autoencoder_cost(config)
    assert work.parameters == sum(p.numel() for p in model.parameters())
    assert work.both == pytest.approx(counted(step) / 2, rel=1e-3)


@settings(max_examples=8, deadline=None)
@given(SHAPES, st.booleans(), st.booleans(), st.sampled_from([0, 3, 5]), st.sampled_from(["full", "half"]))
def test_the_diffuser_is_counted_as_it_is(shape, maps, again, scratch, layout) -> None:
    rung = shape.d_model + 4 * maps
    config = DiffuserConfig(shape, (2, 2, rung), scratch, layout, token_maps=maps, self_conditioning=maps and again)
    model = Diffuser(config)
    work = diffuser_cost(config)
    assert work.parameters == sum(p.numel() for p in model.parameters())
    x, share = torch.randn(2, 4 * rung) + 0j, torch.full((4 * rung,), 0.7)

    def step():
        return torch.view_as_real(model(x, torch.tensor([0.5]), share, share).noise).square().sum()

    controls = sum(math.prod(size) for size in modulation_shapes(model.network.config.transformer, 4).values())
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
    assert autoencoder_cost(config, half_precision=half).activations == pytest.approx((sizes[1] - sizes[0]) / 4, rel=0.12)


def test_checkpointing_keeps_less_and_computes_more() -> None:
    config = paper_baseline().autoencoder.model
    plain, again = autoencoder_cost(config), autoencoder_cost(config, checkpointing=True)
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
    one, other = h200().autoencoder, paper_baseline().autoencoder
    assert abs(one.steps * one.batch_size - other.steps * other.batch_size) < one.batch_size  # whole steps


def test_machines_are_named_or_measured() -> None:
    here = get_machine(None)
    assert here.measured and here.flops > 1e8 and here.bandwidth > 1e8 and "measured" in str(here)
    mine = Machine("mine", 1e12, 1e11, 1e9)
    assert get_machine(mine) is mine and cost(laptop(), mine).total_s > 0
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
        assert tuple(row.values) == table.columns and set(table.columns) <= set(COLUMNS)
        assert row_recipe(f"{name}:{row.slug}") == row.recipe == Recipe.from_json(row.recipe.to_json())
        swept = row.recipe.fine_tune or row.recipe.diffuser or row.recipe.autoencoder
        assert swept.steps == table.steps


def test_every_value_of_the_papers_tables_is_here() -> None:
    "Compared with a transcription of the ten tables: same rows, same order, same columns, same digits, nothing missing."
    with (Path(__file__).parent / "paper_tables.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    printed = [(line.pop("table"), line.pop("row"), {name: value for name, value in line.items() if value}) for line in lines]
    ours = [(table.name.removeprefix("table"), row.settings, {name: row.printed(name) for name in table.columns})
            for table in TABLES.values() for row in table.rows]
    assert ours == printed and len(printed) == 40
    assert [len(values) for _, _, values in printed].count(5) == 16  # Tables 1–3, 7 and 8
    assert all(isinstance(value, float) for table in TABLES.values() for row in table.rows for value in row.values.values())


def test_the_baseline_prunes_and_anneals_as_the_paper_does() -> None:
    stage = paper_baseline().autoencoder
    assert stage.steps == paper_baseline().diffuser.steps == 333_727 and stage.batch_size == 8
    channels = [channels_at(step / (stage.prune_until * stage.steps), stage.model.n_channels, stage.model.nnz_final)
                for step in (0, 80_000, 159_000, 160_000, 333_727)]
    assert channels[0] == 41_472 and channels[1] == (41_472 + 3_252) / 2 and channels[2] > channels[3] == channels[4] == 3_252
    rates = [stage.optimiser.lr * warmup_cosine(stage.optimiser, step, stage.steps) for step in (0, 1_000, 326_000, 333_727)]
    assert rates == pytest.approx([1e-7, 2e-4, 2e-5, 2e-5])


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
