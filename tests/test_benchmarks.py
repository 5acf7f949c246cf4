"""Every benchmark imports only what the library still has, and says how it is used; none is run."""

import importlib

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
