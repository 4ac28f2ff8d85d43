"""What each experiment consists of: runs/experiments/<name>.json, written by `python -m papers.manifests`.

{name, title, table, figure, twin_of, paper, reference, seeds, notes, evidence, columns, rows}

evidence   true: claims are judged by it (statistics/verdicts.py)
columns    {metric, benchmark, split, scorer} of a score, or {metric, mean_of} and {metric, difference} of others; of
           evidence, `summary: false` where another column of the same task speaks for it in the summary over columns,
           and `better: lower` of a loss, which no summary has
rows       {model, method, variant, config, targets, panel, id: of conf/method, params, cells}
cells      metric -> {identity: the cell (harness/store/identity.py), overrides: of its run, settings}
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.load.records import Place

EXPERIMENTS = "experiments"  # below runs/
SHIPPED = Path(__file__).parents[2] / "runs"  # the project's own: another folder may have some of its experiments alone
PATTERNS = Path(EXPERIMENTS, "patterns.json")  # which is no manifest but the patterns of M that a figure draws


def manifests(runs: Path) -> dict[str, dict[str, Any]]:
    """Those below `runs`, by name. Raises ValueError where a twin's original is not there."""
    paths = sorted((runs / EXPERIMENTS).glob("*.json"))
    read = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    found = {manifest["name"]: manifest for manifest in read if "rows" in manifest}
    for manifest in found.values():
        if manifest.get("twin_of") and manifest["twin_of"] not in found:
            known = ", ".join(found)
            raise ValueError(
                f"{manifest['name']} is a twin of {manifest['twin_of']!r}, which has no manifest; there are: {known}"
            )
    return found


def identities(manifest: Mapping[str, Any]) -> list[str]:
    """Of all its cells, in order, each once."""
    return list(dict.fromkeys(cell["identity"] for row in manifest["rows"] for cell in row["cells"].values()))


def places(manifest: Mapping[str, Any]) -> set[Place]:
    """Where the runs of its cells lie below the folder of runs, as their overrides say."""
    return set(_places(manifest))


def _places(manifest: Mapping[str, Any]) -> Iterator[Place]:
    for row in manifest["rows"]:
        for cell in row["cells"].values():
            chosen = dict(item.partition("=")[::2] for item in cell["overrides"].split())
            yield chosen.get("task", ""), chosen.get("model", ""), row["id"]
