"""PEFT's own tests, from the source distribution of the installed version, run on each tuner of this project."""

import json
import os
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path

import peft
import pytest

from tests.processes import Forked, ended

REPO = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).parent / "suite"
KINDS = ("custom", "decoder", "classifier", "features")  # of models, and files of the suite
# Passed at the least, by kind: a matrix that collects next to nothing passes as well.
LEAST = {
    "svft": (440, 118, 44, 30),
    "spectral": (570, 114, 44, 30),
    "vectorfit": (420, 114, 44, 30),
}


def peft_source() -> Path:
    """The unpacked source distribution: $PEFT_SDIST, or <repo>/.cache/peft-<version>, fetched there if absent."""
    given = os.environ.get("PEFT_SDIST")
    folder = Path(given) if given else REPO / ".cache" / f"peft-{peft.__version__}"
    if not (folder / "tests" / "test_custom_models.py").exists():
        if given:
            pytest.fail(f"PEFT_SDIST={given} holds no tests; it is to be peft-{peft.__version__}.tar.gz, unpacked")
        fetch(folder)
    if not (package := folder / "tests" / "__init__.py").exists():
        package.touch()
    return folder


def fetch(folder: Path) -> None:
    options = ["--no-binary", ":all:", "--no-deps", "--no-build-isolation", "-d", str(folder.parent)]
    command = [sys.executable, "-m", "pip", "download", f"peft=={peft.__version__}", *options]
    result = subprocess.run(command, capture_output=True, text=True)
    archive = folder.parent / f"peft-{peft.__version__}.tar.gz"
    if result.returncode or not archive.exists():
        said = result.stderr.strip()[-300:]
        pytest.fail(f"PEFT's tests could not be fetched, nor found at PEFT_SDIST: {' '.join(command)} said {said}")
    with tarfile.open(archive) as tar:
        tar.extractall(folder.parent, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


def run_suite(tuner: str, folder: Path) -> tuple[dict, str]:
    """What `selection` counted, and what pytest said; fails unless every test passes or is skipped."""
    environment = {
        "TUNER": tuner,
        "SVFT_CACHE_DIR": "off",  # which writes each file to the disk: for tiny weights that takes longest
    }
    result = ended(Forked(partial(_suite, peft_source()), cwd=folder, environment=environment), patience=3600)
    report = result.stdout[-4000:] + result.stderr[-1000:]
    assert result.returncode == 0, report
    return json.loads((folder / "tally.json").read_text()), report


def _suite(source: Path) -> None:
    """In a process of its own, where `tests` is PEFT's package and not this project's."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.path[:0] = [str(source), str(REPO), str(SUITE)]
    options = "-q -p no:cacheprovider -p selection -W ignore --tb=short -rs -c".split()
    options += [os.devnull, "--rootdir", str(SUITE), "--confcutdir", str(SUITE)]
    sys.exit(pytest.main([*options, *(str(SUITE / f"{kind}.py") for kind in KINDS)]))


@pytest.mark.parametrize("tuner", LEAST)
def test_peft_s_own_tests_pass_on(tuner, tmp_path):
    tally, report = run_suite(tuner, tmp_path)
    assert not tally["idle"], "left out, but not among the tests"
    for kind, least in zip(KINDS, LEAST[tuner], strict=True):
        assert tally["outcomes"].get(kind, {}).get("passed", 0) >= least, report
