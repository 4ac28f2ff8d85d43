"""The files that a task reads, found in the task itself; nothing is fetched and none is opened."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache

from errors import DataError
from tasks.sources import HubFile, Table
from tasks.tables import TableFile

_ELSEWHERE = "published"  # where a local file could be had, which is not where it is read from


@dataclass(frozen=True)
class DataFile:
    """`remedy`: a sentence or a command, empty where the file is at hand."""

    name: str
    present: bool
    remedy: str = ""


def of(task: Any) -> list[DataFile]:
    """Each file once, in the order in which the task holds them; none for a task that draws its own examples."""
    return list(dict.fromkeys(_walk(task, set())))


def _walk(thing: Any, seen: set[int]) -> Iterator[DataFile]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    folder = getattr(thing, "folder", None)
    if isinstance(thing, HubFile):
        yield _hub_file(thing)
    elif isinstance(thing, Table | TableFile) and isinstance(thing.source, str):
        yield _local_table(thing)
    elif isinstance(folder, str) and hasattr(thing, "shards"):
        for shard in thing.shards:
            yield _local(Path(folder, shard.file), shard.fetch_command(folder))
    elif isinstance(thing, Path):
        yield _local(thing, f"there is no {thing}")
    else:
        for part in _parts(thing):
            yield from _walk(part, seen)


def _parts(thing: Any) -> list[Any]:
    if isinstance(thing, dict):
        return list(thing.values())
    if isinstance(thing, list | tuple):
        return list(thing)
    if type(thing).__module__.partition(".")[0] == "tasks":
        return [value for name, value in vars(thing).items() if name != _ELSEWHERE]
    return []


def _hub_file(file: HubFile) -> DataFile:
    found = try_to_load_from_cache(file.repo_id, file.file, repo_type="dataset", revision=file.revision)
    present = isinstance(found, str)
    return DataFile(f"{file.repo_id}/{file.file}", present, "" if present else file.fetch_command())


def _local_table(table: Table | TableFile) -> DataFile:
    try:
        table.paths()
    except DataError as error:
        return DataFile(table.source, False, str(error))
    return DataFile(table.source, True)


def _local(path: Path, remedy: str) -> DataFile:
    return DataFile(str(path), True) if path.exists() else DataFile(str(path), False, remedy)
