"""How torch's threads wait for each other is settled before torch is loaded, in favour of busy machines."""

import os
import subprocess
import sys

import pytest

from tests.conftest import ROOT

SPIN = "GOMP_SPINCOUNT"
LOOK = f"import sys, harness, os; assert 'torch' not in sys.modules; print(os.environ.get('{SPIN}'))"


def asked(**given: str) -> str:
    own = {name: value for name, value in os.environ.items() if name not in (SPIN, "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, env=own | given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("given", "found"),
    [({}, "1000"), ({SPIN: "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, "None")],
)
def test_threads_spin_briefly_unless_the_user_has_said_how_they_wait(given, found):
    assert asked(**given) == found


def test_the_program_settles_it_before_it_loads_torch():
    text = (ROOT / "run.py").read_text()
    imported = [line for line in text.splitlines() if line.startswith(("import ", "from "))]
    assert not any("torch" in line for line in imported) and any("harness" in line for line in imported)
