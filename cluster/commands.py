"""The commands of `python -m cluster`, but for submit. Each returns the exit code."""

import shlex
import shutil
import sys
from argparse import Namespace
from pathlib import Path

from rich import box
from rich.table import Table

from cluster import slurm, states, sweep
from cluster.states import CANCELLED, DONE, FAILED, QUEUED, RUNNING
from errors import RecordError, SettingError
from harness.console import ending, terminal
from harness.store import files, lock, record

COLOURS = {DONE: "green", RUNNING: "cyan", QUEUED: "", FAILED: "red", CANCELLED: "yellow"}


def status(options: Namespace) -> int:
    """1 where a run failed."""
    if options.name is None:
        return _overview(options.folder)
    there = _named(options)
    found = states.of(there)
    table = _table(_plain(options.name))
    for name in ("Run", "Job", "State", "Progress or reason"):
        table.add_column(name, no_wrap=name in ("Job", "State"), overflow="fold")
    for state in found:
        colour = COLOURS[state.name]
        table.add_row(
            _plain(state.run.label),
            state.run.job or "",
            f"[{colour}]{state.name}[/]" if colour else state.name,
            _plain(state.detail),
        )
    console = terminal.console()
    console.print(table)
    console.print(_counts(found))
    if any(state.name in (FAILED, CANCELLED) for state in found):
        console.print(f"logs: {there.log}", style="dim", soft_wrap=True)
        console.print(f"queue them again: python -m cluster retry {shlex.quote(options.name)}", style="dim")
    return int(any(state.name == FAILED for state in found))


def _overview(folder: Path) -> int:
    """Every sweep in a line."""
    there = sweep.folders(folder.resolve())
    if not there:
        print(f"no sweep has been submitted ({folder}): python -m cluster submit experiment=...")
    damaged = 0
    for path in there:
        try:
            one = sweep.read(path)
        except SettingError as error:
            damaged += 1
            print(f"error: {error}", file=sys.stderr)
        else:
            print(f"{one.name}: {_counts(states.of(one))}")
    return int(bool(damaged))


def retry(options: Namespace) -> int:
    """Failed and cancelled runs, with the configurations that were frozen then."""
    from cluster import submission

    with lock.turn(options.folder):
        active = sweep.active(options.folder.resolve())
        there = _named(options)
        ended = [state.run for state in states.of(there) if state.name in (FAILED, CANCELLED)]
        for run in (run for run in ended if run.key in active):
            name, other = active[run.key]
            there.join(run, other, name)
        again = [run for run in ended if run.key not in active]
        submission.queue(there, again, there.settings, retry=True)
    in_queue = f", {len(ended) - len(again)} in the queue of another sweep" if len(again) < len(ended) else ""
    print(f"sweep {there.name}: {len(again)} submitted again{in_queue}")
    return 0


def cancel(options: Namespace) -> int:
    with lock.turn(options.folder):
        there = _named(options)
        active = [state.run for state in states.of(there) if state.name in (QUEUED, RUNNING)]
        own = [run for run in active if run.elsewhere is None]
        for run in own:
            run.cancelled = True
        there.write()
        slurm.cancel([run.job for run in own])
    print(f"sweep {there.name}: {len(own)} cancelled; their checkpoints stay")
    for name in sorted({run.elsewhere for run in active if run.elsewhere}):
        print(f"left alone: runs of sweep {name}, for which there is: python -m cluster cancel {shlex.quote(name)}")
    return 0


def collect(options: Namespace) -> int:
    """The scores of what is done, and what is missing; 1 where something is. `--into` copies the records."""
    there = _named(options)
    found = states.of(there)
    done = [state.run for state in found if state.name == DONE]
    table = _table(_plain(options.name))
    for name in ("Run", "Scores"):
        table.add_column(name, overflow="fold")
    for run in done:
        path, value = run.find_record()
        table.add_row(_plain(run.label), _plain(ending.scores(value)))
        if options.into:
            _copy(path.parent, options.into / Path(*path.parent.parts[-5:]))
    console = terminal.console()
    console.print(table)
    missing = [state for state in found if state.name != DONE]
    for state in missing:
        print(f"missing: {state.run.label}: {state.name}{f', {state.detail}' if state.detail else ''}", file=sys.stderr)
    console.print(
        f"{len(done)} of {len(found)} runs are done"
        + (f"; their records are in {options.into}" if options.into else "")
    )
    return int(bool(missing))


def _named(options: Namespace) -> sweep.Sweep:
    return sweep.read(options.folder.resolve() / options.name)


def _copy(source: Path, target: Path) -> None:
    """A run's folder, whole or not at all; a run that is there already with all its scores stays as it is."""
    if _has_scores_of(source, target):
        return
    files.write_folder(target, lambda partial: shutil.copytree(
        source, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoint", ".lock", "wandb")
    ))  # fmt: skip


def _has_scores_of(source: Path, target: Path) -> bool:
    try:
        ours, theirs = (record.read(folder / record.FILE) for folder in (source, target))
    except RecordError:
        return False
    return theirs.status == ours.status and all(
        split in theirs.scores.get(benchmark, {}) for benchmark, splits in ours.scores.items() for split in splits
    )


def _counts(found: list[states.State]) -> str:
    return ", ".join(f"{number} {name}" for name, number in states.count(found).items()) or "no runs"


def _table(title: str) -> Table:
    return Table(title=title, title_style="bold", header_style="bold", box=box.SIMPLE)


def _plain(text: str) -> str:
    """Without rich's markup."""
    return text.replace("[", r"\[")
