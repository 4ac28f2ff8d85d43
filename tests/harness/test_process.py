"""What a process settles for itself changes how long it takes and nothing else."""

import gc
import os
import subprocess
import sys

from tests.conftest import ROOT

LEAVING = """
import atexit, sys
from harness.settings import process
atexit.register(lambda: print("done at exit"))
with process.loading():
    import decimal
print(gc.get_freeze_count() > 0, gc.isenabled())
class Last:
    def __del__(self): print("taken apart")
last = Last()
sys.modules["torch"] = sys  # as where it is loaded
process.leave(3)
"""
LEAN = """
import harness, sys
from harness.models import bases
from harness.run import once
from transformers import Trainer, utils
print(sorted({"datasets", "pandas", "wandb", "timm"} & sys.modules.keys()), utils.is_datasets_available())
"""


def said(program: str, code: int = 0) -> list[str]:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert done.returncode == code and not done.stderr, done.stderr
    return done.stdout.splitlines()


def test_leaving_flushes_and_does_what_was_to_be_done_and_takes_nothing_apart():
    assert said(f"import gc{LEAVING}", code=3) == ["True True", "done at exit"]


def test_a_program_that_another_runs_gives_way_to_it():
    program = f"import gc{LEAVING}".replace("process.leave(3)", "sys.argv[0] = 'run.py'\nprocess.leave(3)")
    assert said(program, code=3) == ["True True", "done at exit", "taken apart"]


def test_a_run_loads_no_library_that_it_does_not_need():
    assert said(LEAN) == ["[] True"]


def test_garbage_of_a_run_is_not_kept_by_the_next():
    from harness.settings import process

    frozen = gc.get_freeze_count()
    assert frozen, "the tests freeze what was imported, as the first run does"
    with process.loading():
        assert gc.isenabled()
    assert gc.get_freeze_count() == frozen
