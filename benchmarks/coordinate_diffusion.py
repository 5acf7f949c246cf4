"""A compact diffusion model of crystals in coordinate space: what benchmarks/baselines.py puts beside ours.

Three kinds of noise, one time t in (0, 1) for all: fractional coordinates get wrapped normal noise on the torus and the
score is learned (as DiffCSP does it), the six lattice coefficients of the paper's B.1 are a plain diffusion model with a
cosine schedule, species are masked and guessed again (absorbing discrete diffusion, as MatterGen does it). The number of
atoms is drawn from the training crystals. The network passes messages between all atoms of the cell; it sees positions
only through sines and cosines of their differences, so the origin does not matter, and treats atoms alike, so their order
does not either.
"""

import copy
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fourier_workbench import Crystal
from fourier_workbench.errors import CrystalError, EvaluationError, RepresentationError
from fourier_workbench.representation import lattice_to_log, log_to_lattice

SIGMA = (0.005, 0.5)  # of the coordinates, in fractions of the cell edge: nothing, and everything forgotten
IMAGES = 6  # periodic images on either side that the wrapped normal density is summed over


@dataclass(frozen=True)
class Cells:
    """Crystals as tensors: `species` (N, n) from 1, 0 where no atom is; `frac` (N, n, 3); `lattice` (N, 6), standardised."""

    species: Tensor
    frac: Tensor
    lattice: Tensor
    elements: Tensor  # (K,) atomic number of each species; the mask is K + 1
    mean: Tensor
    scale: Tensor

    @classmethod
    def of(cls, crystals: Sequence[Crystal]) -> "Cells":
        """Tensors of training crystals."""
        if not crystals:
            raise EvaluationError("no crystal to learn from; give a corpus that holds some")
        width = max(map(len, crystals))
        elements = torch.tensor(sorted({z for crystal in crystals for z in crystal.species}))
        species = torch.zeros(len(crystals), width, dtype=torch.long)
        frac = torch.zeros(len(crystals), width, 3)
        right = [crystal.right_handed() for crystal in crystals]
        for i, crystal in enumerate(right):
            species[i, : len(crystal)] = torch.searchsorted(elements, torch.from_numpy(crystal.numbers.copy())) + 1
            frac[i, : len(crystal)] = torch.from_numpy(crystal.frac_coords.copy()).float()
        lattice = lattice_to_log(np.stack([crystal.lattice for crystal in right])).float()
        mean, scale = lattice.mean(0), lattice.std(0).clamp_min(1e-3)
        return cls(species, frac, (lattice - mean) / scale, elements, mean, scale)


# ---------------------------------------------------------------------------------------------------- noise


def sigma_at(t: Tensor) -> Tensor:
    """Standard deviation of the coordinates' noise."""
    return SIGMA[0] ** (1 - t) * SIGMA[1] ** t


def signal_at(t: Tensor) -> Tensor:
    """Share of the lattice's variance that is signal."""
    return torch.cos(0.5 * math.pi * t.clamp(0, 0.999)) ** 2


def wrapped_score(delta: Tensor, sigma: Tensor) -> Tensor:
    """d log p / d delta of normal noise of `sigma` wrapped onto the unit circle; shapes broadcast."""
    images = delta[..., None] + torch.arange(-IMAGES, IMAGES + 1)
    weight = torch.softmax(-0.5 * (images / sigma[..., None]) ** 2, -1)
    return -(weight * images).sum(-1) / sigma**2


class ScoreScale:
    """Root mean square of the wrapped score at each time, from a table: what the network's output is measured in."""

    def __init__(self, steps: int = 256, draws: int = 4096):
        noise = torch.randn(draws, generator=torch.Generator().manual_seed(0))
        sigma = sigma_at(torch.linspace(0, 1, steps))
        self.table = torch.stack([wrapped_score(s * noise, s.expand(draws)).square().mean().sqrt() for s in sigma])

    def at(self, t: Tensor) -> Tensor:
        """Linear between the table's entries."""
        place = t.clamp(0, 1) * (len(self.table) - 1)
        low = place.floor().long().clamp(max=len(self.table) - 2)
        return torch.lerp(self.table[low], self.table[low + 1], place - low)


# ---------------------------------------------------------------------------------------------------- network


def features(values: Tensor, frequencies: int) -> Tensor:
    """Sines and cosines of whole multiples of 2π `values` (..., 3): (..., 6 frequencies)."""
    angles = 2 * math.pi * values[..., None] * torch.arange(1, frequencies + 1)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(-2)


class Messages(nn.Module):
    """One round: every atom hears from every other of its cell."""

    def __init__(self, width: int, frequencies: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.sender, self.receiver = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.between = nn.Linear(6 * frequencies, width, bias=False)
        self.message = nn.Linear(width, width)
        self.update = nn.Sequential(nn.Linear(2 * width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))

    def forward(self, h: Tensor, apart: Tensor, present: Tensor) -> Tensor:
        """`h` (B, n, w); `apart` (B, n, n, 6k); `present` (B, n)."""
        x = self.norm(h)
        pair = self.receiver(x)[:, :, None] + self.sender(x)[:, None] + self.between(apart)
        heard = self.message(nn.functional.silu(nn.functional.silu(pair))) * present[:, None, :, None]
        return h + self.update(torch.cat([x, heard.sum(2) / present.sum(1)[:, None, None]], -1))


class Denoiser(nn.Module):
    """Scores of the coordinates (in units of `ScoreScale`), noise of the lattice, logits of the species."""

    def __init__(self, kinds: int, width: int = 96, layers: int = 4, frequencies: int = 6):
        super().__init__()
        self.frequencies = frequencies
        self.species = nn.Embedding(kinds + 2, width)
        self.whole = nn.Sequential(nn.Linear(6 + 17, width), nn.SiLU(), nn.Linear(width, width))
        self.rounds = nn.ModuleList(Messages(width, frequencies) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.score, self.kind = nn.Linear(width, 3, bias=False), nn.Linear(width, kinds)
        self.cell = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 6))

    def forward(self, species: Tensor, frac: Tensor, lattice: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`species` (B, n), `frac` (B, n, 3), `lattice` (B, 6), `t` (B,) → (B, n, 3), (B, 6), (B, n, K)."""
        present = (species > 0).float()
        waves = t[:, None] * math.pi * 2.0 ** torch.arange(8)
        whole = torch.cat([lattice, waves.sin(), waves.cos(), present.sum(1, keepdim=True) / 16], -1)
        h = self.species(species) + self.whole(whole)[:, None]
        apart = features(frac[:, None] - frac[:, :, None], self.frequencies)
        for each in self.rounds:
            h = each(h, apart, present)
        h = self.norm(h)
        mean = (h * present[..., None]).sum(1) / present.sum(1, keepdim=True)
        return self.score(h), self.cell(mean), self.kind(h)


# ---------------------------------------------------------------------------------------------------- training


def losses(model: Denoiser, cells: Cells, rows: Tensor, scale: ScoreScale, generator: torch.Generator) -> Tensor:
    """Loss of a batch: scores, lattice noise and masked species, each of about unit size at the start."""
    width = int((cells.species[rows] > 0).sum(1).max())
    species, frac, lattice = cells.species[rows, :width], cells.frac[rows, :width], cells.lattice[rows]
    t = torch.rand(len(rows), generator=generator)
    present, sigma = species > 0, sigma_at(t)[:, None, None]
    noise = torch.randn(frac.shape, generator=generator) * sigma
    target = wrapped_score(noise, sigma.expand_as(noise)) / scale.at(t)[:, None, None]
    epsilon, kept = torch.randn(lattice.shape, generator=generator), signal_at(t)[:, None]
    masked = (torch.rand(species.shape, generator=generator) < t[:, None]) & present
    shown = species.masked_fill(masked, len(cells.elements) + 1)
    score, cell, logits = model(shown, (frac + noise) % 1, kept.sqrt() * lattice + (1 - kept).sqrt() * epsilon, t)
    guess = nn.functional.cross_entropy(logits[masked], species[masked] - 1, reduction="sum") / max(1, int(masked.sum()))
    return (score - target)[present].square().mean() + (cell - epsilon).square().mean() + 0.25 * guess


def train(
    cells: Cells, seconds: float, seed: int = 0, batch: int = 64, rate: float = 2e-3, **shape: int
) -> tuple[Denoiser, dict]:
    """Train for `seconds` of CPU time of this process, cosine from `rate`; the moving average of the weights, and facts."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model, scale = Denoiser(len(cells.elements), **shape), ScoreScale()
    average, optimiser = copy.deepcopy(model), torch.optim.AdamW(model.parameters(), rate, weight_decay=1e-4)
    began, step, spent, recent = time.process_time(), 0, 0.0, 0.0
    while spent < seconds:
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * spent / seconds)))
        rows = torch.randint(len(cells.species), (batch,), generator=generator)
        loss = losses(model, cells, rows, scale, generator)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        step, spent = step + 1, time.process_time() - began
        recent = float(loss.detach()) if step == 1 else 0.98 * recent + 0.02 * float(loss.detach())
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, max(1 / step, 0.005))
    parameters = sum(p.numel() for p in model.parameters())
    return average.eval(), {"steps": step, "cpu_seconds": round(spent, 1), "loss": round(recent, 4), "parameters": parameters}


# ---------------------------------------------------------------------------------------------------- drawing


def crystal_of(species: Tensor, frac: Tensor, lattice: Tensor, cells: Cells) -> tuple[Crystal | None, str | None]:
    """The crystal that a drawn row stands for, or the reason why it is none."""
    there = species > 0
    if not (lattice.isfinite().all() and frac.isfinite().all()):
        return None, "not_finite"
    try:
        matrix = log_to_lattice((lattice * cells.scale + cells.mean).double()).numpy()
        return Crystal(matrix, cells.elements[species[there] - 1].numpy(), frac[there].double().numpy()), None
    except (CrystalError, RepresentationError) as error:
        return None, getattr(error, "reason", "lattice")


class Sampler:
    """Draws crystals from a model by walking t from 1 to 0 in `steps`, with one Langevin step on each level."""

    def __init__(self, model: Denoiser, cells: Cells, steps: int = 100, seed: int = 0):
        self.model, self.cells, self.steps = model, cells, steps
        self.scale, self.generator = ScoreScale(), torch.Generator().manual_seed(seed)

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def start(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Noise: all species masked, positions anywhere, lattices normal; sizes as in the training crystals."""
        rows = torch.randint(len(self.cells.species), (n,), generator=self.generator)
        present = self.cells.species[rows] > 0
        frac = torch.rand(*present.shape, 3, generator=self.generator)
        return present * (len(self.cells.elements) + 1), frac, self._normal(torch.empty(n, 6))

    def _positions(self, frac: Tensor, score: Tensor, high: Tensor, low: Tensor) -> Tensor:
        """One Langevin step at `high`, then the step down to `low`; the last one goes to the mean."""
        size = 2 * (0.1 * high) ** 2
        frac = frac + size * score + (2 * size).sqrt() * self._normal(frac) * (low > 0)
        gap = high**2 - low**2
        return (frac + gap * score + low * gap.sqrt() / high * self._normal(frac)) % 1

    def _unmask(self, species: Tensor, logits: Tensor, share: float) -> Tensor:
        """Name a share of the masked atoms."""
        masked = species == len(self.cells.elements) + 1
        now = masked & (torch.rand(species.shape, generator=self.generator) < share)
        drawn = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=self.generator).view(species.shape) + 1
        return torch.where(now, drawn, species)

    @torch.no_grad()
    def draw(self, n: int, batch: int = 128) -> tuple[list[Crystal | None], list[str | None]]:
        """`n` crystals (None where the draw is none) and the reasons."""
        found: list[tuple[Crystal | None, str | None]] = []
        for first in range(0, n, batch):
            species, frac, lattice = self.start(min(batch, n - first))
            for k in range(self.steps, 0, -1):
                t, s = torch.tensor(k / self.steps), torch.tensor((k - 1) / self.steps)
                score, noise, logits = self.model(species, frac, lattice, t.expand(len(species)))
                low = sigma_at(s) if k > 1 else torch.tensor(0.0)
                frac = self._positions(frac, score * self.scale.at(t), sigma_at(t), low)
                here, there = signal_at(t), signal_at(s)
                clean = ((lattice - (1 - here).sqrt() * noise) / here.sqrt()).clamp(-4, 4)
                left = (1 - here / there) * (1 - there) / (1 - here)  # variance of the posterior
                noise = (lattice - here.sqrt() * clean) / (1 - here).sqrt()
                fresh = left.sqrt() * self._normal(lattice)
                lattice = there.sqrt() * clean + (1 - there - left).clamp_min(0).sqrt() * noise + fresh
                species = self._unmask(species, logits, 1 / k)
            found += [crystal_of(*row, self.cells) for row in zip(species, frac, lattice, strict=True)]
        return [crystal for crystal, _ in found], [reason for _, reason in found]

    def noise(self, n: int) -> tuple[list[Crystal | None], list[str | None]]:
        """The control: what the walk starts from, with species drawn evenly from the training set's elements."""
        species, frac, lattice = self.start(n)
        named = torch.randint(1, len(self.cells.elements) + 1, species.shape, generator=self.generator)
        found = [crystal_of(*row, self.cells) for row in zip(torch.where(species > 0, named, 0), frac, lattice, strict=True)]
        return [crystal for crystal, _ in found], [reason for _, reason in found]
