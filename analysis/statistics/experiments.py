"""The papers' experiments joined with records: one row a cell of a printed table, or a point of a figure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd

from analysis.load.grounds import refuse_mixed
from analysis.load.manifests import identities, manifests, places
from analysis.load.paper import SVFT, printed
from analysis.load.records import Loaded
from analysis.statistics.cells import COLUMNS, Records, row_cells
from errors import RecordError
from harness.store.record import Record


@dataclass(frozen=True)
class Experiment:
    """A table or figure: its manifest, the number it prints or is the twin of, and its cells (COLUMNS) in order.

    records: those of its cells, whatever became of them; left_out: sentences on those that are not counted.
    """

    name: str
    manifest: dict[str, Any]
    parent: dict[str, Any] | None
    cells: pd.DataFrame
    records: list[Record]
    left_out: list[str]

    @property
    def twin(self) -> bool:
        return self.parent is not None

    @property
    def figure(self) -> str | None:
        return (self.parent or self.manifest).get("figure")

    @property
    def table(self) -> int | None:
        return (self.parent or self.manifest).get("table")

    @property
    def paper(self) -> str:
        """Whose table or figure it is."""
        return (self.parent or self.manifest).get("paper", SVFT)

    @property
    def compares(self) -> bool:
        """Is a row of it the reference that others are compared with?"""
        return any("reference" in column for column in self.manifest["columns"])


@lru_cache(maxsize=1)
def experiments(loaded: Loaded) -> dict[str, Experiment]:
    """One for each manifest, by name.

    Raises RecordError where a run of one is there twice, and ValueError where a twin's original is not there.
    """
    found, records = manifests(loaded.runs), identified(loaded.records)
    return {name: _experiment(loaded, manifest, found.get(manifest.get("twin_of")), records)
            for name, manifest in found.items()}  # fmt: skip


def identified(records: Iterable[Record]) -> dict[str, dict[int, Record]]:
    """identity -> seed -> record, whatever its status; a finished one is preferred to one that is not.

    Raises RecordError where one is there twice, or where the seeds of one have different data or bases.
    """
    found: dict[str, dict[int, Record]] = {}
    for record in records:
        identity, seed = record.run.get("identity"), record.run["seed"]
        if identity is None:
            continue
        other = found.setdefault(identity, {}).get(seed)
        if other is not None and record.status == other.status == "done":
            raise RecordError(f"{record.run['label']}, seed {seed}, is there twice: {other.key[:8]}, {record.key[:8]}")
        if other is None or record.status == "done":
            found[identity][seed] = record
    for runs in found.values():
        refuse_mixed([run for _, run in sorted(runs.items()) if run.status == "done"])
    return found


def _experiment(
    loaded: Loaded, manifest: dict[str, Any], parent: Mapping[str, Any] | None, records: Records
) -> Experiment:
    values, own = printed(manifest), identities(manifest)
    cells = [cell for row in manifest["rows"] for cell in row_cells(manifest, row, values, records)]
    frame = pd.DataFrame(cells, columns=list(COLUMNS))
    found = [record for identity in own for record in records.get(identity, {}).values()]
    left_out = loaded.left_out_of_cells(own, places(manifest))
    return Experiment(manifest["name"], manifest, parent, frame, found, left_out)
