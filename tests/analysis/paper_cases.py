"""Manifests of experiments and records that belong to their cells, made by hand."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from tests.analysis.conftest import score

SETTINGS = {"paper": {"lr": 0.05, "batch_size": 64, "epochs": 2}, "authors_code": {"lr": 0.05, "batch_size": 64}}


def identity(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def column(metric: str, benchmark: str = "", watched: bool = False) -> dict:
    name = benchmark or metric.lower().replace("-", "")
    return {"metric": metric, "benchmark": name, "split": "test", "scorer": "legacy", "watched": watched}


def row(
    model: str, method: str, config: str = "", *, metrics: Sequence[str], variant: str = "", targets: str = "QV",
    params: int | None = 1234, panel: str = "", settings: dict | None = None, runs: str = "",
) -> dict:  # fmt: skip
    """`runs`: a prefix of the identities, so that two tables may share runs or not. One run for all metrics."""
    own = identity(f"{runs} {model} {method} {variant} {config} {targets}")
    methods = {
        "Full-FT": "full",
        "Head": "head",
        "SVFT": {"P": "svft_plain", "B": "svft_banded", "R": "svft_random", "T": "svft_topk", "": "svft_banded"},
    }
    name = methods.get(method, method.lower())
    cell = {"identity": own, "overrides": "", "settings": settings or SETTINGS}
    return {
        "model": model, "method": method, "variant": variant, "config": config, "targets": targets, "panel": panel,
        "id": name[variant] if isinstance(name, dict) else name, "params": params,
        "cells": dict.fromkeys(metrics, cell),
    }  # fmt: skip


def write(runs: Path, name: str, columns: Sequence[dict], rows: Sequence[dict], **changes) -> dict:
    manifest = {
        "name": name, "title": f"Title of {name}", "table": None, "figure": None, "twin_of": None, "seeds": [0],
        "columns": list(columns), "rows": list(rows), **changes,
    }  # fmt: skip
    (runs / "experiments").mkdir(parents=True, exist_ok=True)
    (runs / "experiments" / f"{name}.json").write_text(json.dumps(manifest), encoding="utf-8")
    return manifest


def entry(items: str | None, n: int = 0, majority: float | None = None, mean: float = 0.0, error: float = 0.0) -> dict:
    """A benchmark's scores on one split; without items a metric that is no mean of verdicts."""
    value = (
        {"mean": mean, "standard_error": error, "unparsed": 0.0, "items": None} if items is None else score(items, 0.0)
    )
    return {"metric": "accuracy", "n": n or len(items or ""), "majority": majority, "scorers": {"legacy": value}}


def ran(add, row: dict, seed: int, scores: dict[str, dict], **changes) -> Path:
    """A record of a row's run: {benchmark: entry of the test split}."""
    cell = next(iter(row["cells"].values()))
    labels = {"method": row["id"], "task": "t", "model": "m", "recipe": "paper", "seed": seed, "label": row["method"],
              "task_label": "T", "model_label": row["model"], "targets": row["targets"],
              "variant": row["variant"], "identity": cell["identity"]}  # fmt: skip
    splits = {name: {"test": value} for name, value in scores.items()}
    return add(
        cell["identity"][:8], seed, {"legacy": "1"}, method=row["id"], **{"run": labels, "scores": splits, **changes}
    )
