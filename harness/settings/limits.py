"""What values of the configuration can be: one table, looked at before anything is loaded or written.

What is said of a value by who uses it is not said here: an adapter's settings, a task's, and what fits together.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from errors import SettingError


@dataclass(frozen=True)
class Kind:
    """`words` end the sentence "... is not"; text: typed, it stays as it is (harness/settings/typed.py)."""

    words: str
    fits: Callable[[Any], bool]
    text: bool = False


FLOAT32 = 3.4028234663852886e38  # the largest; optimisers count in it


def _is_number(value: Any) -> bool:
    """One that is finite in float32, too."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= FLOAT32


def _is_beyond(value: Any) -> bool:
    return isinstance(value, int | float) and FLOAT32 < abs(value) < math.inf


def _is_selection(value: Any) -> bool:
    if not isinstance(value, dict):
        return isinstance(value, bool)
    by, every = value.get("by", "loss"), value.get("every")
    return value.keys() <= {"by", "every"} and by in ("loss", "score") and or_null(whole(1)).fits(every)


def number(low: float, *, itself: bool = True) -> Kind:
    """From `low` on, which itself is among them or not."""
    words = f"a finite number, {low} or more" if itself else f"a finite number above {low}"
    return Kind(words, lambda value: _is_number(value) and (value >= low if itself else value > low))


def share_or_steps() -> Kind:
    words = "a share from 0 to below 1, or a whole number of steps"
    return Kind(words, lambda value: _is_number(value) and value >= 0 and (value < 1 or value == int(value)))


def share() -> Kind:
    return Kind("a number from 0 to below 1", lambda value: _is_number(value) and 0 <= value < 1)


def whole(low: int, high: float = math.inf) -> Kind:
    words = f"a whole number, {low} or more" if high == math.inf else f"a whole number from {low} to {high}"
    return Kind(words, lambda value: _is_number(value) and isinstance(value, int) and low <= value <= high)


def one_of(*choices: str) -> Kind:
    return Kind(f"one of {', '.join(choices)}", lambda value: value in choices, text=True)


def list_of(words: str, kind: Kind) -> Kind:
    """One or more."""
    return Kind(
        words, lambda values: isinstance(values, list) and values != [] and all(map(kind.fits, values)), kind.text
    )


def or_null(kind: Kind) -> Kind:
    return Kind(f"{kind.words}, or null", lambda value: value is None or kind.fits(value), kind.text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


NAME = Kind("a name", _is_text, text=True)
TEXT = Kind("a text; in a file, put it in quotes", _is_text, text=True)
TEXTS = Kind(  # as `stop`, which may be none at all
    "a text, or a list of texts; in a file, put them in quotes",
    lambda value: isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value)),
    text=True,
)
ELSEWHERE = Kind("", lambda value: True, text=True)  # looked at by who uses it
SAID_FOR_A_SWITCH = ("off", "no", "on", "yes", "false", "true")
YES_OR_NO = Kind("true or false", lambda value: isinstance(value, bool))
# `off` on the command line is a text for Hydra, which counts as true where a library asks for a switch.
SWITCH = Kind("true or false", lambda value: not isinstance(value, str) or value.lower() not in SAID_FOR_A_SWITCH)
FOLDER = Kind(
    "a name that a folder can have: some letters, no / and no dot at the start",
    lambda value: isinstance(value, str) and re.fullmatch(r"[^./\0][^/\0]*", value) is not None,
    text=True,
)
BETAS = Kind(
    "two numbers from 0 to below 1, as [0.9, 0.999]",
    lambda value: isinstance(value, list) and len(value) == 2 and all(_is_number(b) and 0 <= b < 1 for b in value),
)
# Those of transformers.SchedulerType that need no settings of their own.
SCHEDULES = (
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt",
)  # fmt: skip
ROLES = Kind(
    "names of modules by role letter, as {Q: model.layers.*.self_attn.q_proj}",
    lambda value: isinstance(value, dict) and value != {} and all(map(NAME.fits, [*value, *value.values()])),
)
BIAS = Kind(
    "none, all, or those of adapted layers alone, as lora_only",
    lambda value: isinstance(value, str) and (value in ("none", "all") or value.endswith("_only")),
    text=True,
)
PROJECT = Kind(
    "a name that Weights & Biases takes: up to 128 letters, none of them one of / \\ # ? % :",
    lambda value: isinstance(value, str) and re.fullmatch(r"[^/\\#?%:]{1,128}", value) is not None,
    text=True,
)
SELECTION = Kind("true, false, or {by: loss or score, every: so many steps}", _is_selection)

# No machine has more cores; a number beyond what the system lets a process start ends it in the middle.
THREADS = 1024

# What a task's source can be told in words: files and folders, columns, templates, names.
SOURCE_TEXTS = (
    "name", "train", "validation", "test", "root", "folder", "*_source", "prompt", "target", "gold", "text", "pair",
    "label", "*_column", "eval_suffix", "stop", "scorers", "subset", "loss_on", "repo_id", "revision",
    "class_names", "background", "answers",
)  # fmt: skip
MORE_TEXTS = ("test", "prompt", "target", "gold", "gold_after")  # of a further test set
LAUNCHER_TEXTS = ("name", "folder", "partition", "account", "qos", "constraint", "exclude", "python", "setup")

# By key; * is a part of a name.
KINDS: Mapping[str, Kind] = {
    "seed": whole(0, 2**32 - 1),  # what NumPy takes
    "threads": or_null(whole(1, THREADS)),
    "device": one_of("auto", "cpu", "cuda"),
    "runs_dir": Kind(
        "the name of a folder, written out in full", lambda v: _is_text(v) and not v.startswith("~"), text=True
    ),
    "force": YES_OR_NO,
    "plan": Kind("true, false or a device", lambda value: YES_OR_NO.fits(value) or NAME.fits(value)),
    "evaluate.batch_size": whole(1),
    "evaluate.splits": list_of("a list of one or more names, as [validation, test]", NAME),
    "evaluate.benchmarks": or_null(list_of("a list of one or more names, as [gsm8k]", NAME)),
    "evaluate.merged": Kind("auto, true or false", lambda value: value == "auto" or YES_OR_NO.fits(value)),
    "evaluate.retention": YES_OR_NO,
    "wandb.mode": one_of("auto", "online", "offline", "disabled"),
    "wandb.project": or_null(PROJECT),
    "wandb.group": or_null(NAME),
    "train.lr": number(0),
    "train.sharding": ELSEWHERE,
    "train.head_lr": number(0),
    "train.weight_decay": number(0),
    "train.betas": BETAS,
    "train.max_grad_norm": or_null(number(0)),
    "train.schedule": one_of(*SCHEDULES),
    "train.warmup_ratio": share_or_steps(),
    "train.epochs": number(0, itself=False),
    "train.max_steps": or_null(whole(1)),
    "train.batch_size": whole(1),
    "train.micro_batch_size": whole(1),
    "train.sort_in_step": YES_OR_NO,
    "train.max_length": whole(1),
    "train.precision": one_of("fp32", "bf16"),
    "train.select_best": SELECTION,
    "train.checkpoint_every": whole(1),
    "train.log_every": whole(1),
    "model.name": FOLDER,
    "model.label": TEXT,
    "model.checkpoint": TEXT,
    "model.revision": or_null(TEXT),
    "model.roles": ROLES,
    "model.drawn": ELSEWHERE,
    "model.held_out": or_null(TEXT),
    "task.name": FOLDER,
    "task.label": TEXT,
    "task.data_seed": whole(0, 2**32 - 1),
    "task.max_new_tokens": whole(1),
    "task.source.max_new_tokens.*": whole(1),
    "task.source.*_size": whole(0),
    "task.source.*_per_class": or_null(whole(1)),
    "task.source.limit": or_null(whole(1)),
    "task.source.gold_after": or_null(Kind("the text that answers follow, as '####'", _is_text, text=True)),
    **{f"task.source.{name}": or_null(TEXTS) for name in SOURCE_TEXTS},
    **{f"task.source.more.*.{name}": or_null(TEXTS) for name in MORE_TEXTS},
    "task.source.more.*.rows": or_null(whole(1)),
    "method.lr": number(0),
    "method.starts": one_of("base", "elsewhere"),
    "method.adapter.r": whole(1),
    "method.adapter.pivots": or_null(whole(1)),
    "method.adapter.cells": whole(2),
    "method.adapter.lu_alpha": or_null(number(0, itself=False)),
    "method.adapter.hybrid_r": whole(0),
    "method.adapter.*_r": whole(1),
    "method.adapter.rank": or_null(whole(1)),
    **{
        f"method.adapter.{name}": number(0, itself=False)
        for name in ("*alpha", "delora_lambda", "effective_rank", "init_vector_bank_bound", "scaling")
    },
    **{f"method.adapter.{name}": whole(1) for name in ("n_frequency", "num_vectors", "vector_length", "topk")},
    **{f"method.adapter.{name}": whole(1) for name in ("gralora_k", "group_size")},
    "method.adapter.sparse_rate": number(0),
    "method.adapter.init_logits_std": number(0),
    "method.adapter.decompose_factor": whole(-1),
    "method.adapter.share": or_null(one_of("role")),
    "method.adapter.factor_dtype": or_null(one_of("float16", "bfloat16")),
    "method.adapter.d_initial": number(-FLOAT32),
    "method.adapter.*dropout": share(),
    "method.adapter.bias": BIAS,
    **{f"method.adapter.{name}": YES_OR_NO for name in ("keep_weight", "scaled", "use_rslora", "block_share")},
    "method.adapter.save_*": YES_OR_NO,
    **{f"method.adapter.{name}": or_null(YES_OR_NO) for name in ("gate", "replacement", "truncate_base")},
    **{f"method.adapter.{name}": ELSEWHERE for name in ("init", "topk_score", "form", "init_lora_weights")},
    "method.adapter.*_block_size": whole(0),
    "method.adapter.boft_n_butterfly_factor": whole(1),
    "method.callbacks.*.batches": whole(1),
    "method.name": FOLDER,
    "method.variant": FOLDER,
    "method.label": TEXT,
    **{
        f"method.{name}": ELSEWHERE
        for name in ("targets", "adapter.target_modules", "adapter.exclude_modules", "adapter.layers_pattern")
    },
    "hydra.launcher.workers": whole(1, THREADS),
    "hydra.launcher.logs": NAME,
    **{f"hydra.launcher.{name}": ELSEWHERE for name in LAUNCHER_TEXTS},
    "task.source.regression": YES_OR_NO,
    "model.architecture.*": SWITCH,
    "method.*": SWITCH,  # whatever else a method has
}


def check(config: Mapping[str, Any]) -> None:
    """Raise SettingError for the first value of a resolved configuration that cannot be."""
    for key, value in _walk(config):
        kind = next((kind for pattern, kind in KINDS.items() if fnmatchcase(key, pattern)), None)
        if kind is not None and not kind.fits(value):
            beyond = ", which is infinite in float32," if _is_beyond(value) else ""
            raise SettingError(f"{key}={shown(value)}{beyond} is not {kind.words}")


def is_text(key: str) -> bool:
    """Whether the value of this setting is words, whatever they look like."""
    return any(kind.text for pattern, kind in KINDS.items() if fnmatchcase(key, pattern))


def _walk(config: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Every value by its key, sections left out but for those that are values."""
    for name, value in config.items():
        if isinstance(value, dict) and f"{within}{name}" not in KINDS:
            yield from _walk(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def shown(value: Any) -> str:
    """As it would be typed."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {shown(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    return str(value)
