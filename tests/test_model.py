"""Properties of the networks and the noise that hold for every toggle and size."""

import copy
import itertools
import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._dynamo.utils import counters

from fourier_workbench.config.recipes import laptop
from fourier_workbench.config.schema import Recipe
from fourier_workbench.crystal import Crystal
from fourier_workbench.diffusion import InformationMatchedSchedule, radial_laplace, sample_generators
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model import execution as engines
from fourier_workbench.model.attention import Block, LearnedModulation
from fourier_workbench.model.execution import ExecutionConfig, accelerate
from fourier_workbench.model.ladder import Ladder
from fourier_workbench.model.layers import ComplexLinear, to_complex
from fourier_workbench.representation import FourierBasis, encode
from fourier_workbench.training.losses import mode_weights

TOGGLES = ("rms_bias", "head_scale", "mlp_bias", "modulus_gating", "value_rotation", "key_bias")


@pytest.mark.parametrize("on", list(itertools.product([False, True], repeat=2)) + [(True,) * 6, (False,) * 6], ids=str)
def test_every_toggle_trains(on):
    torch.manual_seed(0)
    toggles = dict(zip(TOGGLES, itertools.cycle(on), strict=False))
    shape = TransformerConfig(d_head=3, n_heads=2, n_layers=2, **toggles)
    model = Autoencoder(AutoencoderConfig(shape, bpd=3, tokens="half", n_aux=2, compression=0.02))
    z = torch.randn(2, model.config.n_channels, dtype=torch.complex64)
    decoded = model.decode(z)
    (decoded.coefficients.abs().square().sum() + decoded.lattice.sum() + decoded.species_logits.square().sum()).backward()
    idle = [n for n, p in model.decoder.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not idle
    basis = model.basis
    assert torch.allclose(decoded.coefficients, decoded.coefficients[..., basis.conjugate].conj())
    assert decoded.coefficients[..., basis.zero].imag.abs().max() < 1e-6


def test_full_and_half_tokens_decode_to_the_same_kind_of_coefficients():
    shape = TransformerConfig(d_head=3, n_heads=1, n_layers=1)
    for tokens, count in (("full", 27), ("half", 14)):
        model = Autoencoder(AutoencoderConfig(shape, bpd=3, tokens=tokens, n_aux=2, compression=0.004))
        assert model.decoder.tokens.shape[0] == 2 + 1 + count
        assert model.decode(torch.zeros(1, 6, dtype=torch.complex64)).coefficients.shape == (1, 6, 27)


@settings(max_examples=30)
@given(st.floats(1e-3, 1e3), st.floats(-6, 2), st.floats(0, 1))
def test_the_schedule_shares_the_variance(tau, log_sigma, phi):
    schedule = InformationMatchedSchedule(torch.tensor([tau]), torch.tensor([log_sigma]))
    c, s = schedule.coefficients(torch.tensor(phi))
    assert float(c**2 + s**2) == pytest.approx(1, abs=1e-5)
    assert 0 <= float(s) <= 1


@settings(max_examples=20)
@given(st.integers(2, 40), st.data())
def test_pruning_leaves_exactly_what_is_asked(n, data):
    ladder = Ladder(n)
    with torch.no_grad():
        ladder.mask.copy_(torch.tensor(data.draw(st.lists(st.sampled_from([0.0, 0.5, -0.5, 1.0]), min_size=n, max_size=n))))
    keep = n
    while keep > 1:
        keep = data.draw(st.integers(1, keep))
        ladder.prune(keep)
        assert ladder.nnz == keep
        left, gone = ladder.mask.abs()[ladder.selector], ladder.mask.abs()[~ladder.selector]
        assert not len(gone) or gone.max() <= left.min()


def test_noise_of_a_sample_depends_on_seed_and_index_alone():
    tau = torch.rand(7) + 0.1
    whole = radial_laplace(tau, 6, sample_generators(2, range(6)))
    assert torch.equal(whole[4:], radial_laplace(tau, 2, sample_generators(2, [4, 5])))
    assert not torch.equal(whole, radial_laplace(tau, 6, sample_generators(3, range(6))))


@pytest.mark.parametrize("shared", [True, False])
def test_levels_shared_or_per_sample_agree(shared):
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=1, n_layers=2)
    diffuser = Diffuser(DiffuserConfig(shape, (2, 2, 6), scratch_bpd=3, scratch_tokens="half", output="skip"))
    for parameter in diffuser.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    schedule = InformationMatchedSchedule(torch.ones(24), torch.full((24,), -1.0))
    x = torch.randn(3, 24, dtype=torch.complex64)
    one = torch.tensor([0.37])
    phi = one if shared else one.expand(3)
    reference = torch.cat([diffuser(x[i : i + 1], one, *schedule.coefficients(one)).mean for i in range(3)])
    assert torch.allclose(diffuser(x, phi, *schedule.coefficients(phi)).mean, reference, atol=1e-5)


def test_steering_by_noise_level_reaches_every_control():
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=2, n_layers=1)
    diffuser = Diffuser(DiffuserConfig(shape, (1, 3, 12), scratch_bpd=3, output="skip"))
    schedule = InformationMatchedSchedule(torch.ones(36), torch.full((36,), -1.0))
    phi = torch.tensor([0.3])
    diffuser(torch.randn(2, 36, dtype=torch.complex64), phi, *schedule.coefficients(phi)).noise.abs().sum().backward()
    controls = dict(diffuser.network.modulations[0].tensors.items())
    assert set(controls) == {"phases", "attention_bias", "mlp_norm_bias", "mlp_bias", "head_scale"}
    for name, tensor in controls.items():
        weights = torch.tensor([0.7**2, 2 * 0.3 * 0.7, 0.3**2])
        at = tensor.grad.flatten(1).abs().sum(1)
        assert torch.allclose(at / at.sum(), weights, atol=1e-4), name


@settings(max_examples=20)
@given(st.lists(st.tuples(*[st.integers(0, 23)] * 3), min_size=1, max_size=6, unique=True), st.sampled_from([3, 5, 7, 9]))
def test_half_the_modes_carry_all_information(nodes, bpd):
    """365 tokens are 729: the other modes are read off them, and the loss is what it is on all of them."""
    basis = FourierBasis(bpd)
    assert 2 * len(basis.half) - 1 == len(basis) == bpd**3
    crystal = Crystal(4 * np.eye(3), [8] * len(nodes), np.array(nodes) / 24)
    fourier = encode([crystal], basis, 24)
    assert not any(fourier.reasons or ())
    full, half = fourier.coefficients, basis.to_half(fourier.coefficients)
    again = basis.to_full(half)
    assert torch.allclose(again, full, atol=1e-5) and torch.equal(basis.to_half(again), half)
    guess = basis.hermitian(torch.randn(full.shape, dtype=torch.complex64))
    error = (guess - full).abs().square()
    on_half = (basis.to_half(guess) - half).abs().square() * mode_weights(len(basis.half), len(basis))
    assert torch.allclose(on_half.sum(-1), error.mean(-1), rtol=1e-4)


def small(**toggles) -> Autoencoder:
    torch.manual_seed(0)
    shape = TransformerConfig(d_head=6, n_heads=2, n_layers=2, **toggles)
    return Autoencoder(AutoencoderConfig(shape, bpd=3, tokens="half", n_aux=2, compression=0.02))


def gradients(model: Autoencoder) -> list[torch.Tensor]:
    "Gradients of an encoded and decoded batch."
    generator = torch.Generator().manual_seed(1)
    lattice, species = torch.randn(3, 6, generator=generator), torch.randint(0, 84, (3, 6), generator=generator)
    alpha = model.basis.hermitian(torch.randn(3, 6, 27, dtype=torch.complex64, generator=generator))
    decoded = model.decode_tokens(model.encode_tokens(lattice, species, model.token_coefficients(alpha)))
    loss = decoded.coefficients.abs().square().sum() + decoded.lattice.square().sum() + decoded.species_logits.square().sum()
    loss.backward()
    return [p.grad for p in model.parameters() if p.grad is not None]


def test_recomputed_activations_change_no_gradient():
    toggles = {"value_rotation": True, "key_bias": True, "modulus_gating": True}
    plain, thrifty = small(**toggles), small(**toggles)
    accelerate(thrifty, ExecutionConfig(checkpointing=True))
    assert plain.state_dict().keys() == thrifty.state_dict().keys()
    for one, other in zip(gradients(plain), gradients(thrifty), strict=True):
        assert torch.equal(one, other)


def test_compiled_blocks_share_their_code_and_give_the_same_numbers():
    shape = TransformerConfig(d_head=6, n_heads=2, n_layers=2, rms_bias=False, modulus_gating=True, value_rotation=True)
    torch.manual_seed(0)
    blocks = [Block(shape, 3, FourierBasis(3).wave_vectors, level) for level in range(3)]
    controls, x = LearnedModulation(shape, 3), torch.randn(2, 30, 24)
    expected = [torch.autograd.grad(block(x, controls()).square().sum(), list(block.parameters())) for block in blocks]
    before = counters["stats"]["unique_graphs"]
    for block, gradient in zip(blocks, expected, strict=True):
        accelerate(block, ExecutionConfig(compile=True, checkpointing=True))
        found = torch.autograd.grad(block(x, controls()).square().sum(), list(block.parameters()))
        for one, other in zip(gradient, found, strict=True):
            assert torch.allclose(one, other, rtol=1e-3, atol=1e-4 * float(one.abs().max()))
    assert counters["stats"]["unique_graphs"] == before + 2, "one for the check of the compiler, one for all blocks"


def test_without_a_compiler_training_continues_and_warns(monkeypatch):
    monkeypatch.setattr(engines, "compiler_problem", lambda device: "no C++ compiler found")
    model = small()
    with pytest.warns(UserWarning, match=r"uncompiled.*no C\+\+ compiler.*install"):
        accelerate(model, ExecutionConfig(compile=True))
    assert all(torch.equal(one, other) for one, other in zip(gradients(model), gradients(small()), strict=True))


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_three_products_are_four(d_in, d_out, seed):
    torch.manual_seed(seed)
    layer, x = ComplexLinear(d_in, d_out), torch.randn(4, 2 * d_in)
    assert torch.allclose(to_complex(layer.three_products(x)), to_complex(x) @ to_complex(layer.weight).T, atol=1e-5)
    assert torch.allclose(layer.three_products(x), layer(x), atol=1e-5)


def test_only_wide_maps_use_three_products():
    wide, narrow = ComplexLinear(engines.GAUSS_WIDTH, engines.GAUSS_WIDTH), ComplexLinear(8, engines.GAUSS_WIDTH)
    for layer in (wide, narrow):
        accelerate(layer, ExecutionConfig(gauss=True))
    assert wide.gauss and not narrow.gauss


def test_half_precision_keeps_coefficients_and_normalisation_whole():
    model, kinds = small(), {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: kinds.update({name: getattr(out, "dtype", None)}))
    lattice, species = torch.randn(2, 6), torch.ones(2, 6, dtype=torch.int64)
    with torch.autocast("cpu", torch.bfloat16):
        model.decode_tokens(model.encode_tokens(lattice, species, torch.randn(2, 6, 14, dtype=torch.complex64)))
    whole = ("fourier_map", "global_map", "fourier_head", "lattice_head", "species_head", "norm", "blocks.0", "blocks.1")
    assert all(kind == torch.float32 for name, kind in kinds.items() if name.endswith(whole)), kinds
    cast = ("qkv", "gate_up", "down", "attention.out")
    assert all(kind == torch.bfloat16 for name, kind in kinds.items() if name.endswith(cast))


def test_names_of_earlier_versions_still_load():
    transformer = {"n_layers": 1, "places": "even"}
    earlier = {"name": "old", "autoencoder": {"model": {"anchors": True, "transformer": transformer}}, "diffuser": None}
    recipe = Recipe.from_json(json.dumps(earlier))
    assert recipe.autoencoder.model.wave_embedding and recipe.autoencoder.model.transformer.value_positions == "even"
    assert "anchors" not in recipe.to_json() and Recipe.from_json(recipe.to_json()) == recipe
    earlier = laptop().to_json().replace("condition_dropout", "untold").replace("part_dropout", "untold_part")
    assert "untold" in earlier and Recipe.from_json(earlier) == laptop()


def test_renamed_attributes_keep_their_keys_in_checkpoints():
    shape = TransformerConfig(d_head=3, n_heads=1, n_layers=1)
    autoencoder = Autoencoder(AutoencoderConfig(shape, bpd=3, n_aux=2, compression=0.004, wave_embedding=True))
    diffuser = Diffuser(DiffuserConfig(shape, (1, 2, 3), scratch_bpd=0, token_maps=True))
    for model, keys in (
        (autoencoder, {"encoder.anchors", "encoder.controls.0.tensors.phases", "decoder.controls.0.tensors.phases"}),
        (diffuser, {"network.enter.maps.0.weight", "network.leave.maps.1.weight", "network.controls.0.tensors.mlp_bias"}),
    ):
        state = {name: torch.rand(value.shape).to(value.dtype) for name, value in model.state_dict().items()}
        assert keys <= state.keys() and len(state) == len([*model.parameters(), *model.buffers()]) - unsaved(model)
        copy.deepcopy(model).load_state_dict(state)
        model.load_state_dict(state)
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())


def unsaved(model: torch.nn.Module) -> int:
    "Buffers that are computed, not saved."
    return sum(len(module._non_persistent_buffers_set) for module in model.modules())
