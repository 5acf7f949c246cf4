"""A prepared corpus: every entry counted, independent of the workers, resumable, refused when damaged."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from fourier_workbench import Crystal
from fourier_workbench.data import Corpus, CrystalDataset, Sample, funnel_figure, prepare_corpus
from fourier_workbench.data.packed import DENOMINATOR, pack, to_nodes, to_numerators
from fourier_workbench.data.preparation.executor import TaskExecutor
from fourier_workbench.data.sources.open import open_source
from fourier_workbench.data.sources.prototypes import embedded
from fourier_workbench.data.storage import read_table, write_table
from fourier_workbench.errors import CorpusError, SourceError
from fourier_workbench.representation import FourierBasis, snap

BASIS = FourierBasis(5)
OPTIONS = {"basis": BASIS, "grid": 24, "recovery": None, "progress": False}


def metal(z, a=2.5, **properties):
    return Sample(f"m{z}-{a}", Crystal(np.eye(3) * a, [z], [[0, 0, 0]]), properties)


def folder_of(path: Path) -> dict[str, bytes]:
    """Every file of a corpus with its content."""
    return {str(p.relative_to(path)): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Small embedded prototypes as Parquet in row groups of 20, with entries that cannot be read among them."""
    rows = [{"material_id": name, "lattice": c.lattice.flatten().tolist(), "atomic_numbers": c.numbers.tolist(),
             "frac_coords": c.frac_coords.flatten().tolist(), "e_above_hull": 0.0}
            for name, c, _ in embedded() if len(c) <= 4]
    rows[3]["lattice"] = [0.0] * 9
    rows[50]["atomic_numbers"] = None
    path = tmp_path_factory.mktemp("source") / "prototypes.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=20)
    return path


@pytest.fixture(scope="module")
def prepared(table, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus") / "one"
    prepare_corpus(table, out, **OPTIONS)
    return out


def test_every_entry_is_kept_or_counted(prepared, table):
    corpus = Corpus(prepared)
    funnel = corpus.funnel
    entries = pq.read_metadata(table).num_rows
    assert funnel["in"] == entries == funnel["kept"] + sum(funnel["rejected"].values())
    assert funnel["kept"] == len(corpus)
    for level in funnel["by_size"].values():
        assert level["in"] == level["kept"] + sum(level["rejected"].values())
    assert sum(level["in"] for level in funnel["by_size"].values()) == entries
    assert funnel["rejected"]["volume"] == funnel["rejected"]["shape"] == 1
    assert funnel["by_size"]["unknown"]["in"] == 2
    rejected = corpus.rejected.to_pylist()
    kept = {sample.id for sample in corpus}
    ids = pq.read_table(table)["material_id"].to_pylist()
    assert kept | {row["id"] for row in rejected} == set(ids)
    assert len(kept) + len(rejected) == entries
    assert [name for name in ids if name in kept] == [sample.id for sample in corpus]


def test_what_cannot_be_recovered_is_left_out(tmp_path):
    rng = np.random.default_rng(1)
    crowd = Crystal(np.eye(3) * 30, [6] * 60, rng.permutation(24**3)[:60, None] // [576, 24, 1] % 24 / 24)
    twice = Crystal(np.eye(3) * 30, [6, 6], [[0, 0, 0], [0.02, 0, 0]])
    corpus = prepare_corpus([crowd, metal(29), twice], tmp_path / "c", **{**OPTIONS, "recovery": "paper"})
    assert [sample.id for sample in corpus] == ["m29-2.5"]
    assert corpus.funnel["rejected"] == {"collision": 1, "unrecoverable": 1}
    untested = prepare_corpus([crowd, metal(29), twice], tmp_path / "u", **{**OPTIONS, "recovery": None})
    assert untested.funnel["rejected"] == {"collision": 1} and len(CrystalDataset(untested, untested.basis, untested.grid)) == 2


def test_a_duplicate_names_the_crystal_it_repeats(tmp_path):
    corpus = prepare_corpus([metal(29), metal(29, 2.6), metal(28)], tmp_path / "c", **OPTIONS)
    assert [sample.id for sample in corpus] == ["m29-2.5", "m28-2.5"]
    assert corpus.rejected.to_pylist() == [{"id": "m29-2.6", "reason": "duplicate", "detail": "of m29-2.5", "n_sites": 1}]
    both = prepare_corpus([metal(29), metal(29, 2.6)], tmp_path / "d", deduplicate=False, **OPTIONS)
    assert len(both) == 2


def test_two_workers_make_the_same_files(prepared, table, tmp_path):
    prepare_corpus(table, tmp_path / "two", workers=2, **OPTIONS)
    assert folder_of(tmp_path / "two") == folder_of(prepared)


def test_dask_makes_the_same_files(prepared, table, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        prepare_corpus(table, tmp_path / "dask", scheduler=client, **OPTIONS)
    assert folder_of(tmp_path / "dask") == folder_of(prepared)


KILLED = """
import os, signal, sys
import fourier_workbench.data.preparation.prepare as preparation
from fourier_workbench.representation import FourierBasis

work, calls = getattr(preparation, sys.argv[3]), []

def dies(*arguments):
    calls.append(1)
    if len(calls) == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    work(*arguments)

setattr(preparation, sys.argv[3], dies)
preparation.prepare_corpus(sys.argv[1], sys.argv[2], FourierBasis(5), 24, recovery=None, progress=False)
"""


@pytest.mark.parametrize(("where", "when"), [("_filter_part", 3), ("find_duplicates", 1), ("_write_shard", 1),
                                             ("_finish", 1)])
def test_a_killed_run_resumes_where_it_was(prepared, table, tmp_path, where, when):
    out = tmp_path / "killed"
    run = subprocess.run([sys.executable, "-c", KILLED, table, out, where, str(when)], capture_output=True, check=False)
    assert run.returncode == -9, run.stderr.decode()
    with pytest.raises(CorpusError, match="did not finish"):
        Corpus(out)
    with pytest.raises(SourceError, match="did not finish"):
        prepare_corpus(out, tmp_path / "other", **OPTIONS)
    before = {p.name: p.stat().st_mtime_ns for p in (out / "work").glob("kept-*")}
    assert len(before) >= 2
    for path in (out / "work").glob("kept-*"):
        os.utime(path, ns=(1, 1))
    (out / "shards" / ".shard-00000.parquet.99").write_text("half a shard")
    seen = {}
    finish = sys.modules["fourier_workbench.data.preparation.prepare"]._finish
    with pytest.MonkeyPatch.context() as patch:
        def look(folder, *rest):
            seen.update({p.name: p.stat().st_mtime_ns for p in (folder / "work").glob("kept-*")})
            return finish(folder, *rest)

        patch.setattr("fourier_workbench.data.preparation.prepare._finish", look)
        prepare_corpus(table, out, **OPTIONS)
    assert all(seen[name] == 1 for name in before)  # finished parts were not made again
    assert folder_of(out) == folder_of(prepared)


def test_a_finished_corpus_is_opened_and_not_made_again(prepared, table):
    stamps = {p: p.stat().st_mtime_ns for p in prepared.rglob("*")}
    assert prepare_corpus(table, prepared, **OPTIONS).hash == Corpus(prepared).hash
    assert {p: p.stat().st_mtime_ns for p in prepared.rglob("*")} == stamps


def test_another_preparation_does_not_overwrite_a_corpus(prepared, table):
    with pytest.raises(CorpusError, match=r"prepared differently \(options\)"):
        prepare_corpus(table, prepared, **{**OPTIONS, "grid": 48})
    with pytest.raises(CorpusError, match="prepared differently"):
        prepare_corpus([metal(29)], prepared, **OPTIONS)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(CorpusError, match="is not a corpus"):
        prepare_corpus([metal(29)], tmp_path, **OPTIONS)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_dead_worker_raises_one_line():
    with TaskExecutor(2, progress=False) as pool, pytest.raises(CorpusError, match="a worker process died"):
        pool.run([(os._exit, (1,), 1)] * 2, 2, "die")


def test_a_corpus_without_crystals_warns(tmp_path):
    with pytest.warns(UserWarning, match="nothing of in hand was kept"):
        corpus = prepare_corpus([metal(54), metal(60)], tmp_path / "c", **OPTIONS)
    assert len(corpus) == 0
    assert corpus.funnel["rejected"] == {"f_block": 1, "noble_gas": 1}
    assert [len(corpus.split(name)) for name in ("train", "val", "test")] == [0, 0, 0]


@pytest.mark.parametrize("wrong", [{"cell": "primitive"}, {"split": "random"}, {"recovery": "magic"}])
def test_unknown_options_are_refused(tmp_path, wrong):
    with pytest.raises(CorpusError, match="must be one of"):
        prepare_corpus([metal(29)], tmp_path / "c", **{**OPTIONS, **wrong})
    assert not (tmp_path / "c").exists()


def test_splits_keep_a_formula_on_one_side(prepared):
    corpus = Corpus(prepared)
    sides = [set(corpus.split(name).formulas) for name in ("train", "val", "test")]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    places = np.concatenate([corpus.split(name).indices for name in ("train", "val", "test")])
    assert sorted(places) == list(range(len(corpus)))
    with pytest.raises(CorpusError, match="train, val, test"):
        corpus.split("holdout")


def test_paper_split_tests_on_metastable_crystals_of_every_size(tmp_path):
    def cell(i, n):
        frac = np.stack([np.arange(n) / n, np.zeros(n), np.zeros(n)], 1)
        return Sample(f"{n}-{i}", Crystal(np.diag([2.6 * n, 3 + 0.01 * i, 3]), [3 + i % 6] * n, frac),
                      {"e_above_hull": 0.05 if i % 2 else 0.3})

    samples = [cell(i, n) for n in (4, 20, 40, 60, 70) for i in range(40)]
    corpus = prepare_corpus(samples, tmp_path / "c", split="paper", deduplicate=False, **{**OPTIONS, "grid": 240})
    test = corpus.split("test")
    assert [sum(len(s.crystal) == n for s in test) for n in (4, 20, 40, 60, 70)] == [2, 2, 2, 2, 0]
    assert all(s.properties["e_above_hull"] <= 0.1 for s in test)


def test_cells_are_reduced_when_asked(tmp_path):
    copper = Crystal(np.eye(3) * 3.6, [29] * 4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    corpus = prepare_corpus([copper], tmp_path / "c", cell="niggli", **OPTIONS)
    assert len(corpus[0].crystal) == 1


def test_elements_the_paper_leaves_out_are_kept_when_asked(tmp_path):
    cells = [Crystal(np.eye(3) * 4, [z], [[0, 0, 0]]) for z in (57, 54, 26, 92)]
    plain = prepare_corpus(cells, tmp_path / "paper", FourierBasis(5), 24, progress=False)
    every = prepare_corpus(cells, tmp_path / "all", FourierBasis(5), 24, elements="all", progress=False)
    assert plain.funnel["rejected"] == {"f_block": 2, "noble_gas": 1} and len(plain) == 1
    assert every.funnel["rejected"] == {"heavy_element": 1} and len(every) == 3


def test_limit_and_max_sites(tmp_path, table):
    corpus = prepare_corpus(table, tmp_path / "c", limit=30, max_sites=2, **OPTIONS)
    assert corpus.funnel["in"] == 30
    assert corpus.funnel["rejected"]["too_large"] > 0
    assert all(len(sample.crystal) <= 2 for sample in corpus)


def test_views_give_samples_views_and_packs(prepared):
    corpus = Corpus(prepared)
    view = corpus[5:15]
    assert len(view) == 10
    assert view[-1].id == corpus[14].id
    assert [sample.id for sample in view[[3, 1]]] == [corpus[8].id, corpus[6].id]
    packed = view[[3, 1]].packed()
    assert np.array_equal(packed.crystal(0).frac_coords, corpus[8].crystal.frac_coords)
    with pytest.raises(IndexError):
        corpus[len(corpus)]
    assert len(CrystalDataset(view, BASIS, 24)) == 10


def test_the_hash_follows_the_crystals(tmp_path, prepared):
    one = prepare_corpus([metal(29)], tmp_path / "a", **OPTIONS)
    same = prepare_corpus([metal(29)], tmp_path / "b", **OPTIONS)
    other = prepare_corpus([metal(28)], tmp_path / "c", **OPTIONS)
    assert one.hash == same.hash != other.hash


def test_a_damaged_corpus_is_refused(tmp_path):
    prepare_corpus([metal(29), metal(28)], tmp_path / "c", **OPTIONS)
    shard = next((tmp_path / "c" / "shards").iterdir())
    content = shard.read_bytes()
    shard.write_bytes(content[:50])
    with pytest.raises(CorpusError, match="missing or damaged"):
        Corpus(tmp_path / "c")[0]
    (tmp_path / "c" / "funnel.json").write_text("{")
    with pytest.raises(CorpusError, match="damaged manifest or funnel"):
        Corpus(tmp_path / "c")
    with pytest.raises(CorpusError, match="is not a corpus"):
        Corpus(tmp_path)
    manifest = tmp_path / "c" / "manifest.json"
    (tmp_path / "c" / "funnel.json").write_text("{}")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(CorpusError, match="newer version"):
        Corpus(tmp_path / "c")


def test_ten_atoms_take_at_most_140_bytes(tmp_path):
    rng = np.random.default_rng(0)
    samples = [Sample(f"mp-{rng.integers(10**6)}", Crystal(np.diag(rng.uniform(5, 9, 3)) + rng.normal(0, 0.3, (3, 3)),
                                                        rng.choice([3, 8, 14, 22, 26], 10), rng.random((10, 3))), {})
               for _ in range(2000)]
    corpus = prepare_corpus(samples, tmp_path / "c", deduplicate=False, **OPTIONS)
    size = sum(p.stat().st_size for p in (tmp_path / "c" / "shards").iterdir())
    assert size / len(corpus) <= 140


@given(npst.arrays(np.float64, (7, 3), elements=st.floats(0, 1, exclude_max=True)), st.sampled_from([24, 48]))
def test_stored_coordinates_are_true_and_snap_alike(frac, grid):
    stored = to_numerators(frac)
    back = stored / DENOMINATOR
    distance = np.abs(back - frac)
    assert np.minimum(distance, 1 - distance).max() <= 0.5 / DENOMINATOR + 1e-12
    assert np.array_equal(to_nodes(stored, grid), snap(back, grid))
    apart = (to_nodes(stored, grid) - snap(frac, grid)) % grid
    near_half = np.abs(frac * grid % 1 - 0.5) <= grid / DENOMINATOR  # only there may rounding twice differ
    assert (apart[~near_half] == 0).all()


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.data())
def test_packing_and_selecting_keep_crystals(sizes, data):
    rng = np.random.default_rng(0)
    crystals = [Crystal(np.eye(3) * 4, rng.integers(1, 84, n), rng.random((n, 3))) for n in sizes]
    packed = pack(crystals)
    picks = data.draw(st.lists(st.integers(0, len(sizes) - 1), max_size=8))
    for i, crystal in zip(picks, map(packed.select(picks).crystal, range(len(picks))), strict=True):
        assert np.array_equal(crystal.numbers, crystals[i].numbers)
        assert np.allclose(crystal.frac_coords, crystals[i].frac_coords, atol=1e-5) or crystals[i].frac_coords.max() > 0.9999


def test_coordinates_need_a_grid_that_divides_the_denominator():
    with pytest.raises(CorpusError, match="does not divide"):
        to_nodes(np.zeros((1, 3), np.uint16), 96)


FULL = """
import resource, sys
from fourier_workbench.data import prepare_corpus
from fourier_workbench.errors import CorpusError
from fourier_workbench.representation import FourierBasis

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
try:
    prepare_corpus(sys.argv[1], sys.argv[2], FourierBasis(5), 24, recovery=None, progress=False)
except CorpusError as error:
    print(error)
"""


@pytest.mark.parametrize("share", [0.82, 0.999])
def test_a_disk_without_room_loses_nothing_that_is_finished(prepared, table, tmp_path, share):
    """A file may not grow beyond so many bytes, which the system refuses as it refuses to write to a full disk."""
    out, room = tmp_path / "full", int(share * max(map(len, folder_of(prepared).values())))
    run = subprocess.run([sys.executable, "-c", FULL, table, out, str(room)], capture_output=True, check=False, text=True)
    assert run.returncode == 0, run.stderr
    assert "the disk is full" in run.stdout
    assert "make room and run the same again" in run.stdout
    assert len(run.stdout.splitlines()) == 1
    assert not list(out.rglob(".*"))  # nothing half written
    before = {path: path.read_bytes() for path in out.rglob("*.arrow")}
    assert all(pa.ipc.open_file(path).read_all().num_rows >= 0 for path in before)
    prepare_corpus(table, out, **OPTIONS)
    assert folder_of(out) == folder_of(prepared)


def test_a_full_disk_raises_one_line(tmp_path, monkeypatch):
    def write(*arguments, **options):
        raise OSError("[Errno 28] Error writing bytes to file. Detail: [errno 28] No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", write)
    with pytest.raises(CorpusError, match=r"the disk is full\); finished files are kept"):
        write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


def die_once(flag, done):
    """Kills its process the first time it is called."""
    if not flag.exists():
        flag.write_text("")
        os.kill(os.getpid(), signal.SIGKILL)
    done.write_text("")


def test_a_dask_worker_that_dies_is_replaced_and_its_task_done_again(tmp_path):
    distributed = pytest.importorskip("distributed")
    with (distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
          distributed.Client(cluster) as client, TaskExecutor(1, client, progress=False) as pool):
        pool.run([(die_once, (tmp_path / "flag", tmp_path / "done"), 1)], 1, "die")
    assert (tmp_path / "done").exists()


def test_progress_shows_rate_and_time_left(tmp_path, capsys):
    prepare_corpus([metal(z) for z in range(21, 31)], tmp_path / "c", **{**OPTIONS, "progress": True})
    shown = capsys.readouterr().err
    assert "read and filter: 100%" in shown
    assert re.search(r"10/10 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+ crystals/s\]", shown)


def test_the_split_of_a_corpus_is_recorded(tmp_path):
    samples = [metal(z, split=name) for z, name in zip((26, 28, 29), ("test", "train", "val"), strict=True)]
    corpus = prepare_corpus(samples, tmp_path / "c", split="given", **OPTIONS)
    assert corpus.manifest["options"]["split"] == "given"
    assert [corpus.split(name)[0].id for name in ("test", "train", "val")] == [sample.id for sample in samples]
    with pytest.raises(CorpusError, match="1 crystals have no known split"):
        prepare_corpus([metal(26)], tmp_path / "d", split="given", **OPTIONS)


def test_a_corpus_of_millions_opens_without_reading_it(prepared, tmp_path):
    """A manifest of a thousand shards that do not even exist: nothing of them is needed to open, count and ask for one."""
    manifest = json.loads((prepared / "manifest.json").read_text())
    folder = tmp_path / "large"
    (folder / "shards").mkdir(parents=True)
    real = (prepared / manifest["shards"][0]["file"]).read_bytes()
    rows = manifest["shards"][0]["rows"]
    manifest["shards"] = [{"file": f"shards/{i}.parquet", "rows": rows, "digest": ""} for i in range(1000)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "funnel.json").write_bytes((prepared / "funnel.json").read_bytes())
    (folder / "shards" / "700.parquet").write_bytes(real)
    corpus = Corpus(folder)
    assert len(corpus) == 1000 * rows
    assert corpus[700 * rows + 5].id == Corpus(prepared)[5].id
    with pytest.raises(CorpusError, match="missing or damaged"):
        corpus[0]


def test_samples_at_random_decode_a_shard_once(tmp_path, monkeypatch):
    """Twenty shards of one part each: more than a few, fewer atoms than are remembered."""
    monkeypatch.setattr("fourier_workbench.data.preparation.prepare._PARTS_PER_SHARD", 1)
    rows = [{"material_id": str(i), "lattice": (np.eye(3) * (2 + i / 50)).flatten().tolist(), "atomic_numbers": [z],
             "frac_coords": [0.0] * 3} for i, z in enumerate(range(11, 51)) if z not in (18, 36)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "many.parquet", row_group_size=2)
    corpus = prepare_corpus(open_source(tmp_path / "many.parquet", part_size=2), tmp_path / "out", **OPTIONS)
    assert len(corpus.manifest["shards"]) == 19
    read = []
    monkeypatch.setattr("fourier_workbench.data.corpus.read_table", lambda path: read.append(path) or read_table(path))
    order = np.random.default_rng(0).integers(0, len(corpus), 300)
    assert [corpus[i].id for i in order] == [rows[i]["material_id"] for i in order]
    assert len(read) == len(set(read)) == 19
    monkeypatch.setattr("fourier_workbench.data.corpus._CACHED_ATOMS", 4)
    corpus = Corpus(tmp_path / "out")
    assert [corpus[i].id for i in range(len(corpus))] == [row["material_id"] for row in rows]
    assert sum(len(packed) for packed, _, _ in corpus._shards.values()) <= 6


def test_the_funnel_draws_itself(prepared):
    funnel = Corpus(prepared).funnel
    bundle = funnel._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", "application/vnd.plotly.v1+json"}
    assert json.dumps(bundle)  # a message of Jupyter
    figure = funnel_figure(funnel)
    remain = [trace for trace in figure.data if trace.type == "bar" and trace.xaxis == "x"]
    assert sum(trace.x[0] for trace in remain) == funnel["in"]
    assert sum(trace.x[-1] for trace in remain) == funnel["kept"]
    lost = [trace for trace in figure.data if trace.type == "bar" and trace.xaxis == "x2"]
    assert sum(sum(trace.x) for trace in lost) == funnel["in"] - funnel["kept"]
    assert json.loads((prepared / "funnel.json").read_text()) == funnel
    for column in funnel.table():
        assert column[1][0] == sum(column[1][1:])
