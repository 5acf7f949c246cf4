"""Bad input to every command and public function: one line that names it, no traceback, nothing written elsewhere."""

import contextlib
import functools
import io
import json
import math
import re
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from trouble import bounded

import fourier_workbench.generation as generation
from fourier_workbench import arguments
from fourier_workbench.checkpoints import load_autoencoder, save_autoencoder
from fourier_workbench.cli import main
from fourier_workbench.config.schema import (
    AutoencoderLoss,
    ExecutionConfig,
    FineTuneStage,
    OptimiserConfig,
    Recipe,
    override,
)
from fourier_workbench.crystal import Crystal
from fourier_workbench.data import Corpus, CrystalDataset, CrystalLoader, batch_indices, load_crystals, prepare_corpus
from fourier_workbench.diffusion.samplers import get_sampler, noise_levels
from fourier_workbench.errors import CheckpointError, OutputError, SettingsError, WorkbenchError
from fourier_workbench.evaluation import evaluate, evaluate_reconstruction
from fourier_workbench.evaluation.workers import Workers, run_limited
from fourier_workbench.files import RunDirectory, writable_folder, write_json, writing
from fourier_workbench.generation import Generator, RecoveryOptions, load_generator
from fourier_workbench.model.attention import TransformerConfig
from fourier_workbench.model.autoencoder import Autoencoder, AutoencoderConfig
from fourier_workbench.model.diffuser import DiffuserConfig
from fourier_workbench.representation import FourierBasis, encode, recover
from fourier_workbench.reproduction.data_tables import data_table
from fourier_workbench.reproduction.downscale import Scale
from fourier_workbench.reproduction.reproduce import reproduce
from fourier_workbench.settings import load_settings
from fourier_workbench.threads import THREADS, needed_threads
from fourier_workbench.training import Run, find_learning_rate, fit, fit_autoencoder, fit_diffuser, get_recipe, recipes
from fourier_workbench.training.cost import cost
from fourier_workbench.training.distributed import layout
from fourier_workbench.training.machines import Machine

HUGE, NAN, INF = str(2**70), "nan", "inf"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    "A folder with a corpus, an empty corpus, crystals to judge, and recipes."
    folder = tmp_path_factory.mktemp("bad")
    crystals = [Crystal(np.eye(3) * (3.6 + 0.01 * z), [z, 8], [[0, 0, 0], [0.5, 0.5, 0.5]]) for z in range(20, 31)]
    options: dict[str, Any] = {"recovery": None, "progress": False}
    prepare_corpus(crystals, folder / "corpus", FourierBasis(5), 24, **options)
    with contextlib.suppress(UserWarning):
        prepare_corpus(crystals, folder / "nothing", FourierBasis(5), 24, max_sites=1, **options)
    for i, crystal in enumerate(crystals[:2]):
        (folder / "cifs").mkdir(exist_ok=True)
        crystal.to_cif(folder / "cifs" / f"{i}.cif")
    (folder / "a_file").write_text("text")
    (folder / "empty").mkdir()
    tiny().to_json(folder / "tiny.json")
    recipes.laptop().to_json(folder / "with_diffuser.json")
    return folder


def tiny() -> Recipe:
    "An autoencoder of a few channels."
    shape = TransformerConfig(d_head=3, n_heads=2, n_layers=2)
    model = AutoencoderConfig(shape, bpd=5, tokens="half", n_aux=2, compression=8 / 1254)
    stage = replace(recipes.laptop().autoencoder, model=model, steps=2, batch_size=4, prune_every=1)
    return Recipe("tiny", stage, None)


@pytest.fixture(scope="module")
def laptop() -> Generator:
    "The shipped generator."
    return load_generator("laptop")


def variants(first: list[str], *rest: str) -> list[list[str]]:
    "Command lines that differ in their last words, which `rest` has in one string each."
    return [[*first, *words.split(" ")] for words in rest]


PREPARE, TRAIN = (
    ["prepare", "embedded", "{o}"],
    ["train", "{t}/corpus", "{o}", "--recipe", "{t}/tiny.json", "--devices", "1"],
)
SAMPLE = ["sample", "laptop", "{o}", "-n", "1", "--steps", "1"]
JUDGE, REPRODUCE = ["evaluate", "{t}/cifs", "{o}"], ["reproduce", "table6", "{o}"]
DEMO = ["demo", "{o}", "--recipe", "{t}/with_diffuser.json"]
COMMANDS = [
    *variants(
        PREPARE,
        "--workers 0",
        "--workers -3",
        f"--workers {HUGE}",
        "--limit -1",
        "--limit 0",
        "--max-sites 0",
        "--max-sites -4",
        "--scheduler nonsense",
        "--scheduler tcp://127.0.0.1:x",
        "--scheduler http://",
        "--bpd 0",
        "--bpd 4",
        "--bpd -5",
        "--bpd 1001",
        "--grid 0",
        "--grid -24",
        "--grid 25",
        "--grid 24000000",
        "--hull {t}/nowhere",
        "--hull {t}/a_file",
        "--max-sites 1 --limit 3",
    ),
    ["prepare", "embedded", "/dev/null/x"],
    ["prepare", "embedded", "/proc/nope"],
    ["prepare", "embedded", "{t}/a_file"],
    ["prepare", "embedded", "{t}/cifs"],
    ["prepare", "embedded", "y" * 5000],
    ["prepare", "x" * 5000, "{o}"],
    ["prepare", "{t}/empty", "{o}"],
    ["prepare", "{t}/nowhere", "{o}"],
    ["prepare", "hf:", "{o}"],
    ["prepare", "mp:", "{o}"],
    ["prepare", "em\0bedded", "{o}"],
    ["prepare", "embedded", "a\0b"],
    *variants(
        TRAIN,
        f"--seed {HUGE}",
        "--seed -1",
        "--devices 0",
        "--devices -2",
        "--devices 100000",
        "--nodes 0",
        "--nodes -1",
        "--nodes 3",
        "--recipe table6:XX",
        "--recipe table99:a",
        "--recipe /",
        "--recipe []",
        "--recipe {{}}",
        '--recipe {{"name":1}}',
        '--recipe {{"name":"a","seed":1e400}}',
        '--recipe {{"name":"a","autoencoder":{{"steps":0}}}}',
        '--recipe {{"name":"a","autoencoder":{{"optimiser":{{"lr":"NaN"}}}}}}',
        '--recipe {{"name":"a","autoencoder":{{"model":{{"transformer":{{"n_layers":1000000000}}}}}}}}',
        '--recipe {{"name":"a","diffuser":{{"model":{{"ladder_shape":[100000,100000,576]}}}}}}',
    ),
    [*TRAIN, "--recipe", ""],
    [*TRAIN, "--recipe", "[" * 5000],
    [*TRAIN, "--recipe", '{{"a":' * 5000],
    ["train", "{t}/corpus", "{t}/a_file", "--recipe", "{t}/tiny.json"],
    ["train", "{t}/corpus", "/proc/nope", "--recipe", "{t}/tiny.json"],
    ["train", "{t}/nothing", "{o}", "--recipe", "{t}/tiny.json", "--devices", "1"],
    ["train", "{t}/empty", "{o}"],
    ["train", "{t}/corpus", "{o}", "--recipe", "{t}/a_file"],
    ["train", "{t}/corpus", "{o}", "--recipe", "{t}/huge.json"],
    *variants(
        SAMPLE,
        "-n 0",
        "-n -1",
        f"-n {HUGE}",
        f"--seed {HUGE}",
        "--seed -1",
        "--steps 0",
        "--steps -3",
        f"--steps {10**12}",
        f"--guidance {NAN}",
        f"--guidance {INF}",
        "--guidance 0",
        "--guidance -1",
        "--guidance 1e30",
        "--batch-size 0",
        "--batch-size -4",
        f"--max-strain {NAN}",
        f"--max-strain {INF}",
        "--max-strain 1",
        "--max-strain -1",
        f"--accept {NAN}",
        f"--accept {INF}",
        "--accept 0",
        "--accept -1",
    ),
    ["sample", "laptop", "/proc/nope"],
    ["sample", "laptop", "/dev/null/x"],
    ["sample", "laptop", "{t}/a_file"],
    ["sample", "laptop", "z" * 300],
    ["sample", "", "{o}"],
    ["sample", "/", "{o}"],
    ["sample", "{t}/empty", "{o}"],
    ["sample", "no_name", "{o}"],
    *variants(
        JUDGE,
        "--compare -5",
        "--coverage -1",
        "--coverage 5",
        "--workers 0",
        "--workers -1",
        "--limit 0",
        "--limit -1",
        f"--limit {NAN}",
        f"--limit {INF}",
        "--limit 1e300",
        f"--seed {HUGE}",
        "--seed -1",
        "--reference {t}/nowhere",
        "--reference {t}/empty",
        "--reference {t}/a_file",
        "--target {t}/nowhere",
        "--hull {t}/nowhere --energies chgnet",
    ),
    ["evaluate", "{t}/cifs", "{t}/a_file"],
    ["evaluate", "{t}/cifs", "/proc/nope"],
    ["evaluate", "{t}/nowhere"],
    ["evaluate", "{t}/empty", "{o}"],
    ["evaluate", "{t}/a_file", "{o}"],
    ["reproduce", "table99", "{o}"],
    ["reproduce", "", "{o}"],
    ["reproduce", "table6", "/proc/nope"],
    ["reproduce", "snapping", "{o}", "--data", "{t}/nowhere"],
    ["reproduce", "snapping", "{o}", "--limit", "-1"],
    ["reproduce", "funnel", "{o}", "--workers", "0"],
    ["reproduce", "table6", "{t}/a_file"],
    *variants(
        REPRODUCE,
        "--rows XXXXX",
        "--width 0",
        "--width 2",
        f"--width {NAN}",
        "--steps 0",
        "--steps -1",
        "--seeds 0",
        "--batch-size 0",
        "--pretraining-steps 0",
        "--diffuser-steps -1",
        "--bpd 4",
        "--limit 0",
        "--workers 0",
        "--data {t}/nowhere",
    ),
    *variants(DEMO, "-n 0", "-n -1", f"--seed {HUGE}", "--workers 0", "--devices 0", "--corpus {t}/nowhere"),
    ["demo", "{t}/a_file"],
    ["demo", "{o}", "--recipe", "no_such"],
    ["lab", "{t}/nowhere.ipynb"],
]


def run(words: list[str]) -> tuple[int, list[str]]:
    "Exit code of a command, and the lines of its standard error that speak to the user."
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        try:
            code = main(words)
        except SystemExit as ended:  # of the parser
            code = int(ended.code or 0)
    return code, [line for line in said.getvalue().splitlines() if line.startswith("fwb:") or "Traceback" in line]


@pytest.fixture
def elsewhere(place: Path, tmp_path: Path, laptop: Generator, monkeypatch: pytest.MonkeyPatch) -> Path:
    "An empty working directory, in which nothing may appear; the shipped generator is loaded once."
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(generation, "load_generator", lambda name: laptop if name == "laptop" else load_generator(name))
    return tmp_path


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:60])
def test_a_command_says_in_one_line_what_is_wrong(words: list[str], place: Path, elsewhere: Path) -> None:
    before = sorted(place.rglob("*"))
    with bounded():
        code, said = run([word.format(t=place, o=elsewhere / "out") for word in words])
    assert code == 2, said
    assert len(said) == 1 and said[0].startswith("fwb: ") and len(said[0]) < 500, said
    assert re.search("; |must be|give|use", said[0]), "a remedy"
    assert {path.name for path in elsewhere.iterdir()} <= {"out"}
    assert not (elsewhere / "out").exists() or list((elsewhere / "out").iterdir()), "an empty folder is left"
    assert sorted(place.rglob("*")) == before


CELL = np.eye(3) * 4.0
SALT = Crystal(np.eye(3) * 4.2, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
MANY: tuple[Any, ...] = (0, -1, 2**70, 1.5, math.nan, math.inf, "two", None, True)
Call = Callable[[Path, Generator], object]


def number(call: Callable[[Any], Call], name: str, values: tuple[Any, ...] = MANY) -> dict[str, Call]:
    "The same call with each of some values."
    return {f"{name}={str(value)[:12]}": call(value) for value in values}


NUMBERS: tuple[Any, ...] = (math.nan, math.inf, -math.inf, "1", -1)
FUNCTIONS: dict[str, Call] = {
    **number(lambda v: lambda t, g: g.sample(v, progress=False), "sample n"),
    **number(lambda v: lambda t, g: g.sample(1, v, progress=False), "sample seed", (-1, 2**70, 0.5, math.nan, "a")),
    **number(lambda v: lambda t, g: g.sample(1, 0, v, progress=False), "sample steps", (0, -1, 2**70, 1.5, None)),
    **number(lambda v: lambda t, g: g.sample(1, guidance=v, progress=False), "sample guidance", (*NUMBERS, 0)),
    **number(lambda v: lambda t, g: g.sample(1, batch_size=v, progress=False), "sample batch_size", (0, -1, 1.5, "a")),
    **number(lambda v: lambda t, g: RecoveryOptions(max_strain=v), "max_strain", (*NUMBERS, 1)),
    **number(lambda v: lambda t, g: g.sample(1, accept=v, progress=False), "accept", (*NUMBERS, 0)),
    **number(lambda v: lambda t, g: RecoveryOptions(tolerance=v), "tolerance", (math.nan, -1, "1")),
    **number(lambda v: lambda t, g: RecoveryOptions(max_atoms=v), "max_atoms", (0, -1, math.nan)),
    "sample sampler": lambda t, g: g.sample(1, sampler="magic", progress=False),
    "recovery method": lambda t, g: RecoveryOptions(method="magic"),  # type: ignore[arg-type]
    "recovery policy": lambda t, g: RecoveryOptions(policy="lax"),  # type: ignore[arg-type]
    "noise none": lambda t, g: g.noise_control(0),
    "noise seed": lambda t, g: g.noise_control(1, 2**70),
    "save formats": lambda t, g: g.noise_control(1).save(t / "out", ["pickle"]),
    "save into a file": lambda t, g: g.noise_control(1).save(t / "a_file"),
    "encode too heavy": lambda t, g: g.encode([Crystal(CELL, [92], [[0, 0, 0]])]),
    "sampler": lambda t, g: get_sampler("magic"),
    **number(lambda v: lambda t, g: noise_levels(v), "levels", (0, -1, 2**40, None)),
    "load nothing": lambda t, g: load_generator(t / "empty"),
    "load a file": lambda t, g: load_generator(t / "a_file"),
    **number(lambda v: lambda t, g: FourierBasis(v), "bpd", (0, -3, 4, 10**9, 5.0, math.nan, None, "5")),
    "truncation": lambda t, g: FourierBasis(5, "round"),  # type: ignore[arg-type]
    **number(
        lambda v: lambda t, g: encode([SALT], FourierBasis(5), v),
        "grid",
        (0, -24, 25, 24 * 10**9, 24.0, math.nan, None),
    ),
    "recover method": lambda t, g: recover(encode([SALT], FourierBasis(5), 24), FourierBasis(5), 24, "magic"),  # type: ignore[arg-type]
    "recover another basis": lambda t, g: recover(encode([SALT], FourierBasis(5), 24), FourierBasis(7), 24),
    **number(lambda v: lambda t, g: Crystal(np.eye(3) * v, [1], [[0, 0, 0]]), "cell", (0.0, math.nan, math.inf)),
    **number(lambda v: lambda t, g: Crystal(CELL, [v], [[0, 0, 0]]), "element", (0, -1, 119, 1.5, math.nan)),
    "coordinates": lambda t, g: Crystal(CELL, [1], [[0, 0, math.nan]]),
    "no atoms": lambda t, g: Crystal(CELL, [], []),
    **number(lambda v: lambda t, g: SALT.standard(v), "symprec", (0, -1, math.nan, math.inf)),
    **number(lambda v: lambda t, g: prepare_corpus([SALT], t / "o", workers=v), "workers", (0, -1, 1.5, None)),
    **number(lambda v: lambda t, g: prepare_corpus([SALT], t / "o", limit=v), "limit", (0, -1, 1.5, math.nan)),
    "prepare cell": lambda t, g: prepare_corpus([SALT], t / "o", cell="cubic"),  # type: ignore[arg-type]
    "prepare scheduler": lambda t, g: prepare_corpus([SALT], t / "scheduled", scheduler="nonsense", progress=False),
    "corpus": lambda t, g: Corpus(t / "empty"),
    "split": lambda t, g: Corpus(t / "corpus").split("all"),  # type: ignore[arg-type]
    "crystals of nowhere": lambda t, g: list(load_crystals(t / "nowhere")),
    "a grid too coarse": lambda t, g: CrystalDataset([SALT], FourierBasis(25), 24),
    **number(lambda v: lambda t, g: batch_indices(4, v, 0, 0), "batches of", (0, -1, 1.5, None)),
    **number(lambda v: lambda t, g: batch_indices(4, 2, v, 0), "batches seed", (-1, 2**70, 0.5)),
    **number(lambda v: lambda t, g: CrystalLoader([SALT], FourierBasis(5), 24, v), "loader of", (0, -1, 2, "a")),
    **number(lambda v: lambda t, g: override(tiny(), autoencoder__steps=v), "steps", (*MANY[:5], "two")),
    **number(lambda v: lambda t, g: override(tiny(), autoencoder__optimiser__lr=v), "lr", (*NUMBERS, 0)),
    **number(
        lambda v: lambda t, g: override(tiny(), autoencoder__model__transformer__mlp_ratio=v),
        "mlp_ratio",
        (*NUMBERS, 0),
    ),
    **number(
        lambda v: lambda t, g: override(tiny(), autoencoder__grid=v), "recipe grid", (0, 25, 24 * 10**6, math.nan)
    ),
    **number(lambda v: lambda t, g: override(tiny(), seed=v), "recipe seed", (-1, 2**70, 0.5, "a", None)),
    "a field that is none": lambda t, g: override(tiny(), colour=1),
    "optimiser": lambda t, g: OptimiserConfig("sgd"),  # type: ignore[arg-type]
    "precision": lambda t, g: ExecutionConfig("fp8"),
    "loss": lambda t, g: AutoencoderLoss(penalty_weight=math.nan),  # type: ignore[arg-type]
    "hull": lambda t, g: FineTuneStage(e_hull_max=math.nan),
    "a name": lambda t, g: replace(tiny(), name="a\nb"),
    **{
        f"ladder_shape={shape}": (lambda t, g, s=shape: DiffuserConfig(ladder_shape=s, token_maps=True))  # type: ignore[misc]
        for shape in ((0, 9, 576), (8, 9), (10**6, 10**6, 3), (math.nan, 9, 576), None)
    },
    "too large": lambda t, g: fit_autoencoder(huge(), [SALT], t / "huge"),
    "no corpus": lambda t, g: fit(tiny(), [], t / "run", progress=False),
    "no diffuser": lambda t, g: fit_diffuser(tiny(), [SALT], t / "run"),
    "a run into a file": lambda t, g: fit(tiny(), [SALT], t / "a_file"),
    "devices": lambda t, g: fit(tiny(), Corpus(t / "corpus"), t / "run", devices=10**5),
    "recipe": lambda t, g: get_recipe("magic"),
    "a run nowhere": lambda t, g: Run.attach(t / "empty"),
    "start nowhere": lambda t, g: Run.start(tiny(), t / "nowhere", t / "run"),
    "start devices": lambda t, g: Run.start(tiny(), t / "corpus", t / "run", devices=0),
    **number(lambda v: lambda t, g: layout(v), "layout", (0, -1, 1.5, 10**5)),
    **number(
        lambda v: lambda t, g: find_learning_rate(tiny(), [SALT], lowest=v), "lowest", (math.nan, 0, -1, math.inf)
    ),
    "machine": lambda t, g: cost(tiny(), "abacus"),
    "no machine": lambda t, g: Machine("x", math.nan, 1, 1),
    **number(lambda v: lambda t, g: evaluate([SALT], compare=v), "compare", (-5, 1.5, math.nan, None)),
    **number(lambda v: lambda t, g: evaluate([SALT], limit=v), "seconds", (0, -1, math.nan, math.inf, 1e300, "1")),
    **number(lambda v: lambda t, g: evaluate([SALT], seed=v), "evaluate seed", (-1, 2**70, 0.5)),
    **number(lambda v: lambda t, g: evaluate([SALT], workers=v), "evaluate workers", (0, -1, 1.5)),
    "evaluate none": lambda t, g: evaluate([], workers=1, progress=False),
    "reconstruct none": lambda t, g: evaluate_reconstruction(g, []),
    "evaluate into a file": lambda t, g: evaluate([SALT], directory=t / "a_file"),
    "energies": lambda t, g: evaluate([SALT], [SALT], energies="magic"),
    "pool": lambda t, g: Workers(0),
    "pool seconds": lambda t, g: Workers(1, math.inf),
    "pool nan": lambda t, g: run_limited(len, [()], math.nan),
    **number(lambda v: lambda t, g: Scale(width=v), "width", (*NUMBERS, 0, 2)),
    "scale seeds": lambda t, g: Scale(seeds=0),
    "table": lambda t, g: reproduce("table99", t / "o", None),
    "row": lambda t, g: reproduce(6, t / "o", None, rows=["XX"]),
    "data table": lambda t, g: data_table("magic", [SALT], t / "o"),
    "data limit": lambda t, g: data_table("snapping", "embedded", t, -1),
    "a folder that is a file": lambda t, g: RunDirectory(t / "a_file"),
    "a folder below a file": lambda t, g: writable_folder(t / "a_file" / "x"),
    "a file below a file": lambda t, g: write_json(t / "a_file" / "x", {}),
    "a name too long": lambda t, g: writable_folder(t / ("x" * 300)),
}


def huge() -> Recipe:
    "An autoencoder that no machine can hold."
    shape = TransformerConfig(d_head=3072, n_heads=1024, n_layers=8)
    return override(tiny(), autoencoder__model__transformer=shape)


@pytest.mark.parametrize("what", FUNCTIONS)
def test_a_function_refuses_it_with_an_error_of_the_family(
    what: str, place: Path, laptop: Generator, elsewhere: Path
) -> None:
    before = sorted(place.rglob("*"))
    with pytest.raises(WorkbenchError) as caught, bounded():
        FUNCTIONS[what](place, laptop)
    assert "\n" not in str(caught.value) and 15 < len(str(caught.value)) < 500
    new = {path for path in place.rglob("*") if path not in before}
    assert all(path.relative_to(place).parts[0] in ("out", "o", "run", "scheduled", "huge") for path in new)
    for path in new & set(place.iterdir()):
        shutil.rmtree(path)
    assert not list(elsewhere.iterdir())


def test_there_are_enough_of_them() -> None:
    assert len(COMMANDS) + len(FUNCTIONS) >= 300


def configurations(kind: type = Recipe) -> Iterator[type]:
    "The configuration classes that a recipe is made of."
    yield kind
    for hint in arguments._hints(kind).values():
        for part in (hint, *get_args(hint)):
            if isinstance(part, type) and is_dataclass(part):
                yield from configurations(part)


@pytest.mark.parametrize("kind", sorted({*configurations(), RecoveryOptions, Scale}, key=lambda kind: kind.__name__))
def test_every_number_of_a_configuration_has_limits(kind: type) -> None:
    hints = arguments._hints(kind)
    numeric = [one.name for one in fields(kind) if {int, float} & {hints[one.name], *get_args(hints[one.name])}]
    assert set(numeric) - {"ladder_shape"} <= set(arguments.LIMITS)


@pytest.mark.parametrize("value", ["0", "-1", "all", "1.5", "9" * 30])
def test_a_bad_number_of_threads_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREADS, value)
    with pytest.raises(SettingsError, match=THREADS):
        needed_threads()


@pytest.mark.parametrize("text", ["seed = -1", "seed = 1e3", f"seed = {2**70}", "colour = red", "seed", "\xff"])
def test_bad_settings_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "settings.ini").write_bytes(b"[workbench]\n" + text.encode("latin-1"))
    with pytest.raises(SettingsError):
        load_settings(tmp_path)


# ── a full disk ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    "Inside, no file can grow beyond `size` bytes: writing fails as on a full disk."
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_sampling_onto_a_full_disk_is_refused_before_drawing(
    elsewhere: Path, laptop: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Generator, "sample", lambda *_, **__: pytest.fail("it began to draw"))
    with largest_file(100):
        code, said = run(["sample", "laptop", str(elsewhere / "out"), "-n", "1"])
    assert code == 2 and str(elsewhere / "out") in said[0] and "make room" in said[0]
    usage = shutil.disk_usage(elsewhere)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    code, said = run(["sample", "laptop", str(elsewhere / "out"), "-n", "1"])
    assert code == 2 and "make room" in said[0]


@pytest.mark.parametrize("name", ["cif", "extxyz", "db", "parquet", "optimade"])
def test_a_disk_that_fills_while_samples_are_written(name: str, laptop: Generator, tmp_path: Path) -> None:
    drawn = laptop.sample(2, steps=1, progress=False)
    with largest_file(300), pytest.raises(OutputError, match=r"make room|give another") as caught:
        drawn.save(tmp_path / "out", [name])
    assert str(tmp_path / "out") in str(caught.value)


def test_a_disk_that_fills_during_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "run"
    with largest_file(20_000), pytest.raises(OutputError, match="make room") as caught:
        fit(tiny(), [SALT] * 4, run, progress=False)
    assert str(run / "checkpoints") in str(caught.value)
    assert not list(run.rglob(".*")), "what was begun is removed"
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OutputError, match="make room"):
        fit(tiny(), [SALT], tmp_path / "other", progress=False)
    assert not list((tmp_path / "other").iterdir()), "before it began"


def test_an_error_of_the_system_gets_the_path(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"some/file: No space left on device; make room"), writing(Path("some/file")):
        raise OSError(28, "No space left on device")


# ── checkpoints ──────────────────────────────────────────────────────────────────────────────────────────────────────


@functools.cache
def checkpoint() -> tuple[bytes, dict[str, Any]]:
    "Tensors and description of a small autoencoder."
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(0)
        save_autoencoder(folder, Autoencoder(tiny().autoencoder.model))
        data, about = (Path(folder) / f"autoencoder.{kind}" for kind in ("safetensors", "json"))
        return data.read_bytes(), json.loads(about.read_text())


def stored(folder: Path, data: bytes, about: str | dict[str, Any]) -> Path:
    "A checkpoint of these bytes, whose hash is right, for damage that a hash would show proves little."
    import hashlib

    if isinstance(about, dict):
        about = json.dumps({**about, "sha256": hashlib.sha256(data).hexdigest()})
    (folder / "autoencoder.safetensors").write_bytes(data)
    (folder / "autoencoder.json").write_text(about)
    return folder


def load(folder: Path) -> None:
    "Load it, or be refused in one line."
    with contextlib.suppress(CheckpointError):
        load_autoencoder(folder)


CHEAP = settings(max_examples=25)  # each builds a model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoint")


@CHEAP
@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4),
    st.integers(0, 10**6),
)
def test_changed_bytes_of_tensors(folder: Path, changes: list[tuple[int, bytes]], cut: int) -> None:
    data, about = checkpoint()
    changed = bytearray(data)
    for at, new in changes:
        at %= 4 * len(data) // 100 if at % 2 else len(data)  # half of them in the header
        changed[at : at + len(new)] = new
    load(stored(folder, bytes(changed[: len(data) if cut % 3 else cut % len(data)]), about))


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([2**31, 2**63, 10**12, 10**30]),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.integers(), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value: Any, here: tuple = ()) -> Iterator[tuple]:
    "Paths of all values in nested dictionaries."
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*here, key)
            yield from places(inner, (*here, key))


@CHEAP
@given(st.data())
def test_changed_fields_of_a_description(folder: Path, data: st.DataObject) -> None:
    tensors, about = checkpoint()
    changed = json.loads(json.dumps(about))
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(list(places(about))))
        inner = changed
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[last] = data.draw(VALUES)
    load(stored(folder, tensors, changed))


@CHEAP
@given(
    st.text(max_size=40).map(lambda text: text.replace("\r", ""))
    | st.sampled_from(["[" * 10**5, '{"a":' * 10**5, "1" * 5000, "NaN"])
)
def test_descriptions_that_are_none(folder: Path, text: str) -> None:
    with pytest.raises(CheckpointError):
        load_autoencoder(stored(folder, checkpoint()[0], text.encode("utf-8", "ignore").decode()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite(value: float, tmp_path: Path) -> None:
    model = Autoencoder(tiny().autoencoder.model)
    with torch.no_grad():
        next(model.parameters()).flatten()[0] = value
    save_autoencoder(tmp_path, model)
    with pytest.raises(CheckpointError, match="not finite"):
        load_autoencoder(tmp_path)


def test_a_configuration_that_promises_more_than_its_file_holds(tmp_path: Path) -> None:
    data, about = checkpoint()
    for name, size in (("n_heads", 1024), ("n_layers", 1024), ("d_head", 3072)):
        about = json.loads(json.dumps(about))
        about["config"]["transformer"][name] = size
        with pytest.raises(CheckpointError, match="do not fit"):
            load_autoencoder(stored(tmp_path, data, about))
