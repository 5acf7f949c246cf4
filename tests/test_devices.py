"""What a GPU would object to, or wait for, found without one."""

import subprocess
import sys

from project import ROOT


def test_nothing_mixes_devices_or_asks_for_a_value_in_the_middle_of_a_step() -> None:
    done = subprocess.run([sys.executable, ROOT / "tests" / "card.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
