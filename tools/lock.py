"""Write constraints.txt: the versions of everything settings.ini asks for, with all extras, as installed here.

.venv/bin/python tools/lock.py
"""

from importlib.metadata import distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from project import EXTRAS, ROOT, requirements

CONSTRAINTS = ROOT / "constraints.txt"


def closure(asked: list[str]) -> dict[str, str]:
    "Name and version of each installed distribution that the requirements `asked` need, directly or not."
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [Requirement(line) for line in asked]
    while waiting:
        requirement = waiting.pop()
        key = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (key, extra) in seen:
                continue
            seen.add((key, extra))
            installed = distribution(requirement.name)
            # A local part such as +cpu names a build of this machine, not a version others can have.
            versions[installed.metadata["Name"]] = installed.version.split("+")[0]
            needs = (Requirement(line) for line in installed.requires or ())
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return versions


def render() -> str:
    "Text of constraints.txt for the environment this runs in."
    versions = closure(requirements(*EXTRAS))
    head = (
        "# The lock of settings.ini with all extras, written by tools/lock.py. Use: pip install -c constraints.txt …\n"
    )
    return head + "".join(f"{name}=={versions[name]}\n" for name in sorted(versions, key=str.lower))


if __name__ == "__main__":
    CONSTRAINTS.write_text(render(), encoding="utf-8")
