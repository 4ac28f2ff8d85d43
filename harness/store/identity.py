"""What makes two runs the same: one table for each kind of option, and the three hashes that follow from them.

    key     known before a run starts, so that a finished one is found again: of the configuration as it is written,
            places and all, and of the fingerprints of data, base and adapter.
    cell    known when a record is read: of the configuration alone, without what says where files lie or how memory is
            spent. A manifest (runs/experiments/*.json) names the cells of its table; a record is in the cell that its
            own configuration gives, whatever folder its base came from.
    row     the cell, and the contents of data, base, tokenizer and adapter: one row of a table, whose runs differ by
            seed alone.

None of them depends on the seed: what follows the seed is set to what it is at seed 0.

One row and seed may be there twice: the same bytes were trained on from two folders. `once` takes the record that ended
best, of several the one with the most scores, of those the one with the smallest key, and says which it left out. Two
rows in one cell have different data or bases under the same names: their mean would be one of nothing, and a reader
refuses them (analysis/load/grounds.py).
"""

import copy
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from harness.store.record import BEST_FIRST, Record

# * is a part of a name, here and below.

# These change no number of the record; the seed has a folder of its own. Published data are in the key as their
# fingerprint, so it does not matter to the key where they lie.
COSMETIC = (
    "seed", "family", "experiment", "recipe.picked", "recipe.by_task", "recipe.by_model", "recipe.by_width",
    "recipe.head_lr", "evaluate", "tracker", "wandb", "device", "threads", "runs_dir", "force", "plan",
    "task.source.train_source", "task.source.gsm8k_source", "task.source.math_source", "task.source.dev_source",
    "task.source.mismatched_source", "task.source.folder", "task.source.more",
    "method.label", "method.variant", "method.plot", "method.adapter.runs_dir", "model.label", "model.held_out",
    "task.label",
    "train.checkpoint_every", "train.log_every",
)  # fmt: skip

# These name the files that are read. They are part of the key, but two names can be of the same bytes: a cell leaves
# them out, and a row has the fingerprint of what they name.
PLACES = (
    "model.checkpoint",  # a folder, or a hub id
    "model.revision",  # a branch, a tag or a commit of the hub id: each may name the same bytes
    "task.source.root",  # the folder of Commonsense-15K, or of images of one's own
    "task.source.train", "task.source.validation", "task.source.test",  # tables of one's own
    "task.source.repo_id", "task.source.revision", "task.source.files",  # published images on the hub
)  # fmt: skip

# These say how a number is computed, and move it by the rounding of a sum alone. They are part of the key, so that a
# finished run is not taken for one that rounds differently; a table has one cell for all of their values.
MEMORY = (
    "train.micro_batch_size",  # the loss of a step is one mean, however the batch is cut up
    "train.sort_in_step",  # which rows of a step share a micro-batch
    "train.sharding",  # which rank holds which weight
    "method.adapter.form",  # SVFT: in which order one product of three matrices is computed
)
# Not among them: model.dtype and train.precision, which round every weight or product; and method.adapter.keep_weight,
# which in 16 bits moves the model that training starts from by as much as storing its weights does.

# Options that came after the first records, by the value at which a run is what it was without them. A key leaves an
# option out at that value, so that a new option takes no finished run out of sight.
NEUTRAL: Mapping[str, Any] = {
    "task.source.background": "white", "train.sharding": None, "train.sort_in_step": False, "model.drawn": None,
    "method.starts": "base",
}  # fmt: skip
# The same of the section with this `_target_`, where others have had an option of that name from the start.
_LORA = {"lora_dropout": 0.0, "bias": "none"}
NEUTRAL_OF: Mapping[str, Mapping[str, Any]] = {
    "svft.SvftConfig": {
        **dict.fromkeys(("rank", "init", "gate", "replacement", "topk_score", "truncate_base")),
        "scaled": False, "keep_weight": True, "form": "auto", "share": None, "save_basis": False, "bias": "none",
        "factor_dtype": None,
    },
    "baselines.SpectralAdapterConfig": {"save_basis": False, "share": None},
    "baselines.UpdateConfig": {"save_basis": False},
    "baselines.VectorFitConfig": {"save_basis": False, "share": None},
    "peft.LoraConfig": {**_LORA, "init_lora_weights": True, "use_rslora": False},
    "peft.AdaLoraConfig": _LORA,
    "peft.BOFTConfig": {"boft_dropout": 0.0, "bias": "none"},
    "peft.OFTConfig": {"block_share": False, "module_dropout": 0.0, "bias": "none"},
    "peft.VeraConfig": {"d_initial": 0.1, "vera_dropout": 0.0, "bias": "none"},
    "tasks.own_text.OwnClassification": {"limit": None, "class_names": None, "metrics": None},
    "tasks.own_text.OwnGeneration": {"limit": None, "gold_after": None, "metrics": None},
    "tasks.image_folder.ImageFolder": {"metrics": None},
    "tasks.glue.Glue": {"drawn": None},
}  # fmt: skip

# Where a record does not say itself which values follow the seed (`run.seeded`): these do, where they are equal to it.
SEEDED = ("method.adapter.seed", "method.adapter.projection_prng_key", "method.callbacks.*.seed")

# Ends the name of a fingerprint of the files themselves, where the fingerprint in the key is of their name on the hub.
CONTENT = "_content"
TOKENIZER = "tokenizer"  # the fingerprint of its files


def key(config: Mapping[str, Any], fingerprints: Mapping[str, str]) -> str:
    """SHA-256 of a resolved configuration at seed 0 and of the fingerprints of data, base and adapter."""
    return _sha256({"config": keyed(config), "fingerprints": dict(fingerprints)})


def of_config(config: Mapping[str, Any], seeded: Iterable[str] | None = None) -> str:
    """The cell of a resolved configuration.

    seeded: keys of the values that follow the seed; None: those of SEEDED that are equal to it.
    """
    return _sha256({"config": _placeless(config, seeded)})


def cell(record: Record) -> str:
    """Which cell of a table this run is for; runs that differ by seed, place or memory alone are in one."""
    return of_config(record.config, record.run.get("seeded"))


def row(record: Record, known: Mapping[str, str] | None = None) -> str:
    """The cell with the contents of data, base and adapter. known: see `contents_of`."""
    return row_in(cell(record), record, known)


def row_in(its_cell: str, record: Record, known: Mapping[str, str] | None = None) -> str:
    """`row` of a record whose cell is known already, as that takes longest."""
    return _sha256({"cell": its_cell, "contents": contents(record, known or {})})


def contents(record: Record, known: Mapping[str, str]) -> dict[str, str]:
    """Of data, base and adapter: the digest of the files where it is known, else their name on the hub.

    And of the tokenizer, which two folders with one base may have each its own of; left out where it is not known.
    """
    there = record.fingerprints
    names = [name for name in ("data", "model", "adapter") if name in there]
    found = {name: there.get(name + CONTENT) or known.get(there[name], there[name]) for name in names}
    tokenizer = there.get(TOKENIZER) or known.get(_tokenizer_of(found))
    return found if tokenizer is None else {**found, TOKENIZER: tokenizer}


def _tokenizer_of(contents: Mapping[str, str]) -> str:
    """What `contents_of` has the tokenizer of a base under."""
    return f"{TOKENIZER} of {contents.get('model')}"


def places(config: Mapping[str, Any]) -> dict[str, Any]:
    """Where the files of a resolved configuration lie, by key: what a cell leaves out."""
    return {pattern: section[name] for section, name, pattern in _found(dict(config), PLACES)}


def contents_of(records: Iterable[Record]) -> dict[str, str]:
    """The digest of the files by the fingerprint of their name, where one record of `records` knows both.

    It lets `row` see that an older record, which has the hub's name alone, is of the same files. A name that has had
    several contents, as a branch that moved, is left out. The same of tokenizers, by the base that they came with: an
    older record, and one of the hub, does not say which it had.
    """
    records = list(records)
    found: dict[str, set[str]] = {}
    for record in records:
        for name, fingerprint in record.fingerprints.items():
            if name + CONTENT in record.fingerprints:
                found.setdefault(fingerprint, set()).add(record.fingerprints[name + CONTENT])
    known = _the_only(found)
    tokenizers: dict[str, set[str]] = {}
    for record in records:
        if TOKENIZER in record.fingerprints:
            of_base = _tokenizer_of(contents(record, known))
            tokenizers.setdefault(of_base, set()).add(record.fingerprints[TOKENIZER])
    return {**known, **_the_only(tokenizers)}


def _the_only(found: Mapping[str, set[str]]) -> dict[str, str]:
    return {name: next(iter(values)) for name, values in found.items() if len(values) == 1}


def items(record: Record, benchmark: str, split: str) -> str:
    """What the examples of a split are drawn from: scores are paired example by example where this is equal.

    Test files can change without a new training: a score says of which it is. Rows that are held out of a table of
    one's own are drawn by the task's name too, which its fingerprint does not say.
    """
    source = record.config.get("task", {}).get("source", {})
    drawn_by_name = "name" in source and split in source and source[split] is None
    data = record.fingerprints.get("data", "")
    scored_on = record.scores.get(benchmark, {}).get(split, {}).get("data", data)
    more = [scored_on] * (scored_on != data) + [source.get("name")] * drawn_by_name
    return _sha256([data, *more]) if more else data


def once(records: Iterable[Record], rows: Iterable[str] | None = None) -> tuple[list[Record], list[tuple[Record, str]]]:
    """The records in their order, without second ones of a row and seed; and each finished one left out, with why.

    rows: of the records, where they are known already.
    """
    records = list(records)
    if rows is None:
        known = contents_of(records)
        rows = [row(record, known) for record in records]
    runs: dict[tuple[str, int], list[Record]] = {}
    for record, its_row in zip(records, rows, strict=True):
        runs.setdefault((its_row, record.run["seed"]), []).append(record)
    kept, left_out = set(), []
    for same in runs.values():
        first, *others = sorted(same, key=_worth)
        kept.add(id(first))
        left_out += [(other, _left_out(first, other)) for other in others if other.status == "done"]
    return [record for record in records if id(record) in kept], left_out


def _worth(record: Record) -> tuple[int, int, str]:
    scored = sum(len(splits) for splits in record.scores.values())
    return BEST_FIRST.index(record.status), -scored, record.key


def _left_out(first: Record, other: Record) -> str:
    run = other.run
    return (
        f"{run['label']}, {run['task']}, {run['model']}, seed {run['seed']}, is there twice, of the same data and base "
        f"from two places: {first.key[:8]} is counted, {other.key[:8]} is not"
    )


def keyed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without what is cosmetic, and without options at their neutral value."""
    kept = copy.deepcopy(dict(config))
    for section, name, _ in list(_found(kept, COSMETIC)):
        del section[name]
    for section, name, neutral in list(_neutral(kept)):
        if section[name] == neutral and type(section[name]) is type(neutral):
            del section[name]
    return kept


def _placeless(config: Mapping[str, Any], seeded: Iterable[str] | None) -> dict[str, Any]:
    kept = unseeded(config, seeded)
    for section, name, _ in list(_found(kept, PLACES + MEMORY)):
        del section[name]
    return kept


def unseeded(config: Mapping[str, Any], seeded: Iterable[str] | None) -> dict[str, Any]:
    """`keyed`, with what follows the seed at 0. seeded: as in `of_config`."""
    kept = keyed(config)
    for section, name, _ in list(_found(kept, SEEDED if seeded is None else seeded)):
        if seeded is not None or section[name] == config["seed"]:
            section[name] = 0
    return kept


def _neutral(config: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Sections, names in them, and the value at which each says nothing."""
    for section, name, dotted in _found(config, NEUTRAL):
        yield section, name, NEUTRAL[dotted]
    for section in _sections(config):
        of_target = NEUTRAL_OF.get(str(section.get("_target_")), {})
        yield from ((section, name, neutral) for name, neutral in of_target.items() if name in section)


def _sections(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield config
    for value in config.values():
        if isinstance(value, dict):
            yield from _sections(value)


def _found(config: dict[str, Any], patterns: Iterable[str]) -> Iterator[tuple[dict[str, Any], str, str]]:
    """The section that holds the key, its name there, and the pattern, of every key that is there."""
    for pattern in patterns:
        *parents, leaf = pattern.split(".")
        sections = [config]
        for parent in parents:
            matching = (each[name] for each in sections for name in _matching(each, parent))
            sections = [section for section in matching if isinstance(section, dict)]
        yield from ((each, name, pattern) for each in sections for name in _matching(each, leaf))


def _matching(section: Mapping[str, Any], part: str) -> list[str]:
    """The names in a section that a part of a pattern means."""
    if "*" not in part:
        return [part] if part in section else []
    return [name for name in section if fnmatchcase(name, part)]


def _sha256(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
