"""Write environment.yml, for those who live in conda, from settings.ini.

.venv/bin/python tools/environment.py           write the file
.venv/bin/python tools/environment.py --check   exit 1 when it is out of step
"""

import sys

from project import ROOT, settings

ENVIRONMENT = ROOT / "environment.yml"
TEMPLATE = """\
# Written by tools/environment.py from settings.ini: edit there. Use: conda env create --file environment.yml
name: {lib_name}
channels: [conda-forge, nodefaults]
dependencies:
  - python={min_python}
  - pip
  - nodejs  # npm fetches the documentation's browser libraries
  - pip:
      - --constraint constraints.txt
      - --editable .[dev]
"""


def render() -> str:
    "Text of environment.yml; versions are the lock's, so that conda and pip users get the same."
    return TEMPLATE.format_map(settings()["DEFAULT"])


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        ENVIRONMENT.write_text(render(), encoding="utf-8")
    elif ENVIRONMENT.read_text(encoding="utf-8") != render():
        sys.exit("environment.yml is not what settings.ini says: run .venv/bin/python tools/environment.py")
