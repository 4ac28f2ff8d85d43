"""How a process waits, allocates and collects garbage: what costs time and changes no number. Settled before torch.

What the user has settled in the environment stays as it is.
"""

import atexit
import ctypes
import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

# Threads of torch that wait for each other spin. Where another process holds a core they spin for nothing: a step of
# micro-ViT on two threads took 30 times as long on a busy machine. A thousand turns cost an idle one 3 %. libgomp reads
# this when torch is loaded.
SPINS = "1000"

# glibc gives back what is freed at the end of its heap, and each activation of the next step faults its pages in again.
# mallopt(3) numbers its parameters so; blocks beyond the largest threshold that it takes are mapped by themselves.
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
KEPT, IN_HEAP = 2**30, 2**25  # bytes
SETTLED = ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def settle() -> None:
    """To be called before torch is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's own
    if mallopt is not None and not any(name in os.environ for name in SETTLED):
        mallopt(TRIM_THRESHOLD, KEPT)
        mallopt(MMAP_THRESHOLD, IN_HEAP)


@contextmanager
def loading() -> Iterator[None]:
    """Around imports of large libraries: what they make stays, so nothing is looked at by the collector, then or later.

    Some hundred thousand objects would be gone through again and again, in vain. Only the first time: later there may
    be garbage of a run among them.
    """
    if gc.get_freeze_count():
        yield
        return
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        atexit.register(gc.unfreeze)  # else the end of the process takes what is there for leaks, and some say so
        if was:
            gc.enable()


def leave(code: int) -> NoReturn:
    """End the process at once: what was written is flushed, and what was to be done at exit is done.

    Python would take every module apart first, which takes two seconds where torch and transformers are loaded. Where
    they are not, it may; and where the program is one of several in a process, that goes on.
    """
    if "torch" not in sys.modules or sys.argv[0] not in sys.orig_argv:
        sys.exit(code)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
