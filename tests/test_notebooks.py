"""Every notebook runs from top to bottom, in a kernel of its own; what it shows is kept for the documentation.

One that ran since anything it depends on changed is not run again: `rm -r build/executed` makes all of them run.
"""

from pathlib import Path

import pytest

from notebooks import executed
from project import ROOT, notebooks


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(ROOT))) for path in notebooks()])
def test_notebook_runs(path: Path) -> None:
    executed(path)
