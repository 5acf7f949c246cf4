"""Sources: every entry is read or counted with a reason, and a source that cannot be opened raises one line."""

import pickle
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fourier_workbench import Crystal
from fourier_workbench.data import load_crystals, prepare_corpus
from fourier_workbench.data.sources.base import Format, indexed, samples_from
from fourier_workbench.data.sources.open import FORMATS, for_another_process, open_source, read_part
from fourier_workbench.errors import SourceError

SALT = Crystal(np.eye(3) * 5.64, [11, 17], [[0, 0, 0], [0.5, 0.5, 0.5]])
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


def rows(n=5, **extra):
    return [{"material_id": f"m{i}", "lattice": (np.eye(3) * (3 + i)).flatten().tolist(), "atomic_numbers": [11, 17],
             "frac_coords": [0.0, 0.0, 0.0, 0.5, 0.5, 0.5], "e_above_hull": 0.1 * i, **extra} for i in range(n)]


def read(source):
    rejected = []
    samples = list(load_crystals(source, on_reject=lambda *entry: rejected.append(entry)))
    return samples, rejected


@pytest.fixture
def cifs(tmp_path):
    """A folder with one good CIF, nested, and one bad one for each reason."""
    good = SALT.to_cif()
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "salt.CIF").write_text(good)
    (tmp_path / "half.cif").write_text(good.replace("0.50000000  1\n", "0.50000000  0.5\n"))
    (tmp_path / "unknown.cif").write_text(good.replace(" Cl ", " Qq ").replace("Cl1", "Qq1"))
    (tmp_path / "nan.cif").write_text(good.replace("_cell_length_a   5.64000000", "_cell_length_a   nan"))
    (tmp_path / "pointer.cif").write_text(POINTER)
    (tmp_path / "noise.cif").write_bytes(bytes(range(256)))
    (tmp_path / "empty.cif").write_text("")
    (tmp_path / "notes.txt").write_text("not a crystal")
    return tmp_path


def test_bad_cifs_are_reported_and_the_others_are_read(cifs):
    samples, rejected = read(cifs)
    assert [sample.id for sample in samples] == ["deep/salt"]
    assert samples[0].crystal.formula == "Na1 Cl1"
    reasons = {name: reason for name, reason, _ in rejected}
    assert set(reasons) == {"half", "unknown", "nan", "pointer", "noise", "empty"}
    assert reasons["half"] == "partial_occupancy"
    assert reasons["pointer"] == "unreadable"
    assert all("\n" not in detail and detail for _, _, detail in rejected)


def test_without_on_reject_one_warning_says_how_many(cifs):
    with pytest.warns(UserWarning, match="6 entries .* could not be read"):
        list(load_crystals(cifs))


def test_a_single_cif(cifs):
    assert [sample.id for sample in load_crystals(cifs / "deep" / "salt.CIF")] == ["salt"]


def test_parquet_of_structures(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows(5)), tmp_path / "a.parquet", row_group_size=2)
    pq.write_table(pa.Table.from_pylist(rows(2, dataset="b")), tmp_path / "b.parquet")
    samples, rejected = read(tmp_path)
    assert [sample.id for sample in samples] == ["m0", "m1", "m2", "m3", "m4", "m0", "m1"]
    assert not rejected
    assert samples[5].properties == {"e_above_hull": 0.0, "dataset": "b"}
    assert len(open_source(tmp_path, part_size=2).parts) == 4


def test_bad_rows_are_reported(tmp_path):
    bad = rows(6)
    bad[0]["lattice"] = None
    bad[1]["frac_coords"] = [0.0, 0.0]
    bad[2]["frac_coords"] = [0.0, float("nan"), 0.0, 0.5, 0.5, 0.5]
    bad[3]["lattice"] = [0.0] * 9
    bad[4]["atomic_numbers"] = [11, 777]
    pq.write_table(pa.Table.from_pylist(bad), tmp_path / "a.parquet")
    samples, rejected = read(tmp_path)
    assert [sample.id for sample in samples] == ["m5"]
    assert [reason for _, reason, _ in rejected] == ["shape", "shape", "not_finite", "volume", "element"]


def test_parquet_in_lemats_schema(tmp_path):
    lattice = [[4.0, 0.0, 0.0], [0.0, 4.0, 0.0], [1.0, 0.0, 4.0]]
    entries = [{"immutable_id": "agm1", "lattice_vectors": lattice, "species_at_sites": ["Cs", "Cl"], "energy": -3.0,
                "cartesian_site_positions": [[0.0, 0.0, 0.0], [2.5, 2.0, 2.0]], "nsites": 2},
               {"immutable_id": "agm2", "lattice_vectors": lattice, "species_at_sites": ["Xx"], "energy": 0.0,
                "cartesian_site_positions": [[0.0, 0.0, 0.0]], "nsites": 1}]
    pq.write_table(pa.Table.from_pylist(entries), tmp_path / "lemat.parquet")
    samples, rejected = read(tmp_path / "lemat.parquet")
    assert samples[0].id == "agm1"
    assert samples[0].properties == {"energy": -3.0}
    assert np.allclose(samples[0].crystal.frac_coords, [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert [(name, reason) for name, reason, _ in rejected] == [("agm2", "element")]


def test_a_corpus_is_a_source(tmp_path):
    corpus = prepare_corpus([SALT], tmp_path / "c", grid=24, recovery=None, progress=False)
    samples, _ = read(tmp_path / "c")
    assert [sample.id for sample in samples] == [sample.id for sample in corpus]
    assert np.allclose(samples[0].crystal.frac_coords, SALT.frac_coords)


def put(path, content):
    path.write_text(content) if isinstance(content, str) else path.write_bytes(content)
    return path


@pytest.mark.parametrize(("make", "words"), [
    (lambda d: d / "nowhere", "no source"),
    (lambda d: d, "no crystals"),
    (lambda d: put(d / "a.parquet", POINTER), "Git-LFS pointer"),
    (lambda d: put(d / "a.parquet", b"PAR1 and then nothing"), "download complete"),
    (lambda d: put(d / "a.txt", "2\n\n"), "no crystals that can be read"),
    (lambda d: put(d / "a.cif", "x") and put(d / "b.parquet", "y").parent, "or the folder of one format"),
    (lambda d: [], "empty"),
    (lambda d: [SALT, 3], "entry 1 is a int"),
    (lambda d: "hf:LeMat", "write hf:OWNER/NAME"),
])
def test_a_source_that_cannot_be_opened_raises_one_line(tmp_path, make, words):
    with pytest.raises(SourceError, match=words) as caught:
        load_crystals(make(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_missing_column_is_named(tmp_path):
    table = pa.Table.from_pylist(rows(2)).drop_columns(["frac_coords"])
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(SourceError, match=r"lacks the column\(s\) frac_coords"):
        load_crystals(tmp_path / "a.parquet")


def test_a_truncated_table_is_an_error(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows(50)), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    put(tmp_path / "cut.parquet", content[: len(content) // 2])
    with pytest.raises(SourceError, match="cannot be read as Parquet"):
        load_crystals(tmp_path / "cut.parquet")


def test_a_damaged_file_among_others_is_counted_with_a_warning(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows(3)), tmp_path / "b.parquet")
    put(tmp_path / "a.parquet", POINTER)
    put(tmp_path / "c.parquet", b"PAR1 and then nothing")
    pq.write_table(pa.Table.from_pylist(rows(2)).drop_columns(["lattice"]), tmp_path / "d.parquet")
    with pytest.warns(UserWarning, match="3 of 4 files of .* cannot be read and count as one rejected entry each"):
        samples, rejected = read(tmp_path)
    assert [sample.id for sample in samples] == ["m0", "m1", "m2"]
    assert [(name, reason) for name, reason, _ in rejected] == [
        ("a.parquet", "unreadable"), ("c.parquet", "unreadable"), ("d.parquet", "unreadable")]
    assert [word in detail for (_, _, detail), word in zip(rejected, ["git lfs pull", "download", "lattice"], strict=True)] == [
        True] * 3
    with pytest.warns(UserWarning, match="cannot be read"):
        funnel = prepare_corpus(tmp_path, tmp_path.with_name("prepared"), grid=24, recovery=None, progress=False).funnel
    assert (funnel["in"], funnel["rejected"]["unreadable"]) == (6, 3)
    (tmp_path / "b.parquet").unlink()
    with pytest.raises(SourceError, match="Git-LFS"):
        load_crystals(tmp_path)


def test_a_damaged_row_group_is_counted_row_by_row_and_the_others_are_read(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows(90)), path, row_group_size=30)
    group = pq.read_metadata(path).row_group(1)
    first = min(group.column(i).dictionary_page_offset or group.column(i).data_page_offset for i in range(group.num_columns))
    content = bytearray(path.read_bytes())
    content[first : first + 60] = bytes(60)
    path.write_bytes(bytes(content))
    samples, rejected = read(path)
    assert [sample.id for sample in samples] == [f"m{i}" for i in (*range(30), *range(60, 90))]
    assert [reason for _, reason, _ in rejected] == ["damaged"] * 30


def test_parts_carry_no_more_than_their_own_entries(cifs):
    parts = open_source(cifs, part_size=3).parts
    assert [len(part.payload) for part in parts] == [len(part) for part in parts] == [3, 3, 1]
    assert [name for part in parts for name in part.payload] == list(open_source(cifs).parts[0].payload)


def test_the_hub_without_its_extra_names_the_command_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SourceError, match=r"fourier_workbench\[hub\]"):
        load_crystals("hf:LeMaterial/LeMat-BulkUnique:unique_pbe")


def test_a_data_set_of_the_hub(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    def load(name, configuration, split):
        asked.append((name, configuration, split))
        return datasets.Dataset.from_list(rows(3, lattice=None) + rows(2))

    monkeypatch.setattr(datasets, "load_dataset", load)
    samples, rejected = read("hf:LeMaterial/LeMat-Bulk:compatible_pbe")
    assert set(asked) == {("LeMaterial/LeMat-Bulk", "compatible_pbe", "train")}
    assert [sample.id for sample in samples] == ["m0", "m1"]
    assert [reason for _, reason, _ in rejected] == ["shape"] * 3


def test_a_hub_that_cannot_be_reached_raises_one_line(monkeypatch):
    datasets = pytest.importorskip("datasets")

    def load(*arguments, **options):
        raise ConnectionError("no route to host\nand much more")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(SourceError, match="cannot be loaded") as caught:
        load_crystals("hf:LeMaterial/LeMat-Bulk")
    assert "\n" not in str(caught.value)


def test_the_digest_follows_the_content(tmp_path):
    path = put(tmp_path / "a.cif", SALT.to_cif())
    before = open_source(path).digest
    assert open_source(path).digest == before
    put(path, SALT.to_cif().replace("5.64", "5.65"))
    assert open_source(path).digest != before
    assert open_source([SALT]).digest != open_source([SALT, SALT]).digest


def test_head_cuts_the_source(tmp_path):
    pq.write_table(pa.Table.from_pylist(rows(5)), tmp_path / "a.parquet", row_group_size=2)
    source = open_source(tmp_path)
    assert [len(source.head(n)) for n in (None, 9, 5, 3, 0)] == [5, 5, 5, 3, 0]
    assert [sample.id for sample in load_crystals(source.head(3))] == ["m0", "m1", "m2"]
    assert [sample.id for sample in load_crystals(open_source([SALT] * 9, part_size=4).head(6))] == list("012345")


def read_edges(part, on_reject):
    """Reader of a format of our own: one cubic cell edge a line."""
    entries = ((str(i), lambda edge=edge: (Crystal(float(edge) * np.eye(3), [26], [[0, 0, 0]]), {}))
               for i, edge in enumerate(part.payload, part.start))
    yield from samples_from(entries, on_reject, (ValueError,))


def test_a_new_format_is_one_entry_of_the_table(tmp_path, monkeypatch):
    out, tmp_path = tmp_path / "out", tmp_path / "crystals"
    tmp_path.mkdir()
    monkeypatch.setitem(FORMATS, "edges", Format((".edges",), indexed(lambda path: path.read_text().split(), read_edges)))
    put(tmp_path / "a.edges", "2.8 none 2.9")
    put(tmp_path / "b.edges", "0 3.0")
    samples, rejected = read(tmp_path)
    assert [sample.crystal.lattice[0, 0] for sample in samples] == [2.8, 2.9, 3.0]
    assert [(name, reason) for name, reason, _ in rejected] == [("1", "unreadable"), ("0", "volume")]
    source = open_source(tmp_path, part_size=2)
    assert [len(part) for part in source.parts] == [2, 1, 2]
    again = pickle.loads(pickle.dumps(source.parts[1]))  # as it travels to a worker
    assert [sample.id for sample in read_part(again, lambda *entry: None)] == ["2"]
    corpus = prepare_corpus(tmp_path, out, grid=24, recovery=None, deduplicate=False, progress=False)
    assert (corpus.funnel["in"], len(corpus)) == (5, 3)


def test_a_part_of_a_built_in_source_carries_its_samples_to_another_process():
    (part, *_) = open_source("embedded", part_size=5).parts
    sent = pickle.loads(pickle.dumps(for_another_process(part)))
    assert [sample.id for sample in sent.payload] == [sample.id for sample in read_part(part, lambda *entry: None)]
    assert len(sent.payload) == 5
    assert for_another_process(open_source([SALT]).parts[0]).payload[0].crystal.formula == SALT.formula
