"""The software: Python, and packages against pyproject.toml and requirements.lock."""

import importlib.util
import platform
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from harness.doctor.checks import Finding
from harness.store import provenance

ROOT = Path(__file__).resolve().parents[2]
INSTALL = ".venv/bin/python -m pip install -r requirements.lock"
SHOWN = 3  # packages whose versions are printed where all is well


def python() -> Iterator[Finding]:
    wanted = _project()["requires-python"]
    where = "a virtual environment" if sys.prefix != sys.base_prefix else "no virtual environment"
    said = f"Python {platform.python_version()} in {where}, {sys.prefix}"
    if not SpecifierSet(wanted).contains(platform.python_version(), prereleases=True):
        yield Finding("problem", f"{said}; {wanted} is needed", "rm -rf .venv && make test PYTHON=python3.12")
    else:
        yield Finding("ok", said)


def packages() -> Iterator[Finding]:
    """Those of pyproject.toml one by one where they differ from requirements.lock; the others are counted."""
    locked = _locked()
    wanted = {canonicalize_name(each.name): each for each in map(Requirement, _dependencies())}
    same: dict[str, str] = {}
    others = {name: pinned for name, pinned in locked.items() if name not in wanted}
    for name, requirement in wanted.items():
        found, pinned = _installed(name), locked.get(name)
        if found is None:
            yield Finding("problem", f"{name} is not installed", INSTALL)
        elif not requirement.specifier.contains(found, prereleases=True):
            yield Finding("problem", f"{name} {found} is installed; {requirement.specifier} is needed", INSTALL)
        elif pinned is None:
            yield Finding("note", f"{name} {found} is not in requirements.lock", "make lock")
        elif Version(found).public != pinned:
            yield Finding("note", f"{name} {found} is installed; the results are of {pinned}", INSTALL)
        else:
            same[name] = found
    shown = [name for name in map(canonicalize_name, provenance.PACKAGES) if name in same][:SHOWN]
    named = ", ".join(f"{name} {same[name]}" for name in shown)
    yield Finding(
        "ok", f"{len(same)} of {len(wanted)} packages of pyproject.toml as in requirements.lock ({named}, ...)"
    )
    differ = [name for name, pinned in others.items() if (_installed(name) or pinned) != pinned]
    absent = [name for name in others if _installed(name) is None]
    counts = f"{len(others) - len(differ) - len(absent)} of {len(others)} other packages as in requirements.lock"
    if differ or absent:
        yield Finding("note", f"{counts}; {len(differ)} differ, {len(absent)} are absent: "
                              f"{', '.join([*differ, *absent][:6])}", INSTALL)  # fmt: skip
    else:
        yield Finding("ok", counts)


def _project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _dependencies() -> list[str]:
    project = _project()
    return project["dependencies"] + project["optional-dependencies"]["bench"]


def _locked() -> dict[str, str]:
    """Name to version, of what is for this Python and system."""
    pinned = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip().removesuffix("\\").strip()
        if text and not text.startswith("-"):
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate():
                pinned[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return pinned


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
