"Package metadata comes from settings.ini; everything static is in pyproject.toml."
from configparser import ConfigParser

from setuptools import setup

config = ConfigParser(delimiters=["="])
config.read("settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split() for name in ("evaluation", "cluster", "hub", "docs")}
extras["dev"] = cfg["dev_requirements"].split() + [r for name in ("evaluation", "cluster", "hub", "docs") for r in extras[name]]
setup(description=cfg["description"], install_requires=cfg["requirements"].split(), extras_require=extras)
