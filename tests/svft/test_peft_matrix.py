"""PEFT's own test matrix, from the source distribution of the installed version, run on the SVFT tuner."""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import peft
import pytest

REPO = Path(__file__).resolve().parents[2]
SUITE = Path(__file__).parent / "peft_matrix"


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
        tar.extractall(folder.parent, filter="data")


def test_peft_s_own_custom_model_tests_pass_on_svft():
    source = peft_source()
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(source), str(REPO), str(SUITE)]),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "selection",
        "-W",
        "ignore",
        "--tb=short",
        "-rs",
    ]
    command += ["--rootdir", str(SUITE), "--confcutdir", str(SUITE), "-c", os.devnull, str(SUITE / "suite.py")]
    result = subprocess.run(command, cwd=SUITE, env=environment, capture_output=True, text=True)
    report = result.stdout[-4000:] + result.stderr[-1000:]
    assert result.returncode == 0, report
    passed = int(re.search(r"(\d+) passed", result.stdout)[1])
    assert passed > 380, report  # a matrix that collects next to nothing passes as well
