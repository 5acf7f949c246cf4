"""All tables in one command: every row at several seeds, killed half-way and resumed with the same result, in order or not."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourier_workbench.config.paper_tables import TABLES, paper_table
from fourier_workbench.data import Corpus
from fourier_workbench.errors import RecipeError, RunError
from fourier_workbench.reproduction.agreement import order_agreement
from fourier_workbench.reproduction.all_tables import AllTables, _table, plan, reproduce_all
from fourier_workbench.reproduction.shares import SHARES, Shares, get_shares, scaled_table
from fourier_workbench.reproduction.trainings import hull_limit

TINY = {"width": 0.01, "depth": 0.125, "autoencoder_share": 6e-6, "diffuser_share": 6e-6, "fine_tune_share": 3e-5, "bpd": 3,
        "batch_size": 4, "half_space": True, "penalty_ramp": 0.5, "optimiser": "muon", "limit": 60, "max_sites": 6}
COMMAND = "import sys; from fourier_workbench.cli import main; sys.exit(main())"


def start(out: Path, scale: Path) -> subprocess.Popen:
    "The command, in a process group of its own."
    words = [sys.executable, "-c", COMMAND, "reproduce", "all", str(out), "--scale", str(scale), "--seeds", "1", "--workers", "1"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)


def results(out: Path) -> dict:
    "The tables without processor times, which no two runs share."
    text = (out / "all_tables.json").read_text(encoding="utf-8")
    tables = json.loads(text)["tables"]
    for table in tables.values():
        for row in table["rows"]:
            for values in (row["mean"], row["standard_error"], row["best"], *row["seeds"]):
                values.pop("cpu_s", None)
    return tables


@pytest.fixture(scope="module")
def scale(tmp_path_factory: pytest.TempPathFactory) -> Path:
    "A JSON file of shares so small that all tables take seconds."
    path = tmp_path_factory.mktemp("scale") / "tiny.json"
    path.write_text(json.dumps(TINY), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, scale: Path) -> tuple[Path, str]:
    "A run of all tables, and what it printed."
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    process = start(out, scale)
    printed = process.communicate()[0]
    assert process.returncode == 0
    return out, printed


def test_every_row_has_all_values(undisturbed) -> None:
    out, printed = undisturbed
    found = AllTables.load(out / "all_tables.json")
    assert set(found.tables) == set(TABLES) and found.about["seeds"] == 1 and found.about["machine"]
    assert found.about["command"].startswith("fwb reproduce all OUT --scale tiny.json --seeds 1 --data embedded")
    for name, table in found.tables.items():
        assert [row["row"] for row in table["rows"]] == [row.settings for row in paper_table(name).rows]
        for row in table["rows"]:
            assert not row["failures"] and len(row["seeds"]) == 1 and set(row["paper"]) <= set(row["mean"])
            assert not row["standard_error"] and row["best"] == row["seeds"][0]
        assert table["order"][table["column"]]["sentence"] in printed
    noise = {"noise_low", "noise_mean", "signal_low", "noise_low_tau", "noise_mean_tau", "signal_low_tau"}
    assert noise <= set(found.tables["table9"]["rows"][0]["mean"])
    assert "predicted:" in printed and "heads" in printed and "stand-in" in found.about["data"]["fine_tuning"]
    with (out / "all_tables.csv").open(encoding="utf-8") as file:
        assert len(list(csv.DictReader(file))) == 40


def test_seeds_give_best_mean_and_standard_error() -> None:
    rows, _ = plan(SHARES["smoke"], 3)
    values = {row.settings: [row.values["L_VAE"] + shift for shift in (0.02, -0.01, 0.03)] for row in TABLES["table6"].rows}
    found = {rows["table6", name, seed].key: {"L_VAE": value, "mu": 10 - value, "R": 9.0, "flag": None}
             for name, each in values.items() for seed, value in enumerate(each)}
    table = _table(TABLES["table6"], rows, found, {}, 3)
    for row in table["rows"]:
        assert row["best"]["L_VAE"] == min(values[row["row"]]) and row["best"]["mu"] == 10 - min(values[row["row"]])
        assert row["mean"]["L_VAE"] == pytest.approx(np.mean(values[row["row"]]))
        assert row["standard_error"]["L_VAE"] == pytest.approx(np.std([0.02, -0.01, 0.03], ddof=1) / np.sqrt(3))
    assert table["order"]["L_VAE"]["tau"] == pytest.approx(1)
    assert table["order"]["L_VAE"]["sentence"].startswith("agrees: τ = 1.00")


def test_shared_trainings_give_shared_values(undisturbed) -> None:
    tables = results(undisturbed[0])
    row = lambda table, name: next(row for row in tables[table]["rows"] if row["row"] == name)  # noqa: E731
    assert row("table7", "C 8-12")["seeds"] == row("table8", "nnz 160 k")["seeds"]
    assert row("table5", "baseline")["seeds"] == row("table9", "rate 2e-5")["seeds"]
    assert row("table9", "rate 5e-5")["seeds"] != row("table9", "rate 2e-6")["seeds"]


def test_a_kill_in_the_middle_loses_nothing(undisturbed, scale, tmp_path) -> None:
    "Most trainings are there already: the kill falls among the others, of every stage."
    whole, out = undisturbed[0], tmp_path / "out"
    finished = lambda: {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*/columns.json")}  # noqa: E731
    rows, trainings = plan(get_shares(scale)[1], 1, Corpus(whole / "corpus").hash, hull_limit(Corpus(whole / "corpus")))
    left = {training.key for (table, _, _), training in rows.items() if table == "table8"}
    left |= {str(rows["table5", "N_head 10", 0].needs)}  # a diffuser
    left |= {training.key for training in trainings.values() if training.needs in left}
    assert {trainings[key].stage for key in left} == {"autoencoder", "diffuser", "fine_tune"} and len(left) > 8
    shutil.copytree(whole, out, ignore=lambda _, names: [name for name in names if name in left or name.startswith("all_tables")])
    process = start(out, scale)
    while len(finished()) < len(trainings) - len(left) // 2 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = finished()
    assert len(trainings) - len(left) // 2 <= len(before) < len(trainings) and not (out / "all_tables.json").exists()
    asked = start(out, scale)  # asked to end, it leaves the rows that it has
    while len(finished()) < len(before) + 2 and asked.poll() is None:  # one may be the last of the killed command's worker
        time.sleep(0.05)
    asked.send_signal(signal.SIGTERM)
    assert asked.wait(60) == 130 and before.items() < finished().items() and len(finished()) < len(trainings)
    assert json.loads((out / "all_tables.json").read_text(encoding="utf-8"))["tables"]["table8"]["rows"]
    again = start(out, scale)
    again.communicate()
    assert again.returncode == 0 and len(finished()) == len(trainings)
    assert before.items() <= finished().items()  # finished rows were not run again
    assert results(out) == results(whole)


def test_results_can_be_read_from_finished_runs(undisturbed, scale) -> None:
    said: list[str] = []
    before = results(undisturbed[0])
    found = reproduce_all(undisturbed[0], scale=scale, seeds=1, say=said.append)
    assert found is not None and results(undisturbed[0]) == before and "predicted" in said[0]


def test_a_failed_row_does_not_stop_the_others(undisturbed, scale, tmp_path) -> None:
    "A file in the place of a run directory fails its row, and those that need it."
    out, corpus = tmp_path / "out", Corpus(undisturbed[0] / "corpus")
    rows, _ = plan(get_shares(scale)[1], 1, corpus.hash, hull_limit(corpus))
    broken = rows["table4", "N_head 10", 0].key
    (out / "runs").mkdir(parents=True)
    for path in (undisturbed[0] / "runs").iterdir():
        if path.name != broken:
            (out / "runs" / path.name).symlink_to(path)
    (out / "runs" / broken).write_text("in the way", encoding="utf-8")
    found = reproduce_all(out, undisturbed[0] / "corpus", scale, seeds=1, say=lambda line: None)
    assert found is not None
    states = {(name, row["row"]): bool(row["failures"]) for name, table in found.tables.items() for row in table["rows"]}
    lost = {row for row, failed in states.items() if failed}
    rates = {("table10", row.settings) for row in TABLES["table10"].rows}
    assert lost == {("table4", "N_head 10"), ("table5", "N_head 10"), *rates}
    assert "order" in found.tables["table10"] and "cannot tell: 0 rows" in str(found)


def test_at_the_papers_scale_every_row_is_the_papers() -> None:
    for table in TABLES.values():
        for row in table.rows:
            assert SHARES["paper"].recipe(table, row.settings) == row.recipe
    assert {line["scaled"] for line in scaled_table(SHARES["paper"])} == {"no"}


@given(st.floats(0.005, 1), st.floats(0.05, 1), st.sampled_from([3, 5, 7, 9]))
@settings(max_examples=20, deadline=None)
def test_what_a_table_compares_survives_any_scale(width: float, depth: float, bpd: int) -> None:
    shares = Shares(width, depth, 1e-3, 1e-3, 1e-3, bpd=bpd)
    recipes = lambda name: [shares.recipe(TABLES[name], row.settings) for row in TABLES[name].rows]  # noqa: E731
    assert [recipe.autoencoder.model.transformer.d_head for recipe in recipes("table1")] == [36, 48, 60]
    assert [recipe.autoencoder.model.transformer.n_heads for recipe in recipes("table2")] == [10, 11, 12, 14]
    assert [recipe.autoencoder.model.transformer.n_layers for recipe in recipes("table3")] == [7, 8, 9]
    assert len({replaced.to_json() for replaced in recipes("table6")}) == 10
    assert [recipe.autoencoder.prune_until for recipe in recipes("table8")] == sorted(
        row.recipe.autoencoder.prune_until for row in TABLES["table8"].rows)
    rates = [recipe.fine_tune.optimiser.lr * width for recipe in recipes("table9") if recipe.fine_tune]
    assert rates == pytest.approx([5e-5, 2e-5, 1e-5, 5e-6, 2e-6])


@given(st.permutations(range(6)), st.integers(0, 100))
def test_the_interval_holds_the_point_where_seeds_agree(order: list[int], seed: int) -> None:
    found = order_agreement([float(i) for i in range(6)], [[float(i), float(i)] for i in order], 50, seed)
    assert found.tau == pytest.approx(found.low) and found.tau == pytest.approx(found.high)


def test_noise_is_no_agreement() -> None:
    generator = np.random.default_rng(3)
    verdicts = [order_agreement(range(10), generator.normal(0, 1, (10, 2)), 400).verdict for _ in range(50)]
    assert verdicts.count("cannot tell") > 30


def test_bad_requests(tmp_path) -> None:
    (tmp_path / "shares.json").write_text('{"width": 2}', encoding="utf-8")
    for scale, message in (("desktop", "no scale 'desktop'; give a JSON file of shares, or one of smoke"),
                           (tmp_path / "shares.json", "width must be a number")):
        with pytest.raises(RecipeError, match=message):
            reproduce_all(tmp_path / "out", scale=scale)
    with pytest.raises(RecipeError, match="seeds must be a whole number"):
        reproduce_all(tmp_path / "out", scale="smoke", seeds=0)
    with pytest.raises(RunError, match="holds no results of all tables"):
        AllTables.load(tmp_path / "shares.json")
