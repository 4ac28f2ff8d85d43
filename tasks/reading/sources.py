"""Where tables of examples are: a local file, or a file of a data set on the Hugging Face hub.

A hub file is looked for in the hub's cache and fetched into it where it is not there (`HF_HOME`, `HF_HUB_OFFLINE` and
the rest of huggingface_hub's variables hold), so `hf download` on a login node prepares a cluster without network.
"""

import errno
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from huggingface_hub import hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from errors import DataError, MissingData
from tasks import fingerprints
from tasks.base import DataFile
from tasks.reading.content import Content
from tasks.reading.tables import Row, TableFile, local

# What a value has to be: of a type, or one of some names, each of which stands for a number.
Kind = type | Mapping[str, int]
Columns = Mapping[str, Kind]

_WHOLE = re.compile(r"-?\d+", re.ASCII)


@dataclass(frozen=True)
class HubFile:
    """`file` (a path inside the data set's repository) at `revision`, a commit: a branch may change under a run key."""

    repo_id: str
    file: str
    revision: str

    def __str__(self) -> str:
        return f"{self.repo_id}/{self.file} at revision {self.revision}"

    def fetch_command(self, local_dir: str | None = None) -> str:
        """The shell command that fetches it into the hub's cache, or into `local_dir`."""
        command = f"hf download {self.repo_id} {self.file} --repo-type dataset --revision {self.revision}"
        return f"{command} --local-dir {local_dir}" if local_dir else command

    def fingerprint(self) -> str:
        """SHA-256 of the identity; downloads nothing."""
        return fingerprints.of(self.repo_id, self.file, self.revision)

    def files(self) -> list[DataFile]:
        """Whether it is in the hub's cache; downloads nothing."""
        found = try_to_load_from_cache(self.repo_id, self.file, repo_type="dataset", revision=self.revision)
        present = isinstance(found, str)
        return [DataFile(f"{self.repo_id}/{self.file}", present, "" if present else self.fetch_command())]

    def path(self) -> Path:
        """Where it lies on this machine, fetched if need be. Raises MissingData."""
        try:
            return Path(hf_hub_download(self.repo_id, self.file, repo_type="dataset", revision=self.revision))
        except (HFValidationError, RemoteEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError) as error:
            raise MissingData(f"the hub has no {self}, or asks for a login (`hf auth login`) to show it") from error
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES):
                raise  # of the cache's disk, not of the hub
            raise MissingData(
                f"{self} is not in the hub's cache and the hub is not reachable; "
                f"where there is a network, `{self.fetch_command()}` fetches it"
            ) from error


@runtime_checkable
class Rows(Protocol):
    """Where rows come from: a Table, or a generator of rows with the same columns."""

    def rows(self) -> Sequence[tuple[Any, ...]]:
        """Values of the columns, in a fixed order: of GLUE (text, label) or (text, pair, label). Raises DataError."""
        ...

    def fingerprint(self) -> str:
        """SHA-256 of what determines the rows."""
        ...


@dataclass(frozen=True)
class Table:
    """Rows of named columns, in a HubFile or in local files (see TableFile).

    columns: alternatives, of which the first that the table has in full is read.
    published: where such a file can be had, for the message of one that is absent.
    tsv: see `formats.read`.  notes: see TableFile.
    """

    source: HubFile | str
    columns: Sequence[Columns]
    published: HubFile
    tsv: Callable[[str], Content] | None = None
    notes: list[str] = field(default_factory=list, compare=False)

    def fingerprint(self) -> str:
        """SHA-256 of local files' content or of a hub file's identity. Raises DataError."""
        if isinstance(self.source, HubFile):
            return self.source.fingerprint()
        return self._file().fingerprint()

    def files(self) -> list[DataFile]:
        """Whether it is on this machine; downloads nothing."""
        return self.source.files() if isinstance(self.source, HubFile) else [local(self.source, self.paths)]

    def paths(self) -> list[Path]:
        """The files on this machine, fetched if need be. Raises MissingData."""
        return self._file().paths()

    def rows(self) -> list[tuple[Any, ...]]:
        """Every row in file order, as the values of the columns in the order of `columns`. Raises DataError."""
        return self.found()[1]

    def found(self) -> tuple[Columns, list[tuple[Any, ...]]]:
        """Which columns the table has, and its rows. Raises DataError."""
        file = self._file()
        rows = file.rows()
        self.notes[:] = file.notes
        present = list(dict.fromkeys(name for row in rows for name in row.values))
        for columns in self.columns:
            if columns.keys() <= set(present):
                return columns, [tuple(self._value(row, name, columns[name]) for name in columns) for row in rows]
        raise DataError(f"{self.source} has the columns {', '.join(present)}; expected {self._wanted()}")

    def _file(self) -> TableFile:
        if isinstance(self.source, HubFile):
            return TableFile(str(self.source.path()), self.tsv)
        file = TableFile(self.source, self.tsv)
        try:
            file.paths()
        except MissingData as error:
            raise MissingData(self._absent(str(file))) from error
        return file

    def _absent(self, path: str) -> str:
        folder = f"data/{self.published.repo_id.rpartition('/')[2]}"
        return (
            f"no file {path} with the columns {self._wanted()}; "
            f"`{self.published.fetch_command(folder)}` fetches {folder}/{self.published.file}"
        )

    def _value(self, row: Row, name: str, wanted: Kind) -> Any:
        value = row.values.get(name)
        if isinstance(value, str | bytes):
            value = row.text(name)
        try:
            return _as(value, wanted)
        except ValueError:
            expected = ", ".join(wanted) if isinstance(wanted, Mapping) else wanted.__name__
            found = repr(value) if isinstance(value, str) else type(value).__name__
            raise DataError(f"{row}: {name!r} is {found}, expected {expected}") from None

    def _wanted(self) -> str:
        return " or ".join(", ".join(columns) for columns in self.columns)


def _as(value: Any, wanted: Kind) -> Any:
    """A value of that kind; where the file has text alone, a number is read from it. Raises ValueError."""
    if isinstance(wanted, Mapping):
        return wanted[value] if isinstance(value, str) and value in wanted else _as(value, int)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    if wanted is float:
        return float(value)
    if wanted is int and isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value)
    if not isinstance(value, wanted):
        raise ValueError
    return value
