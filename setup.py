"Package metadata comes from settings.ini; everything static is in pyproject.toml."

import shutil
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
EXTRAS = ("lab", "evaluation", "sevennet", "baselines", "cluster", "hub", "formats", "docs")


class BuildWithSettings(build_py):
    "Puts settings.ini inside the built package, where an installed copy looks for its defaults."

    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # an editable install reads the file of the checkout
            shutil.copy2(HERE / "settings.ini", Path(self.build_lib) / "fourier_workbench" / "settings.ini")


config = ConfigParser(delimiters=["="], interpolation=None)
with (HERE / "settings.ini").open(encoding="utf-8") as file:
    config.read_file(file)
project = config["DEFAULT"]
extras = {name: project[f"{name}_requirements"].split() for name in EXTRAS}
# For users: the views, and all that evaluates and reads; SevenNet alone brings more than all of these together.
everything = dict.fromkeys(line for name in EXTRAS if name not in ("sevennet", "docs") for line in extras[name])
development = dict.fromkeys([*project["dev_requirements"].split(), *(line for lines in extras.values() for line in lines)])
setup(
    description=project["description"],
    install_requires=project["requirements"].split(),
    extras_require={**extras, "all": list(everything), "dev": list(development)},
    cmdclass={"build_py": BuildWithSettings},
)
