"""What each run answered to each test item, so that two rows can be read side by side."""

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.content.interned import Interned
from analysis.load.records import Loaded
from harness.store import record as records_on_disk
from harness.store.record import Record

LIMIT = 2_500_000  # bytes, compressed, about; answers that do not fit are left out, and told


def answers(loaded: Loaded, boards: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Of the runs that boards show, comparisons before others, as long as there is room.

    sets: by the place of a set of items its `ids` and `gold`; runs: by run and set, one answer an item. Answers are
    places in `strings`.
    """
    strings, sets, runs, folders = Interned(), {}, {}, Folders(loaded.runs)
    left_out: dict[str, int] = {}
    size = 0
    for run, data, column in _wanted(boards):
        record = loaded.records[run]
        rows = _rows(folders, record, column)
        if rows is None:
            continue
        known = len(strings)
        own = [strings.place(_answer(row)) for row in rows]
        asked = sets.get(data) or {
            "ids": [str(row["id"]) for row in rows], "gold": [strings.place(_gold(row)) for row in rows],
        }  # fmt: skip
        more = _size([own, *(() if data in sets else asked.values())], strings.values[known:])
        if size + more > LIMIT:
            strings.forget(known)
            left_out[column["benchmark"]] = left_out.get(column["benchmark"], 0) + 1
            continue
        size += more
        sets[data] = asked
        runs.setdefault(run, {})[data] = own
    told = [f"{count} runs on {benchmark}: no room" for benchmark, count in left_out.items()]
    return {"sets": sets, "runs": runs, "strings": strings.values, "left_out": told}


def _wanted(boards: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int, Mapping[str, Any]]]:
    """Run, set of items and column, each pair once."""
    seen = set()
    for board in boards:
        for line in board["outcomes"]:
            for column, outcomes in zip(board["columns"], line, strict=True):
                for outcome in outcomes or ():
                    run, data = outcome[6], outcome[3]
                    if data >= 0 and (run, data) not in seen:
                        seen.add((run, data))
                        yield run, data, column


def _rows(folders: "Folders", record: Record, column: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """None where the predictions are not there as they were scored."""
    content = folders.file(record, f"predictions/{column['benchmark']}-{column['split']}.json")
    return None if content is None else json.loads(content)["rows"]


class Folders:
    """The files of runs, found by what their records say of them: their SHA-256."""

    def __init__(self, runs: Path) -> None:
        self._there: dict[tuple[str, ...], list[Path]] = {}
        for path in records_on_disk.paths(runs):
            task, model, method, _, seed = (*[""] * 5, *path.parent.absolute().parts)[-5:]
            self._there.setdefault((task, model, method, seed), []).append(path.parent)

    def file(self, record: Record, name: str) -> bytes | None:
        wanted = record.files.get(name)
        place = (record.run["task"], record.run["model"], record.run["method"], f"seed={record.run['seed']}")
        own = sorted(self._there.get(place, ()), key=lambda path: f"-{record.key[:8]}" not in path.parent.name)
        for folder in own:
            if (folder / name).is_file():
                content = (folder / name).read_bytes()
                if hashlib.sha256(content).hexdigest() == wanted:
                    return content
        return None


def _answer(row: Mapping[str, Any]) -> str:
    return str(row.get("predicted_class", row["prediction"]))


def _gold(row: Mapping[str, Any]) -> str:
    return str(row.get("gold_class", row["gold"]))


def _size(places: Sequence[Sequence[int | str]], strings: Sequence[str]) -> int:
    return len(zlib.compress(json.dumps([places, strings]).encode(), 6))
