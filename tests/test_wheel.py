"""What `pip install .` brings: svft and baselines, and nothing of the benchmark around them."""

import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import baselines
import svft

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("svft", "baselines")
BUILD = "from setuptools import build_meta; print(build_meta.build_{}('.'))"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy, for building leaves its files there: all at the root, and of the folders beside the packages a bit."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in (path for path in ROOT.iterdir() if path.is_file()):
        shutil.copy(path, folder)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for beside in ("tests/test_it.py", "runs/run.py", "harness/__init__.py", "harness/run.py", "tasks/gsm8k.py"):
        (folder / beside).parent.mkdir(exist_ok=True)
        (folder / beside).write_text("")
    return folder


def built(kind: str, folder: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", BUILD.format(kind)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sources(checkout) -> set[str]:
    return {str(path.relative_to(checkout)) for name in PACKAGES for path in (checkout / name).rglob("*.py")}


def test_the_wheel_holds_the_two_packages_whole_and_nothing_else(checkout, sources):
    with zipfile.ZipFile(built("wheel", checkout)) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        metadata = Parser().parsestr(wheel.read(next(n for n in wheel.namelist() if n.endswith("METADATA"))).decode())
    assert names == sources
    needed = {each.split(">")[0].split("<")[0] for each in metadata.get_all("Requires-Dist") if "extra" not in each}
    assert needed == {"torch", "peft"}
    assert metadata["Version"] == svft.__version__ == baselines.__version__


def test_a_source_distribution_holds_their_sources_and_nothing_else(checkout, sources):
    with tarfile.open(built("sdist", checkout)) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {name for name in names if name.endswith(".py")} == sources
