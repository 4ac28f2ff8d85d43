"""Find the learning rate of every row of an experiment on validation data, with one procedure for all rows.

    python -m harness.search experiment=study_methods model.checkpoint=FOLDER
    python -m harness.search experiment=study_methods --only task=sst2_1600 --seeds

Each row is trained on one seed: at every rate of the grid for a third of the steps, and at the next rate outside while
the best one is an end of those tried; then at the best two for all steps, and again at the next rate outside. The best
rate after all steps, which has a neighbour on either side, is the row's. Test data are not read. With --seeds each row
is then trained at its rate on all seeds of the experiment, and scored on test data. Rows with `search: false` have one
rate for all, as the head has.

Runs are stored and found as those of run.py are: what is finished is skipped, so the same command goes on.
`python -m analysis search` writes the rates for `recipe=clean` to read.
"""

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig

from errors import Diverged, NotFinite, SettingError
from harness.console import terminal
from harness.console.ending import Ending
from harness.plan import config, experiments
from harness.run import command_line, done_before
from harness.settings import hints
from harness.settings.typed import forced
from harness.store.record import Record

GRID = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
SHARE = 3  # of the steps, a run that only ranks its rate has one in so many
LOWEST, HIGHEST = 1e-6, 10.0  # no grid goes further


@dataclass
class Row:
    """One run of the experiment, seeds apart, and what its rates scored on validation data: by steps, then by rate."""

    overrides: tuple[str, ...]
    searched: bool
    scores: dict[int, dict[float, float]] = field(default_factory=dict)


def best(scores: Mapping[float, float]) -> float:
    """The rate of the highest score; among equal ones the middle (the lower middle of an even number)."""
    highest = sorted(rate for rate, score in scores.items() if score == max(scores.values()))
    return highest[(len(highest) - 1) // 2]


def best_two(scores: Mapping[float, float]) -> list[float]:
    """The best rate, and the best of the others."""
    first = best(scores)
    others = {rate: score for rate, score in scores.items() if rate != first}
    return [first, best(others)] if others else [first]


def outside(scores: Mapping[float, float]) -> float | None:
    """The next rate to try, beyond an end of the grid that scored best; None where the best rate has two neighbours."""
    rate = best(scores)
    following = [_next(rate, -1)] if rate == min(scores) else [_next(rate, 1)] if rate == max(scores) else []
    return next((each for each in following if LOWEST <= each <= HIGHEST), None)


def _next(rate: float, direction: int) -> float:
    """Along ..., 1e-3, 3e-3, 1e-2, ..., or by a factor of 3 from a rate that is none of these."""
    exponent = math.floor(math.log10(rate) + 1e-9)
    digit = round(rate / 10**exponent, 6)
    steps = {(1, 1): (3, 0), (1, -1): (3, -1), (3, 1): (1, 1), (3, -1): (1, 0)}
    if (digit, direction) not in steps:
        return rate * 3.0**direction
    following, shift = steps[digit, direction]
    return float(f"{following}e{exponent + shift}")


def rows(experiment: Mapping[str, Any], only: Sequence[str]) -> list[Row]:
    """The distinct runs of an experiment, of those that have all overrides of `only`. Raises SettingError for none."""
    if "columns" not in experiment:
        raise SettingError("its runs are for no table; python run.py takes several rates: train.lr=1e-3,1e-2")
    found: dict[tuple[str, ...], Row] = {}
    for cell in experiments.cells(experiment):
        if set(only) <= set(cell.overrides):
            found.setdefault(cell.overrides, Row(cell.overrides, cell.row.get("search", True)))
    if not found:
        raise SettingError(f"no run of the experiment has {' '.join(only)}")
    return list(found.values())


class Search:
    """given: overrides of every run."""

    def __init__(self, given: Sequence[str], grid: Sequence[float], seed: int):
        self.given, self.grid, self.seed = given, grid, seed

    def rate(self, row: Row) -> float:
        """The row's rate. Fills in `row.scores`."""
        steps = self._steps(row)
        few = -(-steps // SHARE)
        tried = row.scores[few] = {rate: self._score(row, rate, few) for rate in self.grid}
        while (rate := outside(tried)) is not None:
            tried[rate] = self._score(row, rate, few)
        last = row.scores[steps] = {rate: self._score(row, rate, None) for rate in best_two(tried)}
        while (rate := outside(last)) is not None:  # fewer steps prefer higher rates
            last[rate] = self._score(row, rate, None)
        return best(last)

    def _steps(self, row: Row) -> int:
        train = (cfg := self._composed(row)).train
        if train.max_steps:
            return train.max_steps
        examples = len(config.instantiate(cfg.task.source).examples("train"))
        return math.ceil(train.epochs * math.ceil(examples / train.batch_size))

    def _score(self, row: Row, rate: float, steps: int | None) -> float:
        """Mean validation score, or -inf of a run that diverged. steps: None is all of them."""
        shorter = [f"train.max_steps={steps}"] if steps else []
        validation = ["evaluate.splits=[validation]"]
        try:
            return _validation(self.run(row, [f"train.lr={rate:g}", *shorter, *validation], self.seed).record)
        except (Diverged, NotFinite) as error:
            print(f"{error}: this rate counts as the worst")
            return -math.inf

    def run(self, row: Row, more: Sequence[str], seed: int) -> Ending:
        from harness.run import once

        cfg = self._composed(row, *more, f"seed={seed}")
        return done_before.find(cfg) or once.run(cfg)

    def _composed(self, row: Row, *more: str) -> DictConfig:
        from harness.models import bases

        wanted = {each.partition("=")[0].lstrip("+"): each for each in (*row.overrides, *self.given, *more)}
        overrides = list(map(forced, wanted.values()))
        try:
            cfg = compose("config", overrides=overrides)
        except HydraException as error:
            said = hints.sentences(overrides, lambda groups: compose("config", overrides=groups))
            raise SettingError((said or str(error).splitlines())[0]) from error
        bases.complete(cfg)
        return cfg


def _validation(record: Record) -> float:
    """The mean over the benchmarks that have validation data, each by its first scorer. NaN of none."""
    splits = [each["validation"]["scorers"] for each in record.scores.values() if "validation" in each]
    means = [next(iter(scorers.values()))["mean"] for scorers in splits if scorers]
    return sum(means) / len(means) if means else math.nan


def _told(row: Row) -> Iterator[str]:
    for steps, scores in row.scores.items():
        yield f"{steps} steps: " + ", ".join(f"{rate:g} {100 * score:.1f}" for rate, score in sorted(scores.items()))


def search(options: argparse.Namespace) -> int:
    name = next((each.partition("=")[2] for each in options.given if each.startswith("experiment=")), None)
    if name is None:
        raise SettingError("name the experiment whose rows are searched: experiment=NAME")
    given = [each for each in options.given if not each.startswith("experiment=")]
    for rate in options.rates:
        if not LOWEST <= rate <= HIGHEST:
            raise SettingError(f"--rates takes numbers from {LOWEST:g} to {HIGHEST:g}, not {rate:g}")
    experiment = experiments.read(name)
    wanted = rows(experiment, options.only)
    this = Search(given, options.rates, options.seed)
    command_line.quiet()
    for number, row in enumerate(wanted, 1):
        print(f"[{number} of {len(wanted)}] {' '.join(row.overrides)}", flush=True)
        rate = this.rate(row) if row.searched else None
        said = "; ".join(_told(row))
        print(f"[{number} of {len(wanted)}] {'one rate for all' if rate is None else f'{rate:g} ({said})'}", flush=True)
        for seed in experiment["seeds"] if options.seeds else ():
            this.run(row, [f"train.lr={rate:g}"] if rate is not None else [], seed)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    p = command_line.parser("harness.search", __doc__)
    p.add_argument("given", nargs="+", metavar="OPTION", help="experiment=NAME, and options of every run as for run.py")
    only = "only runs that the experiment gives this option, as task=NAME; may be there several times"
    p.add_argument("--only", action="append", default=[], metavar="OPTION", help=only)
    grid = " ".join(f"{rate:g}" for rate in GRID)
    p.add_argument("--rates", nargs="+", type=float, default=GRID, metavar="RATE", help=f"the grid (default: {grid})")
    p.add_argument("--seed", type=int, default=0, help="of the search (default: %(default)s)")
    p.add_argument("--seeds", action="store_true", help="train all seeds at the rates found, and score them")
    options = p.parse_intermixed_args(arguments)
    config.register_resolvers()
    terminal.stage("loading torch and transformers")
    with initialize_config_dir(str(experiments.CONF), version_base="1.3"):
        return command_line.exit_code(lambda: search(options))


if __name__ == "__main__":
    sys.exit(main())
