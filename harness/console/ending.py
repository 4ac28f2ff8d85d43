"""How a run ended that nothing was wrong with, in words."""

from pathlib import Path
from typing import NamedTuple

from harness.store.record import Record, shown, was_crowded


class Ending(NamedTuple):
    """before: the run had been done before."""

    record: Record
    before: bool


def summary(record: Record, folder: Path) -> str:
    """One line for the terminal; benchmarks have their names where there are several."""
    several = len(record.scores) > 1
    said = [
        f"{f'{benchmark} ' if several else ''}{split} {name} {shown(score, error=True)}"
        for benchmark, splits in record.scores.items()
        for split, entry in splits.items()
        for name, score in entry["scorers"].items()
    ]
    return f"{record.run['label']}, seed {record.run['seed']}: {'; '.join(said)}  ({folder})"


def times(record: Record) -> str | None:
    """A sentence on the seconds of a step, where the machine was too busy for them to be the method's."""
    if not was_crowded(record):
        return None
    times = record.train["step_times"]
    low, high = times["quartiles"]
    return (
        f"note: other processes held the cores during training: a step took {times['median']:.3g} s (quartiles "
        f"{low:.3g} to {high:.3g}), more than it takes alone; tables say busy beside it"
    )


def parameters(record: Record) -> str:
    """Trained ones, the head's apart."""
    head = record.parameters.get("head", 0)
    return f"{record.parameters.get('adapter', 0):,}" + (f" + {head:,} (head)" if head else "")


def scores(record: Record) -> str:
    """A line a benchmark, of the test split where there is one."""
    lines = []
    for benchmark, splits in record.scores.items():
        split = "test" if "test" in splits else next(iter(splits))
        said = ", ".join(f"{name} {shown(score)}" for name, score in splits[split]["scorers"].items())
        lines.append(f"{benchmark}: {said}{'' if split == 'test' else f' ({split})'}")
    return "\n".join(lines)
