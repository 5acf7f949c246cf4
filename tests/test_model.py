"""Properties of the networks and the noise that hold for every toggle and size."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.diffusion import InformationMatchedSchedule, radial_laplace, sample_generators
from fourier_workbench.model import Autoencoder, AutoencoderConfig, Diffuser, DiffuserConfig, TransformerConfig
from fourier_workbench.model.ladder import Ladder

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
    controls = dict(diffuser.network.controls[0].tensors.items())
    assert set(controls) == {"phases", "attention_bias", "mlp_norm_bias", "mlp_bias", "head_scale"}
    for name, tensor in controls.items():
        weights = torch.tensor([0.7**2, 2 * 0.3 * 0.7, 0.3**2])
        at = tensor.grad.flatten(1).abs().sum(1)
        assert torch.allclose(at / at.sum(), weights, atol=1e-4), name
