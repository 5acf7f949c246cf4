"""Every benchmark imports only what the library still has, and says how it is used; the one for a GPU also runs, on a CPU."""

import importlib
import json
from pathlib import Path

import pytest

from project import ROOT

PARTS = {"coordinate_diffusion", "simple_baselines"}  # of baselines.py, no commands


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "benchmarks").glob("*.py")))
def test_a_benchmark_says_how_it_is_used(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark = importlib.import_module(name)
    assert hasattr(benchmark, "main") != (name in PARTS)
    if name in PARTS:
        return
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 0
    assert f"usage: {name}.py" in capsys.readouterr().out


def test_the_benchmark_for_a_gpu_runs_on_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    "So that it works the day there is a card."
    benchmark = importlib.import_module("gpu")
    monkeypatch.setattr("sys.argv", ["gpu.py", str(tmp_path / "out.json"), "--smoke"])
    benchmark.main()
    found = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert found["smoke"] and found["machine"] and found["command"].endswith("--smoke")
    assert {"seconds_a_crystal", "utilisation", "memory_GB"} <= found["step"]["ours"].keys() and found["step"]["ratio"] > 0
    assert found["sampling"]["n"] == found["sampling"]["recovered"] == 8
    assert found["row"]["steps"] >= 2 and found["row"]["losses"][0][1] > 0
