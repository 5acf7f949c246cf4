"""Draw docs/static/picture.svg: one sample of the shipped model on its way from noise to a crystal, in both spaces.

    .venv/bin/python tools/picture.py

Above, the decoded density of all species, its maximum along c over the cell; below, the moduli of its coefficients with
l = 0, as a diffraction pattern shows them. The last picture is the crystal that recovery finds, with the space group that it has
within 0.5 Å made exact.
"""

import base64
import html
import io
import math

import numpy as np
import torch
from ase.data import chemical_symbols
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from fourier_workbench import Crystal
from fourier_workbench.evaluation.checks import check_charges
from fourier_workbench.evaluation.report.pictures import colour, crystal_svg
from fourier_workbench.generation import SampleResult, load_generator
from fourier_workbench.representation import FourierBasis, density, symmetry_operations

from project import ROOT

PICTURE = ROOT / "docs/static/picture.svg"
FRAMES = (0, 20, 30, 38, 49)  # of fifty steps
SIDE, GAP, TOP = 150, 14, 34
STYLE = """
.back { fill: #fff; } text { font: 13px system-ui, sans-serif; fill: #1c1c1c; } .soft { fill: #5a5a5a; font-size: 12px; }
.cell { stroke: #1c1c1c; stroke-opacity: .45; fill: none; } .bond { stroke: #7a7a7a; stroke-width: 4; stroke-linecap: round; }
.atom { stroke: #000; stroke-opacity: .35; } .gloss { fill: #fff; fill-opacity: .5; }
"""


def heat(values: np.ndarray) -> str:
    "A square PNG of values between 0 and 1 in cividis, as a data address."
    colours = np.array([unlabel_rgb(c) for c in sample_colorscale("Cividis", list(np.linspace(0, 1, 256)))])
    pixels = colours[(values.clip(0, 1) * 255).astype(int)].astype(np.uint8)
    file = io.BytesIO()
    picture = Image.fromarray(pixels).resize((SIDE * 2, SIDE * 2), Image.Resampling.BICUBIC)
    picture.quantize(64).save(file, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def waves(coefficients: torch.Tensor, basis: FourierBasis, x: float, y: float) -> str:
    "Dots for the waves with l = 0: area by modulus, colour by phase."
    parts, step = [], SIDE / (basis.bpd + 1)
    scale = float(coefficients.abs().max())
    for j, alpha in zip(basis.wave_vectors.tolist(), coefficients.tolist(), strict=True):
        radius = 0.62 * step * math.sqrt(abs(alpha) / scale)
        if j[2] == 0 and radius > 0.3:
            hue = math.degrees(math.atan2(alpha.imag, alpha.real)) % 360
            at = f'cx="{x + SIDE / 2 + j[0] * step:.1f}" cy="{y + SIDE / 2 - j[1] * step:.1f}"'
            parts.append(f'<circle {at} r="{radius:.1f}" fill="hsl({hue:.0f} 55% 47%)"/>')
    return "".join(parts)


def believable(result: SampleResult) -> tuple[int, Crystal]:
    "The clean MO₂ with balanced charges that recovery explains best, of those with symmetry, in its conventional cell."
    for i in result.table[result.table["clean"]].sort_values("residual").index:
        crystal = result.crystals[i]
        counts = {int(z): int((crystal.numbers == z).sum()) for z in crystal.species}
        if len(counts) == 2 and 3 * counts.get(8, 0) == 2 * len(crystal) and check_charges(counts)["charge_neutral"]:
            ideal = crystal.standard(0.01, idealise=True)
            if symmetry_operations(ideal).number >= 75:  # tetragonal, trigonal, hexagonal or cubic
                whole = SpacegroupAnalyzer(ideal.to_structure()).get_conventional_standard_structure()
                return int(i), Crystal.from_structure(whole)
    raise SystemExit("no such sample; draw more")


def draw() -> str:
    "Text of the picture."
    generator = load_generator("laptop")
    basis = generator.autoencoder.basis
    result = generator.sample(64, seed=0, steps=50, trace=True, progress=False)
    chosen, crystal = believable(result)
    ladders = result.trajectory.noisy[list(FRAMES), chosen]
    ladders[-1] = result.ladders[chosen]
    decoded = generator.decode(ladders).decoded
    rho = density(decoded.coefficients, basis, grid=48).sum(1).amax(-1).numpy()
    total = decoded.coefficients.sum(1)
    width, height = 6 * SIDE + 7 * GAP, TOP + 2 * SIDE + GAP + 36
    parts = []
    for k, frame in enumerate(FRAMES):
        x, y = GAP + k * (SIDE + GAP), TOP + SIDE + GAP
        level = (rho[k].T[::-1] - rho[k].min()) / np.ptp(rho[k])
        parts.append(f'<image x="{x}" y="{TOP}" width="{SIDE}" height="{SIDE}" href="{heat(level)}"/>')
        parts.append(f'<rect x="{x}" y="{y}" width="{SIDE}" height="{SIDE}" fill="#f3f3f3"/>')
        parts.append(waves(total[k], basis, x, y))
        phi = float(result.trajectory.phi[frame])
        said = "noise" if k == 0 else "decoded" if k == len(FRAMES) - 1 else f"φ = {phi:.2f}"
        parts.append(f'<text x="{x + SIDE / 2}" y="22" text-anchor="middle">{said}</text>')
    x = GAP + 5 * (SIDE + GAP)
    body = crystal_svg(crystal, SIDE).replace("<svg ", f'<svg x="{x}" y="{TOP}" width="{SIDE}" height="{SIDE}" ', 1)
    parts.append(body + f'<text x="{x + SIDE / 2}" y="22" text-anchor="middle">recovered</text>')
    for i, z in enumerate(crystal.species):
        y = TOP + SIDE + GAP + 22 + 22 * i
        parts.append(f'<circle cx="{x + 22}" cy="{y - 4}" r="7" fill="{colour(z)}" class="atom"/><text x="{x + 38}" y="{y}">')
        parts.append(f"{symbol_count(crystal, z)}</text>")
    foot = "Above: density over the cell, maximum along c. Below: coefficients with l = 0, area by modulus, colour by phase."
    parts.append(f'<text class="soft" x="{GAP}" y="{height - 12}">{foot}</text>')
    title = f"From noise to {crystal.formula}: sample {chosen} of seed 0 of the shipped model"
    back = f'<rect class="back" width="{width}" height="{height}" rx="8"/>'
    head = f"<title>{html.escape(title)}</title><style>{STYLE}</style>{back}"
    size = f'viewBox="0 0 {width} {height}" role="img"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{head}{"".join(parts)}</svg>\n'


def symbol_count(crystal: object, z: int) -> str:
    "Element and how many of it a cell holds."
    return f"{chemical_symbols[z]} × {int((crystal.numbers == z).sum())}"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
    print(f"{PICTURE.relative_to(ROOT)}: {PICTURE.stat().st_size / 1e3:.0f} kB")
