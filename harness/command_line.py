"""What a person at the command line sees when something is wrong: one sentence, and an exit code that is not 0."""

import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

CONF = Path(__file__).resolve().parents[1] / "conf"

failures: list[str] = []


def one_sentence(function: Callable[[DictConfig], None]) -> Callable[[DictConfig], None]:
    """Turn what is the user's to mend into one line on stderr; a sweep goes on with its next run.

    Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(function)
    def wrapped(cfg: DictConfig) -> None:
        try:
            function(cfg)
        except OmegaConfBaseException as error:
            _report(_without_wrapping(error))
        except Exception as error:
            if not _is_users(error):
                raise
            _report(error)

    return wrapped


def _is_users(error: Exception) -> bool:
    from harness.models import ModelError
    from harness.record import RecordError
    from harness.roles import RoleError
    from harness.run_folder import Busy
    from harness.settings import SettingError
    from harness.trainer import Diverged
    from tasks.base import DataError

    return isinstance(error, ModelError | RecordError | RoleError | Busy | SettingError | Diverged | DataError)


def _without_wrapping(error: OmegaConfBaseException) -> str:
    """The message of what a resolver raised, without OmegaConf's words around it; of a value left open, its key."""
    message = str(error).split("\n")[0]
    _, open_value, key = message.rpartition("Missing mandatory value: ")
    if open_value:
        key = error.full_key if isinstance(error, MissingMandatoryValue) else key
        return f"{key} has to be given: {key}=..."
    return message.split(" raised while resolving interpolation: ")[-1]


def _report(error: object) -> None:
    sentence = " ".join(str(error).split())
    failures.append(sentence)
    print(f"error: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def hints() -> Iterator[None]:
    """After Hydra has refused a key, name the keys that are there (Hydra itself names the choices of a group)."""
    try:
        yield
    except SystemExit as stop:
        if stop.code:
            _hint(sys.argv[1:])
        raise


def _hint(arguments: list[str]) -> None:
    dotted = [a.lstrip("+~").split("=")[0] for a in arguments if "=" in a and not a.startswith("-")]
    groups = [
        a for a in arguments if a.split("=")[0] in {p.name for p in CONF.iterdir() if p.is_dir()} and "," not in a
    ]
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            cfg = compose("config", overrides=groups)
    except Exception:  # the choice of a group is what was wrong, and Hydra has said so
        return
    for key in dotted:
        if "/" not in key and not key.startswith("hydra."):
            _name_keys(cfg, key)


def _name_keys(cfg: DictConfig, key: str) -> None:
    """Print the keys of the deepest part of `key` that exists, unless all of it does."""
    node, path = cfg, []
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return
        if part not in node:
            near = get_close_matches(part, list(node), n=1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            where = ".".join(path) or "the top level"
            print(f"error: there is no {key!r}; {where} has {', '.join(node)}{meant}", file=sys.stderr)
            return
        node = OmegaConf.select(node, part, throw_on_missing=False)
        path.append(part)


def quiet() -> None:
    """Leave the terminal to progress bars and results: no chatter of libraries below a warning."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    logging.getLogger("torch.distributed").setLevel(logging.ERROR)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
