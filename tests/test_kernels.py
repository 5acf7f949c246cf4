"""Kernels forked from a warm process are kernels of their own: separate, told where they are, missed when they die."""

import os
from pathlib import Path

import pytest
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat.v4 import new_code_cell, new_notebook

from kernels import ForkedKernel, kernel
from notebooks import Runner


def run(folder: Path, *cells: str, timeout: int = 60, **environment: str) -> tuple[list[str], int]:
    "What cells print, and the number of the process they ran in."
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    with kernel(folder, {**os.environ, **environment}) as started:
        assert isinstance(started, ForkedKernel), "on Linux"
        Runner(notebook, km=started, timeout=timeout).execute()
    return ["".join(output.text for output in cell.outputs) for cell in notebook.cells], started.pid


def test_a_kernel_knows_its_folder_and_environment_and_nothing_of_others(tmp_path: Path) -> None:
    first = "import os, sys; mine = 1; print(os.getcwd(), os.environ['WHO'], 'fourier_workbench' in sys.modules, __name__)"
    printed, pid = run(tmp_path, first, "import subprocess; print(subprocess.run(['true']).returncode)", WHO="one")
    assert [line.strip() for line in printed] == [f"{tmp_path} one False __main__", "0"]
    printed, other = run(tmp_path, "import os; print('mine' in globals(), os.environ['WHO'])", WHO="two")
    assert printed[0].strip() == "False two" and other != pid


def test_a_progress_bar_leaves_one_line(tmp_path: Path) -> None:
    bars = "for leave in (False, True): [None for _ in tqdm(range(9), mininterval=0, leave=leave)]"
    printed, _ = run(tmp_path, "from tqdm import tqdm", "for _ in tqdm(range(9), mininterval=0, leave=False): pass", bars)
    assert printed[:2] == ["", ""], "a bar that clears itself leaves nothing"
    assert "100%" in printed[2] and len(printed[2].strip().splitlines()) == 1 and "\r" not in printed[2].strip()


@pytest.mark.parametrize(
    ("cell", "error"),
    [("1 / 0", CellExecutionError), ("import os; os._exit(3)", DeadKernelError), ("while True: pass", CellTimeoutError)],
)
def test_what_goes_wrong_in_a_kernel_is_said_and_leaves_no_process(tmp_path: Path, cell: str, error: type) -> None:
    told = tmp_path / "pid"
    with pytest.raises(error):
        run(tmp_path, f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(str(os.getpid()))", cell, timeout=4)
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)
