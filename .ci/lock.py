"""Writes requirements.lock (production) and requirements-dev.lock (all extras) from what this environment holds.

Run as `make lock` after changing the dependencies in pyproject.toml: names and exact versions, nothing else,
so the files name no registry and no machine.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

INSTALLER = {"pip", "setuptools"}  # each Python brings the ones that fit it
PROJECT = Path(__file__).resolve().parent.parent


def closure(requirements: list[str]) -> dict[str, str]:
    """{name: version} of these requirements and of everything they need, as installed here."""
    found: dict[str, str] = {}
    waiting = [(Requirement(text), "") for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement, asked_extra = waiting.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": asked_extra}):
            continue
        name = canonicalize_name(requirement.name)
        if name in INSTALLER:
            continue
        if (name, frozenset(requirement.extras)) in seen:
            continue
        seen.add((name, frozenset(requirement.extras)))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{requirement} is not installed here: install it first, then write the lock files.")
        if not requirement.specifier.contains(package.version, prereleases=True):
            sys.exit(f"{requirement} is wanted, {package.version} is installed.")
        found[name] = package.version
        for text in package.requires or []:
            waiting += [(Requirement(text), extra) for extra in ("", *requirement.extras)]
    return found


def write(path: Path, command: str, packages: dict[str, str]) -> None:
    lines = [f"{name}=={version}" for name, version in sorted(packages.items())]
    path.write_text(
        "\n".join([f"# {command} Written by `make lock` from pyproject.toml.", *lines, ""]), encoding="utf-8"
    )
    print(f"{path.name}: {len(lines)} packages")


project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = [text for group in project["optional-dependencies"].values() for text in group]
write(PROJECT / "requirements.lock", "Production.", closure(project["dependencies"]))
write(
    PROJECT / "requirements-dev.lock",
    "Production and every extra.",
    closure(project["dependencies"] + extras),
)
