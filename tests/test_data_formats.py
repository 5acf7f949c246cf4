"""Formats of other codes: each read from a small file as that code writes it, and each way of being broken."""

import csv
import gzip
import io
import json
import tarfile
import zipfile
from types import SimpleNamespace

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect
from ase.io import write
from pymatgen.core import Lattice, Structure
from pymatgen.io.vasp import Poscar

from fourier_workbench import Crystal
from fourier_workbench.data import load_crystals, prepare_corpus
from fourier_workbench.data.sources.open import (
    materials_project_source,
    open_source,
    query_materials_project,
    read_part,
)
from fourier_workbench.errors import SourceError

CRYSTALS = [Crystal(np.diag([4.0, 5.0, 6.0 + i]), [11, 17], [[0, 0, 0], [0.5, 0.5, 0.4]]) for i in range(5)]
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12345\n"


def read(source):
    rejected = []
    return list(load_crystals(source, on_reject=lambda *entry: rejected.append(entry))), rejected


def same(samples, crystals=tuple(CRYSTALS)):
    assert len(samples) == len(crystals)
    for sample, crystal in zip(samples, crystals, strict=True):
        lengths = [np.linalg.norm(c.lattice, axis=1) for c in (sample.crystal, crystal)]
        assert np.allclose(*lengths, atol=1e-5)
        assert np.array_equal(sample.crystal.numbers, crystal.numbers)
        assert np.allclose(sample.crystal.frac_coords, crystal.frac_coords, atol=1e-5)


def texts():
    """File names and texts: five good CIFs, and one of every kind of bad one."""
    good = {f"in/{i}.cif": crystal.to_cif() for i, crystal in enumerate(CRYSTALS)}
    text = CRYSTALS[0].to_cif()
    return good | {
        "in/half.cif": text.replace("0.40000000  1\n", "0.40000000  0.5\n"), "in/lfs.cif": POINTER,
        "in/unknown.cif": text.replace(" Cl ", " Qq ").replace("Cl1", "Qq1"),
        "in/flat.cif": text.replace("_cell_length_a   4.00000000", "_cell_length_a   0.0"),
        "in/nan.cif": text.replace("0.40000000", "nan"), "in/readme.txt": "no crystal",
    }


def tar(path, mode):
    with tarfile.open(path, mode) as archive:
        for name, text in texts().items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))


@pytest.mark.parametrize("name", ["a.tar", "a.tgz", "a.tar.xz", "a.zip"])
def test_archives_give_what_is_good_and_report_the_rest(tmp_path, name):
    path = tmp_path / name
    if name == "a.zip":
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in texts().items():
                archive.writestr(member, text)
    else:
        tar(path, {"a.tar": "w", "a.tgz": "w:gz", "a.tar.xz": "w:xz"}[name])
    samples, rejected = read(path)
    same(samples)
    assert [sample.id for sample in samples] == [f"in/{i}" for i in range(5)]
    assert {entry[0]: entry[1] for entry in rejected}["in/half"] == "partial_occupancy"
    assert sorted(entry[0] for entry in rejected) == ["in/flat", "in/half", "in/lfs", "in/nan", "in/unknown"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [name]  # nothing is unpacked
    parts = open_source(path, part_size=3).parts
    assert [len(part) for part in parts] == [3, 3, 3, 1]
    funnel = prepare_corpus(open_source(path, part_size=3), tmp_path / "out", recovery=None, progress=False).funnel
    assert funnel["in"] == 10


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_a_truncated_archive_is_read_to_the_cut_and_counted(tmp_path, mode, share):
    tar(tmp_path / "whole", mode)
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "cut.tar"
    path.write_bytes(whole[: int(len(whole) * share) if mode == "w" else int(len(whole) * (0.6 + share / 3))])
    samples, rejected = read(path)
    assert "truncated" in [entry[1] for entry in rejected]
    assert 0 < len(samples) <= 5
    same(samples, CRYSTALS[: len(samples)])


def test_parts_of_a_compressed_archive_are_read_in_one_pass(tmp_path, monkeypatch):
    tar(tmp_path / "a.tgz", "w:gz")
    parts = open_source(tmp_path / "a.tgz", part_size=3).parts
    opened, open_tar = [], tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *args, **options: opened.append(args) or open_tar(*args, **options))

    def ids(part):
        return [sample.id for sample in read_part(part, lambda *entry: None)]

    assert [name for part in parts for name in ids(part)] == [f"in/{i}" for i in range(5)]
    assert len(opened) == 1
    assert ids(parts[0]) == ["in/0", "in/1", "in/2"], "an earlier part is read from the start again"
    assert len(opened) == 2


def test_poscars(tmp_path):
    for name, crystal in zip(["POSCAR", "CONTCAR_1", "a.vasp", "b.poscar", "poscar-x"], CRYSTALS, strict=True):
        Poscar(crystal.to_structure()).write_file(tmp_path / name)
    good = (tmp_path / "POSCAR").read_text()
    (tmp_path / "bad1.vasp").write_text(good.replace("Cl", "Qq"))
    (tmp_path / "bad2.vasp").write_text("nonsense")
    (tmp_path / "bad3.vasp").write_text(good.replace("0.4000000", "nan"))
    (tmp_path / "bad4.vasp").write_text(POINTER)
    samples, rejected = read(tmp_path)
    same(sorted(samples, key=lambda s: s.crystal.volume))
    assert sorted(entry[0] for entry in rejected) == ["bad1", "bad2", "bad3", "bad4"]


def test_extended_xyz(tmp_path):
    images = [crystal.to_ase() for crystal in CRYSTALS]
    images[1].info["energy_above"] = 0.25
    write(tmp_path / "a.extxyz", images, format="extxyz")
    with open(tmp_path / "a.extxyz", "a") as file:
        file.write("1\npbc=\"T T T\" Lattice=\"3 0 0 0 3 0 0 0 3\" Properties=species:S:1:pos:R:3\nQq 0 0 0\n")
        file.write("1\nno cell at all\nNa 0 0 0\n1\nLattice=\"3 0 0 0 3 0 0 0 3\"\nNa nan 0 0\n")
        file.write("2\nLattice=\"3 0 0 0 3 0 0 0 3\"\nNa 0 0 0\n")  # cut off
    samples, rejected = read(tmp_path / "a.extxyz")
    same(samples)
    assert samples[1].properties == {"energy_above": 0.25}
    assert [entry[0] for entry in rejected] == ["a:5", "a:6", "a:7", "a:8"]
    assert rejected[2][1] == "not_finite"
    (tmp_path / "b.xyz").write_text("no number\n")
    with pytest.raises(SourceError, match="number of atoms"):
        load_crystals(tmp_path / "b.xyz")


def test_ase_data_base(tmp_path):
    with connect(tmp_path / "a.db") as rows:
        for i, crystal in enumerate(CRYSTALS):
            rows.write(crystal.to_ase(), gap=0.5 * i)
        molecule = CRYSTALS[0].to_ase()
        molecule.pbc = False
        rows.write(molecule)
    samples, rejected = read(tmp_path / "a.db")
    same(samples)
    assert samples[3].properties == {"gap": 1.5}
    assert [entry[:2] for entry in rejected] == [("a:6", "not_periodic")]
    assert [len(part) for part in open_source(tmp_path / "a.db", part_size=4).parts] == [4, 2]
    (tmp_path / "b.db").write_text("not a data base, but long enough to have a header of its own")
    with pytest.raises(SourceError, match="ASE"):
        load_crystals(tmp_path / "b.db")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_csv_with_cif_text(tmp_path, suffix):
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow(["", "material_id", "formation_energy_per_atom", "cif", "pretty_formula"])
    for i, (name, cif) in enumerate(texts().items()):
        table.writerow([i, name, -0.5, cif, "NaCl"])
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(text.getvalue().encode()) if suffix.endswith("gz") else text.getvalue().encode())
    samples, rejected = read(path)
    same(samples)
    assert samples[0].properties == {"formation_energy_per_atom": -0.5, "pretty_formula": "NaCl"}
    assert len(rejected) == 6
    (tmp_path / "no.csv").write_text("material_id,name\na,b\n")
    with pytest.raises(SourceError, match="column cif"):
        load_crystals(tmp_path / "no.csv")


def hdf5(path, **changed):
    counts = [len(crystal) for crystal in CRYSTALS]
    arrays = {
        "structures/cell": np.stack([c.lattice for c in CRYSTALS]), "structures/natoms": counts,
        "structures/atoms_ptr": np.cumsum([0, *counts]), "atoms/atomic_number": np.concatenate([c.numbers for c in CRYSTALS]),
        "atoms/positions": np.concatenate([c.frac_coords for c in CRYSTALS]).astype(np.float32),
    } | changed
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file[name] = array


def test_hdf5(tmp_path):
    hdf5(tmp_path / "a.h5")
    samples, rejected = read(tmp_path / "a.h5")
    same(samples)
    assert not rejected
    numbers = np.array([11, 17] * 4 + [11, 200])
    cells = np.stack([np.zeros((3, 3))] * 2 + [np.eye(3) * 4] * 3)
    hdf5(tmp_path / "b.hdf5", **{"atoms/atomic_number": numbers, "structures/cell": cells})
    samples, rejected = read(tmp_path / "b.hdf5")
    assert [s.id for s in samples] == ["b:2", "b:3"]
    assert [entry[:2] for entry in rejected] == [("b:0", "volume"), ("b:1", "volume"), ("b:4", "element")]
    hdf5(tmp_path / "c.h5", **{"atoms/positions": None})
    with pytest.raises(SourceError, match="lacks atoms/positions"):
        load_crystals(tmp_path / "c.h5")
    (tmp_path / "d.h5").write_bytes((tmp_path / "a.h5").read_bytes()[:900])
    with pytest.raises(SourceError, match="download complete"):
        load_crystals(tmp_path / "d.h5")


def test_json_of_structures(tmp_path):
    good = [c.to_structure().as_dict() for c in CRYSTALS]
    half = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]]).as_dict()
    entries = [*good[:3], {"material_id": "x", "structure": good[3], "gap": 1.0}, good[4], {"structure": half}, {"a": 1}]
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode()))
    samples, rejected = read(tmp_path / "a.json.gz")
    same(samples)
    assert (samples[3].id, samples[3].properties) == ("x", {"gap": 1.0})
    assert [entry[1] for entry in rejected] == ["partial_occupancy", "unreadable"]
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps(entries).encode())[:300])
    with pytest.raises(SourceError, match="download complete"):
        load_crystals(tmp_path / "b.json.gz")


@pytest.mark.parametrize("name", ["a.tar", "a.zip", "a.extxyz", "a.db", "a.csv", "a.h5", "a.json", "a.parquet"])
def test_a_pointer_instead_of_data_says_what_to_run(tmp_path, name):
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(SourceError, match="git lfs pull"):
        load_crystals(tmp_path / name)


def test_folders_of_nothing_and_of_several_kinds(tmp_path):
    with pytest.raises(SourceError, match="no crystals"):
        load_crystals(tmp_path)
    hdf5(tmp_path / "a.h5")
    CRYSTALS[0].to_cif(tmp_path / "a.cif")
    with pytest.raises(SourceError, match="several formats"):
        load_crystals(tmp_path)


class Client:
    """Answers as `MPRester` does."""

    def __init__(self, entries):
        self.entries, self.asked = entries, []
        self.materials = SimpleNamespace(summary=self)

    def search(self, **question):
        self.asked.append(question)
        return self.entries


def test_materials_project(monkeypatch):
    half = Structure(Lattice.cubic(4), [{"Na": 0.5}], [[0, 0, 0]])
    structures = [*(c.to_structure() for c in CRYSTALS), half]
    client = Client([SimpleNamespace(material_id=f"mp-{i}", structure=s, energy_above_hull=0.1 if i else None,
                                     formation_energy_per_atom=-1.0) for i, s in enumerate(structures)])
    samples, rejected = read(materials_project_source("mp:Na-Cl", query_materials_project("Na-Cl", client)))
    same(samples)
    assert samples[0].id == "mp-0"
    assert samples[0].properties == {"formation_energy_per_atom": -1.0}
    assert samples[1].properties["energy_above_hull"] == 0.1
    assert rejected[0][:2] == ("mp-5", "partial_occupancy")
    assert client.asked[0]["chemsys"] == "Na-Cl"
    monkeypatch.delenv("MP_API_KEY", raising=False)
    with pytest.raises(SourceError, match=r"mp-api|MP_API_KEY"):
        load_crystals("mp:Na-Cl")


def lemat(path):
    rows = [{"immutable_id": f"agm{i}", "lattice_vectors": c.lattice.tolist(), "species_at_sites": ["Na", "Cl"],
             "cartesian_site_positions": (c.frac_coords @ c.lattice).tolist(), "energy": -1.0} for i, c in enumerate(CRYSTALS)]
    pq.write_table(pa.Table.from_pylist(rows), path)


def test_the_hull_table_is_joined(tmp_path):
    lemat(tmp_path / "bulk.parquet")
    pq.write_table(pa.table({"immutable_id": ["agm3", "agm0", "other"], "dft_hull": [0.3, 0.0, 9.0]}), tmp_path / "hull.parquet")
    corpus = prepare_corpus(tmp_path / "bulk.parquet", tmp_path / "out", hull=tmp_path / "hull.parquet", deduplicate=False,
                            progress=False)
    hull = {sample.id: sample.properties.get("dft_hull") for sample in corpus}
    assert hull == {"agm0": 0.0, "agm1": None, "agm2": None, "agm3": 0.3, "agm4": None}
    pq.write_table(pa.table({"immutable_id": ["agm3"]}), tmp_path / "hull.parquet")
    with pytest.raises(SourceError, match="dft_hull"):
        prepare_corpus(tmp_path / "bulk.parquet", tmp_path / "new", hull=tmp_path / "hull.parquet", progress=False)


def test_a_hull_in_several_files_and_of_the_hub(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    lemat(tmp_path / "bulk.parquet")
    (tmp_path / "hull").mkdir()
    pq.write_table(pa.table({"immutable_id": ["agm3", None], "dft_hull": [0.3, 1.0]}), tmp_path / "hull" / "a.parquet")
    unknown = pa.table({"immutable_id": ["agm1", "agm0"], "dft_hull": [None, float("nan")]})
    pq.write_table(unknown, tmp_path / "hull" / "b.parquet")
    options = {"deduplicate": False, "recovery": None, "grid": 24, "progress": False}
    corpus = prepare_corpus(tmp_path / "bulk.parquet", tmp_path / "out", hull=tmp_path / "hull", **options)
    assert [sample.properties.get("dft_hull") for sample in corpus] == [None, None, None, 0.3, None]
    table = datasets.Dataset.from_dict({"immutable_id": ["agm4", "agm2"], "dft_hull": [0.4, 0.2]})
    monkeypatch.setattr(datasets, "load_dataset", lambda *arguments, **_: table)
    hub = "hf:LeMaterial/LeMat-Bulk-DFT-Hull-All"
    corpus = prepare_corpus(tmp_path / "bulk.parquet", tmp_path / "hub", hull=hub, **options)
    assert [sample.properties.get("dft_hull") for sample in corpus] == [None, None, 0.2, None, 0.4]
    with pytest.raises(SourceError, match="no hull table"):
        prepare_corpus(tmp_path / "bulk.parquet", tmp_path / "new", hull=tmp_path / "nowhere", **options)
