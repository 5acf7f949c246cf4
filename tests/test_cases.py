"""Files as other programs write them, one a kind of fault in `cases/`: the right crystal, or a rejection with its reason."""

import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trouble import bounded

from fourier_workbench import Crystal
from fourier_workbench.data import load_crystals
from fourier_workbench.data.sources.json_structures import crystal_from_json
from fourier_workbench.errors import CrystalError, SettingsError, SourceError
from fourier_workbench.settings import ReadingLimits, load_settings

CASES = Path(__file__).parent / "cases"
MGO, CSI = "Mg4 O4", "Cs1 I1"
RIGHT: dict[str, list[str]] = {  # formulas of the crystals, and reasons of the rejections, in the order of the file
    "symbol_against_operations.cif": ["Ga2 N2"], "wrong_operation.cif": ["formula_mismatch"],
    "wrong_operation_undeclared.cif": ["symmetry"], "text_field.cif": [MGO], "single_operation.cif": [MGO],
    "several_blocks.cif": [MGO, CSI], "upper_case.cif": [MGO], "unknown_occupancy.cif": [MGO], "unknown_displacement.cif": [MGO],
    "unknown_coordinate.cif": ["unreadable"], "unknown_cell.cif": ["unreadable"], "uncertainties.cif": [MGO],
    "origin_by_formula.cif": ["Si8"], "origin_wrong.cif": ["formula_mismatch"], "origin_unknown.cif": ["symmetry"],
    "thirds.cif": ["Mg2"], "lost_hydrogen.cif": ["formula_mismatch"], "moiety.cif": ["Cs1 Cl1"],
    "hexagonal_axes.cif": ["Sb6 Te9"], "rhombohedral_axes.cif": ["Sb2 Te3"], "rhombohedral_marked_hexagonal.cif": ["symmetry"],
    "rhombohedral_hexagonal_operations.cif": ["symmetry"], "deuterium.cif": ["Li4 H4"], "primed_labels.cif": ["Ba1 Ti1 O3"],
    "labels_only.cif": ["Na1 Cl1"], "occupancy_0999.cif": [MGO], "occupancy_1001.cif": [MGO],
    "occupancy_099.cif": ["partial_occupancy"], "occupancy_shared.cif": ["partial_occupancy"], "occupancy_zero.cif": [MGO],
    "mmcif_names.cif": [CSI], "cartesian.cif": ["Mg2"], "cut_off.cif": ["truncated"], "other_notation.cif": ["unreadable"],
    "text_after.cif": [MGO], "loop_twice.cif": ["unreadable"],
    "POSCAR_selective": [MGO], "POSCAR_selective_short": [MGO], "POSCAR_symbol_before_flags": [MGO], "CONTCAR_velocities": [MGO],
    "CONTCAR_lattice_velocities": [MGO], "POSCAR_three_factors": [MGO], "POSCAR_volume": [MGO], "POSCAR_fortran": [MGO],
    "POSCAR_comments": [MGO], "POSCAR_hashes": [MGO], "POSCAR_vasp4_comment": [MGO], "POSCAR_vasp4_labels": [MGO],
    "POSCAR_vasp4_nothing": ["element"], "POSCAR_contradiction": ["element"], "POSCAR_cut": ["truncated"],
    "POSCAR_groups": ["Ni2 O2"],
    "frames.extxyz": [CSI] * 5 + ["empty", "not_periodic", "element", "unreadable", CSI, "truncated"],
    "list.json": [CSI] * 3 + ["element", "partial_occupancy", "not_periodic", CSI], "mapping.json": [CSI] * 2,
    "lines.jsonl": [CSI] * 2, "nan.json": ["not_finite"],
    "optimade.json": [CSI, CSI, "partial_occupancy", "element", "partial_occupancy", "not_periodic", "unreadable",
                      "formula_mismatch", "formula_mismatch"],
    "pandas_columns.json": [CSI] * 2, "pandas_split.json": [CSI] * 2, "jarvis.json": [CSI],
}


def outcomes(source: Path, limits: ReadingLimits | None = None) -> list[str]:
    "Formulas and reasons in order; every detail is one line."
    found: list[str] = []

    def reject(name: str, reason: str, detail: str) -> None:
        assert detail
        assert "\n" not in detail
        f"{name}{detail}".encode()  # can be written anywhere
        found.append(reason)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for sample in load_crystals(source, reject, limits):
            sample.id.encode()
            found.append(sample.crystal.formula)
    return found


def test_every_case_has_its_right_outcome() -> None:
    assert {path.name for path in CASES.iterdir()} == set(RIGHT)


@pytest.mark.parametrize("name", RIGHT)
def test_a_case(name: str) -> None:
    assert outcomes(CASES / name) == RIGHT[name]


def shape(crystal: Crystal) -> np.ndarray:
    return np.array([crystal.volume_per_atom, crystal.min_distance()])


def test_the_same_crystal_in_every_dialect() -> None:
    "Not the formula alone: volumes and distances too."
    for wanted, n in ((MGO, 20), (CSI, 20)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            found = [s for name, right in RIGHT.items() if wanted in right for s in load_crystals(CASES / name, lambda *_: None)]
        shapes = [shape(sample.crystal) for sample in found if sample.crystal.formula == wanted]
        assert len(shapes) >= n
        assert np.allclose(shapes, shapes[0], rtol=2e-3), [s.id for s in found]


def test_hexagonal_and_rhombohedral_axes_are_one_crystal() -> None:
    hexagonal, rhombohedral = (next(load_crystals(CASES / f"{name}_axes.cif")).crystal for name in ("hexagonal", "rhombohedral"))
    assert np.allclose(shape(hexagonal), shape(rhombohedral), rtol=1e-3)


def test_passed_over_blocks_are_said_once() -> None:
    with pytest.warns(UserWarning, match="blocks of CIFs that list no atoms") as caught:
        assert len(list(load_crystals(CASES / "several_blocks.cif"))) == 2
    assert len(caught) == 1


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    text = "# at 20 °C\n" + (CASES / "upper_case.cif").read_text()
    (tmp_path / "a.cif").write_bytes(text.encode(encoding))
    assert outcomes(tmp_path) == [MGO]


def test_names_that_are_no_utf8_lose_neither_themselves_nor_the_folder(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    names = {b"Schr\xf6der.cif": "upper_case.cif", b"b\xff.cif": "unknown_cell.cif", b"x\xe9.extxyz.7z": "lines.jsonl"}
    for name, source in names.items():
        (Path(os.fsdecode(folder + b"/" + name))).write_bytes((CASES / source).read_bytes())
    assert sorted(outcomes(tmp_path)) == [MGO, "unreadable", "unreadable"]


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}


@pytest.mark.parametrize("packing", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("name", ["upper_case.cif", "POSCAR_hashes", "frames.extxyz", "lines.jsonl", "mapping.json"])
def test_compressed_files(tmp_path: Path, name: str, packing: str) -> None:
    content = (CASES / name).read_bytes()
    if packing == ".zst":
        with pa.OSFile(str(tmp_path / (name + packing)), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            stream.write(content)
    else:
        (tmp_path / (name + packing)).write_bytes(PACK[packing](content))
    assert outcomes(tmp_path / (name + packing)) == RIGHT[name]


def test_a_folder_of_plain_and_packed_files(tmp_path: Path) -> None:
    content = (CASES / "upper_case.cif").read_bytes()
    (tmp_path / "0.cif").write_bytes(content)
    (tmp_path / "1.cif.gz").write_bytes(gzip.compress(content))
    (tmp_path / "2.cif.7z").write_bytes(b"7z")
    with pytest.warns(UserWarning, match=r"not known \(2.cif.7z\)"):
        assert len(list(load_crystals(tmp_path, lambda *_: None))) == 2
    assert outcomes(tmp_path) == [MGO, MGO, "unreadable"]


def test_archives_of_a_mac_within_archives_encrypted_and_of_unknown_methods(tmp_path: Path) -> None:
    content = (CASES / "upper_case.cif").read_bytes()
    with zipfile.ZipFile(tmp_path / "mac.zip", "w") as archive:
        for name in ("gen/0.cif", "__MACOSX/gen/._0.cif", "gen/.DS_Store"):
            archive.writestr(name, content if name == "gen/0.cif" else b"\0\5\26\7")
        archive.writestr("gen/1.cif.gz", gzip.compress(content))
    assert outcomes(tmp_path / "mac.zip") == [MGO, MGO]
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as archive:
        archive.write(tmp_path / "mac.zip", "run/inner.zip")
    with pytest.raises(SourceError, match=r"run/inner.zip; unpack it"):
        load_crystals(tmp_path / "outer.zip")
    plain = (tmp_path / "mac.zip").read_bytes()
    for flag, method in ((1, 0), (0, 99)):  # encrypted; of a method that is not known
        changed = bytearray(plain)
        for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = plain.find(mark)
            changed[at + flags] |= flag
            changed[at + flags + 2] = method or changed[at + flags + 2]
        (tmp_path / "changed.zip").write_bytes(bytes(changed))
        assert outcomes(tmp_path / "changed.zip") == ["unreadable", MGO]


def test_what_a_generator_leaves_beside_its_crystals(tmp_path: Path) -> None:
    (tmp_path / "gen_0.cif").write_bytes((CASES / "upper_case.cif").read_bytes())
    (tmp_path / "metrics.json").write_text('{"sun": 0.1}')
    (tmp_path / "scores.csv").write_text("id,score\na,1\n")
    with pytest.warns(UserWarning, match=r"passed over what holds no crystals: metrics.json, scores.csv"):
        assert len(list(load_crystals(tmp_path))) == 1
    (tmp_path / "all.extxyz").write_bytes((CASES / "frames.extxyz").read_bytes())
    with pytest.raises(SourceError, match=r"gen_0.cif; xyz: all.extxyz\); name one"):
        load_crystals(tmp_path)


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("column", ["cif", "CIF", "cif_string", "structure", "anything"])
def test_tables(tmp_path: Path, separator: str, column: str) -> None:
    quoted = '"' + Crystal.from_cif(CASES / "mmcif_names.cif").to_cif().replace('"', '""') + '"'
    header, row = separator.join(("Material_ID", "gap", column)), separator.join(("m-1", "1.5", quoted))
    (tmp_path / "a.csv").write_text(f"\ufeff{header}\n{row}\n", encoding="utf-8")
    (sample,) = load_crystals(tmp_path / "a.csv")
    assert (sample.id, sample.crystal.formula, sample.properties) == ("m-1", CSI, {"gap": 1.5})


@pytest.mark.parametrize("write", [json.dumps, repr])
def test_structures_in_a_column(tmp_path: Path, write) -> None:
    entry = json.loads((CASES / "list.json").read_text())[0]
    text = write(entry).replace('"', '""')
    (tmp_path / "a.csv").write_text(f'id,structure\nm,"{text}"\n')
    assert outcomes(tmp_path / "a.csv") == [CSI]


def test_parquet_of_every_type(tmp_path: Path) -> None:
    cell, numbers, sites = np.eye(3).ravel() * 4.567, [55, 53], [0, 0, 0, 0.5, 0.5, 0.5]
    good = {"lattice": cell.tolist(), "atomic_numbers": numbers, "frac_coords": sites}
    double, small, whole = pa.float64(), pa.float32(), pa.int8()
    types = [(pa.list_(double, 9), pa.list_(whole, 2), pa.list_(small, 6)),
             (pa.large_list(double), pa.large_list(pa.int64()), pa.large_list(double))]
    for i, kinds in enumerate(types):
        columns = {name: pa.array([value], kind) for (name, value), kind in zip(good.items(), kinds, strict=True)}
        pq.write_table(pa.table(columns | {"id": pa.array(["a"]).dictionary_encode()}), tmp_path / f"{i}.parquet")
    rows = [good | {"lattice": cell.reshape(3, 3).tolist(), "properties": text, "pbc": pbc}
            for text, pbc in (("{bad", [True] * 3), ("[" * 20000, [True] * 3), ("{}", [True, True, False]))]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "2.parquet")
    pq.write_table(pa.Table.from_pylist([good, dict.fromkeys(good)]), tmp_path / "3.parquet")
    assert outcomes(tmp_path) == [CSI, CSI, CSI, CSI, "not_periodic", CSI, "shape"]


EVIL = {"@module": "evilmod", "@class": "T", "@version": "1", "x": 1}


def evil_structure() -> dict:
    entry = json.loads((CASES / "list.json").read_text())[0]
    entry["properties"] = entry["sites"][0]["properties"] = {"x": EVIL}
    return entry


def write_evil(folder: Path, kind: str) -> Path:
    "A file of this kind that names a module wherever it can."
    entry, path = evil_structure(), folder / f"a.{kind}"
    if kind == "json":
        path.write_text(json.dumps([entry, EVIL, {"structure": entry, "x": EVIL}]))
    elif kind == "json.gz":
        path.write_bytes(gzip.compress(json.dumps({"a": entry, "b": EVIL}).encode()))
    elif kind == "jsonl":
        path.write_text(json.dumps(entry) + "\n" + json.dumps(EVIL))
    elif kind == "csv":
        text = json.dumps(entry).replace('"', '""')
        path.write_text(f'id,structure\na,"{text}"\nb,"__import__(""evilmod"")"\n')
    elif kind == "parquet":
        sites = {"atomic_numbers": [55, 53], "frac_coords": [0, 0, 0, 0.5, 0.5, 0.5]}
        row = {"lattice": (np.eye(3) * 4.567).ravel().tolist(), **sites}
        pq.write_table(pa.Table.from_pylist([row | {"properties": json.dumps(EVIL)}]), path)
    elif kind == "db":
        with connect(path) as rows:
            rows.write(Crystal.from_cif(CASES / "mmcif_names.cif").to_ase(), data={"x": EVIL}, note=json.dumps(EVIL)[:20])
    elif kind == "extxyz":
        header = 'Lattice="4.567 0 0 0 4.567 0 0 0 4.567" Properties=species:S:1:pos:R:3'
        path.write_text(f"2\n{header} x=_JSON{json.dumps(EVIL)}\nCs 0 0 0\nI 2.2835 2.2835 2.2835\n")
    elif kind == "cif":
        operation = "loop_\n_symmetry_equiv_pos_as_xyz\n'__import__(\"evilmod\"),y,z'\n"
        path.write_text((CASES / "mmcif_names.cif").read_text() + operation)
    return path


@pytest.mark.parametrize("kind", ["json", "json.gz", "jsonl", "csv", "parquet", "db", "extxyz", "cif"])
def test_no_reader_imports_what_a_file_names(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evilmod.py").write_text("open('EXECUTED', 'w').write('')\nclass T:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    found = outcomes(write_evil(tmp_path, kind))
    assert found == ["symmetry"] if kind == "cif" else CSI in found
    assert not (tmp_path / "EXECUTED").exists()


def test_a_recipe_beside_weights_imports_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fourier_workbench.errors import WorkbenchError
    from fourier_workbench.generation import load_generator

    (tmp_path / "evilmod.py").write_text("open('EXECUTED', 'w').write('')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("recipe.json", "autoencoder.json", "diffuser.json"):
        (tmp_path / name).write_text(json.dumps(EVIL))
    (tmp_path / "autoencoder.safetensors").write_bytes(b"cevilmod\nT\n.")  # the opcodes with which a pickle imports
    with pytest.raises(WorkbenchError):
        load_generator(tmp_path)
    assert not (tmp_path / "EXECUTED").exists()


def test_our_own_exports_are_read_back(tmp_path: Path) -> None:
    from pymatgen.io.optimade import OptimadeStructureAdapter

    crystal = Crystal.from_cif(CASES / "upper_case.cif")
    entry = {"id": "a", "type": "structures", **OptimadeStructureAdapter.get_optimade_structure(crystal.to_structure())}
    (tmp_path / "a.jsonl").write_text('{"x-optimade": {"meta": {}}}\n' + json.dumps(entry, default=str) + "\n")
    (sample,) = load_crystals(tmp_path / "a.jsonl", lambda *problem: pytest.fail(str(problem)))
    assert (sample.id, sample.crystal.formula) == ("a", MGO)
    assert np.allclose(shape(sample.crystal), shape(crystal))


@pytest.mark.parametrize(("name", "content", "words"), [
    ("a.json", b"[" * 100_000, "nested too deeply"), ("a.json", b'[{"lattice": ', "download complete"),
    ("a.json", b'{"novel": 1.0}', "no structures"), ("a.json", b"", "JSON"), ("a.json.gz", b"\x1f\x8b\x08\x00bad", "JSON"),
    ("a.extxyz.gz", gzip.compress(b"2\n" * 5000, mtime=0)[:-12], "unpacked"), ("a.csv.gz", b"not gzip", "CSV"),
    ("a.tar.gz", b"\x1f\x8b\x08\x00bad", "archive"), ("a.zip", b"PK\x03\x04", "zip"),
    ("a.db", b"SQLite format 3\0" + bytes(100), "ASE"),
    ("a.cif.7z", b"7z", "no crystals"),
])
def test_a_file_that_is_no_source_is_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=words) as caught:
        load_crystals(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_damaged_compressed_file_is_one_rejection(tmp_path: Path) -> None:
    whole = gzip.compress((CASES / "upper_case.cif").read_bytes())
    (tmp_path / "a.cif.gz").write_bytes(whole[:-20])
    (tmp_path / "b.cif.gz").write_bytes(whole)
    assert outcomes(tmp_path) == ["unreadable", MGO]


SMALL = ReadingLimits(max_atoms=4, max_structure_mb=0.5, max_file_mb=0.5, max_unpacked_mb=2)


@pytest.mark.parametrize("name", ["upper_case.cif", "POSCAR_hashes"])
def test_more_atoms_than_allowed(name: str) -> None:
    assert outcomes(CASES / name, SMALL) == ["limit"]
    assert outcomes(CASES / "mapping.json", SMALL) == [CSI, CSI]


def test_announced_atoms_are_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "a.extxyz").write_text(f"{10**14}\nLattice=\"1 0 0 0 1 0 0 0 1\"\nH 0 0 0\n")
    assert outcomes(tmp_path / "a.extxyz") == ["limit"]
    (tmp_path / "POSCAR").write_text(f"a\n1\n1 0 0\n0 1 0\n0 0 1\nH\n{10**11}\nDirect\n0 0 0\n")
    assert outcomes(tmp_path / "POSCAR") == ["limit"]


def test_bombs(tmp_path: Path) -> None:
    "Small files that unpack into large ones; the limits are small here, so that the test is quick."
    zeros = bytes(12 << 20)
    (tmp_path / "a.cif.gz").write_bytes(gzip.compress(zeros))
    assert outcomes(tmp_path / "a.cif.gz", SMALL) == ["limit"]
    (tmp_path / "b.json.xz").write_bytes(lzma.compress(zeros, preset=0))
    with pytest.raises(SourceError, match=r"max_unpacked_mb|max_file_mb"):
        load_crystals(tmp_path / "b.json.xz", limits=SMALL)
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.cif", zeros)
    with pytest.raises(SourceError, match="max_unpacked_mb"):
        load_crystals(tmp_path / "c.zip", limits=SMALL)
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as archive:
        for name, content in (("a.cif", (CASES / "mmcif_names.cif").read_bytes()), ("big.bin", zeros)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    assert sorted(outcomes(tmp_path / "d.tar.gz", SMALL)) == [CSI, "limit"]


def test_limits_are_set_in_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.ini").write_text("[workbench]\nmax_atoms = 4\nmax_seconds = 2.5\n")
    monkeypatch.chdir(tmp_path)
    assert load_settings().reading == ReadingLimits(max_atoms=4, max_seconds=2.5)
    assert outcomes(CASES / "upper_case.cif") == ["limit"]
    (tmp_path / "settings.ini").write_text("[workbench]\nmax_atoms = nan\n")
    with pytest.raises(SettingsError, match="max_atoms must be a positive number"):
        load_settings()


@pytest.mark.parametrize("scale", [1e30, 1e5, 1e-30])
def test_a_cell_that_a_corpus_cannot_hold_is_rejected_when_read(scale: float) -> None:
    entry = json.loads((CASES / "list.json").read_text())[0]
    entry["lattice"]["matrix"] = (np.eye(3) * scale).tolist()
    with pytest.raises(CrystalError) as caught:
        crystal_from_json(entry)
    assert caught.value.reason == "volume"


SEEDS = ["several_blocks.cif", "thirds.cif", "origin_by_formula.cif", "POSCAR_selective", "frames.extxyz", "optimade.json",
         "list.json"]
PIECES = [b"", b"\0", b"?", b"nan", b"1e999", b"-1", b"99999999999", b"loop_", b"\n;\n", b"data_", b"'", b'"', b"{", b"]",
          b"\xff", b"0", b" "]
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES)), min_size=1, max_size=4)


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=EDITS)
def test_mutated_files_are_crystals_rejections_or_one_line(tmp_path: Path, name: str, edits: list) -> None:
    content = (CASES / name).read_bytes()
    for place, length, new in edits:
        at = int(place * len(content))
        content = content[:at] + new + content[at + length :]
    path = tmp_path / name
    path.write_bytes(content)
    try:
        with bounded():
            found = outcomes(path)
    except SourceError as error:
        found = str(error).splitlines()
        if len(found) > 1:
            pytest.fail(str(error))
    assert found
