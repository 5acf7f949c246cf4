"""The command line: what each command writes, and one line with exit code 2 for whatever cannot be done."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fourier_workbench.cli import COMMANDS, main
from fourier_workbench.crystal import Crystal
from fourier_workbench.training import Run, override, recipes

PEROVSKITE = [[0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]]


@pytest.fixture(scope="module")
def cifs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    "Seventy perovskites of different formulas as CIF files, and one file that is none."
    folder = tmp_path_factory.mktemp("cli") / "cifs"
    folder.mkdir()
    for a in (3, 11, 12, 19, 20, 21, 37, 38, 39, 55):
        for b in (22, 23, 24, 25, 40, 41, 42):
            Crystal(np.eye(3) * (3.7 + 0.01 * a), [a, b, 8, 8, 8], PEROVSKITE).to_cif(folder / f"{a}_{b}.cif")
    (folder / "bad.cif").write_text("no crystal")
    return folder


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    "The laptop's recipe, as small as it can be, as a file."
    tiny = override(
        recipes.laptop(),
        diffuser=None,
        autoencoder__model__compression=16 / 1254,
        autoencoder__model__transformer__n_heads=1,
        autoencoder__model__transformer__n_layers=2,
        autoencoder__steps=8,
        autoencoder__batch_size=8,
        autoencoder__prune_every=2,
    )
    stage = recipes.laptop().diffuser
    assert stage is not None
    shape = tiny.autoencoder.model
    model = replace(stage.model, ladder_shape=shape.ladder_shape, transformer=shape.transformer)
    path = tmp_path_factory.mktemp("recipe") / "tiny.json"
    override(tiny, name="tiny", diffuser=replace(stage, model=model, steps=8, batch_size=8)).to_json(path)
    return path


def demo_arguments(out: Path, cifs: Path, recipe: Path) -> list[str]:
    "The command line of a small demo."
    one = ["--workers", "1", "--processes", "1"]
    return ["demo", str(out), "--corpus", str(cifs), "--recipe", str(recipe), "-n", "5", "--shipped", "3", *one]


@pytest.fixture(scope="module")
def demo(cifs: Path, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    "A demo of the tiny recipe on them."
    out = tmp_path_factory.mktemp("demo") / "demo"
    code = main(demo_arguments(out, cifs, recipe))
    assert code == 0
    return out


def test_the_demo_writes_everything_it_promises(demo: Path) -> None:
    for name in (
        "corpus/manifest.json",
        "weights/autoencoder.safetensors",
        "weights/diffuser.safetensors",
        "weights/guide.safetensors",
        "checkpoints",
        "metrics.jsonl",
        "recipe.json",
        "cif",
        "samples.parquet",
        "funnel.json",
        "results.json",
        "timings.json",
        "evaluation/structures.parquet",
        "report.html",
        "mp20/report.html",
        "mp20/samples.parquet",
        "mp20/evaluation/metrics.json",
    ):
        assert (demo / name).exists(), name
    results = pd.DataFrame(json.loads((demo / "results.json").read_text()))
    assert set(results["of"]) == {"held out", "samples", "noise control", "ceiling"}
    assert (results.loc[results["of"] == "samples", "denominator"] == 5).all()
    groups = results[results["metric"] == "Jensen–Shannon, space groups"].set_index("of")["value"]
    assert set(groups.index) == {"samples", "noise control", "ceiling"}
    assert groups.dropna().between(0, 1).all()
    page = (demo / "report.html").read_text(encoding="utf-8")
    for word in ("noise control", "ceiling", "Funnel", "held-out exact", "$3Dmol", "in P1 or P-1", "Distances to the reference"):
        assert word in page
    assert Run.attach(demo).status.state == "done"
    assert set(json.loads((demo / "timings.json").read_text())) >= {"prepare", "train", "sample"}


def test_the_demo_goes_on_where_it_was(demo: Path, cifs: Path, recipe: Path, capsys: pytest.CaptureFixture) -> None:
    before = json.loads((demo / "timings.json").read_text())
    weights = (demo / "weights" / "diffuser.safetensors").read_bytes()
    first = json.loads((demo / "results.json").read_text())
    arguments = demo_arguments(demo, cifs, recipe)
    assert main(arguments) == 0
    after = json.loads((demo / "timings.json").read_text())
    assert after["train"] == before["train"], "it was not trained again"
    assert (demo / "weights" / "diffuser.safetensors").read_bytes() == weights
    assert json.loads((demo / "results.json").read_text()) == first
    shown = capsys.readouterr().out
    for word in ("held-out reconstruction", "noise control", "rejected by recovery", "report.html"):
        assert word in shown
    assert main([*arguments[:5], "laptop", *arguments[6:]]) == 2, "another recipe in the same directory"
    assert "another recipe" in capsys.readouterr().err


def test_train_sample_and_evaluate(demo: Path, recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    corpus, run = str(demo / "corpus"), str(tmp_path / "run")
    assert main(["train", corpus, run, "--recipe", str(recipe), "--processes", "1"]) == 0
    assert (
        main(["sample", run, str(tmp_path / "s"), "-n", "3", "--seed", "4", "--steps", "3", "--formats", "parquet"])
        == 0
    )
    table = pd.read_parquet(tmp_path / "s" / "samples.parquet")
    assert table["id"].tolist() == [f"sample_4_00000{i}" for i in range(3)]
    assert not (tmp_path / "s" / "cif").exists()
    assert main(["evaluate", str(tmp_path / "s"), str(tmp_path / "e"), "--reference", corpus]) == 0
    assert "of 3" in capsys.readouterr().out
    judged = {path.name for path in (tmp_path / "e").iterdir()}
    assert judged == {"structures.parquet", "metrics.json", "funnel.json", "summary.json", "report.html", "journal.jsonl"}


def test_prepare_counts_what_it_left_out(cifs: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "corpus"
    arguments = ["prepare", str(cifs), str(out), "--bpd", "5", "--grid", "24", "--limit", "71", "--workers", "1"]
    assert main(arguments) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("71 in, 70 kept")
    assert "unreadable" in shown


def test_reproduce_sets_the_paper_beside_ours(demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    scale = ["--data", str(demo / "corpus"), "--steps", "2", "--width", "0.0625", "--batch-size", "4", "--half-space"]
    assert main(["reproduce", "table6", str(tmp_path / "out"), *scale, "--rows", "FFFFF", "TFFFF"]) == 0
    shown = capsys.readouterr().out
    assert "TFFFF: run" in shown and "values are not comparable at this scale" in shown and "predicted:" in shown
    table = pd.read_parquet(tmp_path / "out" / "table6.parquet").set_index("row")
    assert table.loc["FFFFF", "paper"] == 0.390 and table.loc["FFFFF", "status"] == "run"
    assert main(["reproduce", "recoverability", str(tmp_path / "out"), "--data", "embedded", "--limit", "6"]) == 0
    assert "0.03573" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: fwb {command}" in shown
    assert not re.search(r"\bPATH PATH\b|\bSTR PATH\b|None|Corpus\b|`Hull`|Dask client", shown), "Python, or no name"


def test_positional_arguments_have_names(capsys: pytest.CaptureFixture) -> None:
    for command, names in {"prepare": "SOURCE OUT", "train": "CORPUS RUN", "sample": "RUN OUT", "reproduce": "TABLE OUT",
                           "evaluate": "SAMPLES [OUT]"}.items():
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert capsys.readouterr().out.splitlines()[0].endswith(f" {names}")


@pytest.mark.parametrize("module", ["fourier_workbench", "fourier_workbench.cli"])
def test_python_runs_the_command_line_too(module: str, tmp_path: Path) -> None:
    def run(*words: str) -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-m", module, *words], capture_output=True, text=True, check=False)

    shown = run("--help")
    assert shown.returncode == 0
    assert "usage: fwb" in shown.stdout
    refused = run("train", str(tmp_path / "nosuch"))
    assert refused.returncode == 2
    assert re.fullmatch(r"fwb: missing from fwb train: RUN .*; see fwb train --help\n", refused.stderr)


def test_an_unknown_table_gets_all_names(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert main(["reproduce", "table11", str(tmp_path / "out"), "--predict"]) == 2
    assert "table10, funnel, recoverability" in capsys.readouterr().err


def test_help_is_there_without_loading_torch() -> None:
    code = "import sys; import fourier_workbench.cli as c; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


BAD = {
    "prepare a place that is not": ["prepare", "{t}/nowhere", "{t}/out"],
    "prepare an empty folder": ["prepare", "{t}/empty", "{t}/out"],
    "prepare with an even bpd": ["prepare", "embedded", "{t}/out", "--bpd", "4"],
    "prepare on a bad grid": ["prepare", "embedded", "{t}/out", "--grid", "25"],
    "train on no corpus": ["train", "{t}/empty", "{t}/out"],
    "train no recipe": ["train", "{c}", "{t}/out", "--recipe", "no_such"],
    "train nonsense": ["train", "{c}", "{t}/out", "--recipe", "{t}/nonsense.json"],
    "train an impossible recipe": ["train", "{c}", "{t}/out", "--recipe", "{t}/impossible.json"],
    "train into a file": ["train", "{c}", "{t}/nonsense.json"],
    "sample from nothing": ["sample", "{t}/empty", "{t}/out"],
    "sample from no name": ["sample", "no_such_name", "{t}/out"],
    "sample from what is no checkpoint": ["sample", "{t}/fake", "{t}/out"],
    "sample none": ["sample", "{d}", "{t}/out", "-n", "0"],
    "sample within less than nothing": ["sample", "{d}", "{t}/out", "-n", "1", "--max-strain", "-1"],
    "sample into a file": ["sample", "{d}", "{t}/nonsense.json", "-n", "1", "--steps", "1"],
    "evaluate nothing": ["evaluate", "{t}/empty", "{t}/out"],
    "evaluate a place that is not": ["evaluate", "{t}/nowhere", "{t}/out"],
    "evaluate against no corpus": ["evaluate", "{d}", "{t}/out", "--reference", "{t}/empty"],
    "evaluate into a file": ["evaluate", "{d}", "{t}/nonsense.json"],
    "reproduce no table": ["reproduce", "table99", "{t}/out", "--predict"],
    "reproduce no row": ["reproduce", "table6", "{t}/out", "--predict", "--rows", "XXXXX"],
    "reproduce into a file": ["reproduce", "table6", "{t}/nonsense.json", "--predict"],
    "reproduce at no width": ["reproduce", "table6", "{t}/out", "--predict", "--width", "0"],
    "reproduce on no data": ["reproduce", "snapping", "{t}/out", "--data", "{t}/nowhere"],
    "a lab of nothing": ["lab", "{t}/nowhere.ipynb"],
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_one_line_and_code_two(
    what: str, demo: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "autoencoder.json").write_text("{}")
    (tmp_path / "fake" / "autoencoder.safetensors").write_text("no tensors")
    (tmp_path / "nonsense.json").write_text("nonsense")
    impossible = json.loads(recipes.laptop().to_json())
    impossible["autoencoder"]["model"]["transformer"]["d_head"] = 7
    (tmp_path / "impossible.json").write_text(json.dumps(impossible))
    places = {"t": tmp_path, "d": demo, "c": demo / "corpus"}
    capsys.readouterr()
    code = main([word.format(**places) for word in BAD[what]])
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("fwb:") or "Traceback" in line]
    assert code == 2
    assert len(said) == 1
    assert said[0].startswith("fwb: ")
    assert len(said[0]) > 20


UNREADABLE = {
    "": "expected one of {prepare,",
    "dance": "unrecognized options: dance; choose from prepare,",
    "--dance": "unrecognized options: --dance",
    "sample": "missing from fwb sample: RUN directory of a run",
    "prepare embedded": "missing from fwb prepare: OUT directory of the corpus",
    "sample laptop out --sampler magic": "invalid choice 'magic' for argument '--sampler'",
    "sample laptop out --formats pdf": "invalid choice 'pdf'",
    "sample laptop out -n two": "error parsing -n/--n: 'two' is not a whole number",
    "sample laptop out -n 1.5": "'1.5' is not a whole number",
    "sample laptop out --guidance much": "'much' is not of type FLOAT",
    "sample laptop out -n": "missing value for argument '-n/--n'",
    "sample laptop out more": "unrecognized options: more",
    "sample laptop out --step 3": "unrecognized options: --step, 3; perhaps --steps was meant",
    "train corpus run --symmetry": "--symmetry (applied to fwb train)",
    "evaluate samples --time-limit": "missing value for argument '--time-limit'",
    "reproduce": "missing from fwb reproduce: TABLE all, table1",
}


@pytest.mark.parametrize("words", UNREADABLE)
def test_a_command_line_that_cannot_be_read_is_one_line_too(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    shown, said = capsys.readouterr()
    assert shown == ""
    assert said.startswith("fwb: ") and said.count("\n") == 1 and len(said) < 500
    assert UNREADABLE[words] in said
    command = words.split()[0] if words.split()[:1] and words.split()[0] in COMMANDS else None
    assert said.endswith(f"; see fwb {command} --help\n" if command else "; see fwb --help\n")
    assert not list(tmp_path.iterdir())


def test_interrupting_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(COMMANDS, "lab", interrupted)
    assert main(["lab"]) == 130
    assert "repeat the command to resume" in capsys.readouterr().err
