"""Everything below a folder of runs, read once for all pages and figures: records, and what is not counted.

A record of `Loaded` differs from its file in three fields, which pages and figures group runs by:

    key              of the row: where one row was run from two places, the key of its first record; where two rows
                     have one key, as of a branch of the hub that moved, the digest of the row
    run["identity"]  the cell of a manifest that it belongs to, computed from its configuration
                     (harness/store/identity.py)
    fingerprints     where one base is known by two names, a folder's and the hub's, that of its first record; where
                     one name has had several contents, the digest of the files; and the tokenizer, where another
                     record tells it
"""

import sys
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from analysis.load.grounds import refuse_mixed
from errors import RecordError
from harness.store import identity
from harness.store import record as records_on_disk
from harness.store.record import Record

Place = tuple[str, str, str]  # task, model, method
Said = dict[str, tuple[str, str]]  # a digest by kind, ROW or a fingerprint's, and the name that the record has for it
ROW = "row"
UNKNOWN = "unknown"  # task, model and method of a file that lies in no folder of a run


@dataclass(frozen=True)
class LeftOut:
    """One record that is not counted, and why.

    cells: of the manifests' cells those that it is for; None where that is not known, as its file cannot be read and no
    other seed of it is there.
    """

    sentence: str
    place: Place
    cells: frozenset[str] | None = None


@dataclass(frozen=True, eq=False)
class Loaded:
    """runs: the folder; records: in the order of their paths, each row and seed once."""

    runs: Path
    records: list[Record]
    left_out: list[LeftOut]

    def left_out_of(self, task: str, model: str) -> list[str]:
        """What is not counted of one task and model, as sentences."""
        return [each.sentence for each in self.left_out if each.place[:2] == (task, model)]

    def left_out_at(self, places: Collection[Place]) -> list[str]:
        """What is not counted of these methods on these tasks and models, searches included."""
        return [each.sentence for each in self.left_out if each.place in places]

    def left_out_of_cells(self, cells: Collection[str], places: Collection[Place]) -> list[str]:
        """What is not counted of these cells of manifests. Where the cell is not known, its place decides."""
        return [
            each.sentence
            for each in self.left_out
            if (each.place in places if each.cells is None else not each.cells.isdisjoint(cells))
        ]

    def tell(self) -> None:
        """Say on stderr what is not counted, once for all pages."""
        for each in self.left_out:
            print(f"not counted: {each.sentence}", file=sys.stderr)


def load(runs: Path) -> Loaded:
    """Read every record below `runs`.

    Raises RecordError where a folder of a run was copied, and where seeds of one row were scored on different data.
    """
    found, broken = records_on_disk.find(runs)
    _refuse_copies(found, runs)
    records = [replace(each, run={**each.run, "identity": identity.cell(each)}) for each in found]
    known = identity.contents_of(records)
    rows = {id(each): identity.row_in(each.run["identity"], each, known) for each in records}
    kept, twice = identity.once(records, rows.values())
    said = {id(each): _said(each, rows[id(each)], known) for each in kept}
    names = _names(said.values())
    counted = []
    for each in kept:
        called = {kind: names[kind, digest] for kind, (digest, _) in said[id(each)].items()}
        counted.append(replace(each, key=called.pop(ROW), fingerprints={**each.fingerprints, **called}))
    _refuse_other_questions(counted)
    damaged = [_damaged(sentence.removeprefix(f"{runs}/"), records) for sentence in broken]
    return Loaded(runs, counted, [*damaged, *(_second(record, sentence) for record, sentence in twice)])


def _said(record: Record, its_row: str, known: Mapping[str, str]) -> Said:
    contents = identity.contents(record, known)
    there = {kind: (digest, record.fingerprints.get(kind, digest)) for kind, digest in contents.items()}
    return {ROW: (its_row, record.key), **there}


def _names(records: Iterable[Said]) -> dict[tuple[str, str], str]:
    """What each kind and digest is called: by its first name, or by itself where another digest has that name too."""
    names: dict[tuple[str, str], str] = {}
    digests: dict[tuple[str, str], set[str]] = {}
    for said in records:
        for kind, (digest, name) in said.items():
            names.setdefault((kind, digest), name)
            digests.setdefault((kind, name), set()).add(digest)
    return {(kind, digest): name if len(digests[kind, name]) == 1 else digest for (kind, digest), name in names.items()}


def _refuse_copies(records: Iterable[Record], runs: Path) -> None:
    seen = set()
    for record in records:
        run = record.key, record.run["seed"]
        if run in seen:
            raise RecordError(f"{record.run['label']}, seed {run[1]}, is twice below {runs}; move the copy away")
        seen.add(run)


def _refuse_other_questions(records: Iterable[Record]) -> None:
    rows: dict[str, list[Record]] = {}
    for record in records:
        if record.status == "done":
            rows.setdefault(record.key, []).append(record)
    for runs in rows.values():
        refuse_mixed(sorted(runs, key=lambda record: record.run["seed"]))


def _damaged(sentence: str, records: Iterable[Record]) -> LeftOut:
    """sentence: begins with the file's path below the folder of runs.

    The file may not be believed, so its path says what it is: `<task>/<model>/<method>/<variant>-<key>/seed=<n>`. Other
    seeds in the same folder are of the same cell.
    """
    parts = sentence.split("/")
    if len(parts) < 3:
        return LeftOut(sentence, (UNKNOWN, UNKNOWN, UNKNOWN))
    place = (parts[0], parts[1], parts[2])
    key = parts[3].rpartition("-")[2] if len(parts) > 3 else ""
    beside = {record.run["identity"] for record in records if len(key) == 8 and record.key.startswith(key)}
    return LeftOut(sentence, place, frozenset(beside) or None)


def _second(record: Record, sentence: str) -> LeftOut:
    place = (record.run["task"], record.run["model"], record.run["method"])
    return LeftOut(sentence, place, frozenset({record.run["identity"]}))
