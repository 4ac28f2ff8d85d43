"""Metrics of all predictions together: what GLUE reports where it does not report accuracy (arXiv:1804.07461, Table 1).

Each takes (predictions, golds) and returns a number. They are metrics of the library evaluate: those of tasks/metrics/,
and a user's own, by their paths. The library is imported when something is scored, or a user names a metric: it takes
seconds.
"""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errors import SettingError
from tasks import fingerprints
from tasks.base import CorpusScorer

if TYPE_CHECKING:
    from evaluate import Metric


@dataclass(frozen=True)
class Local:
    """The metric tasks/metrics/<name>.

    Its formula is called on the lists as they are. `compute` would first copy them to an Arrow table, which costs 3 ms
    and more, 200 times for a standard error.
    """

    name: str

    def __call__(self, predictions: Sequence[Any], golds: Sequence[Any]) -> float:
        return _local(self.name)._compute(predictions=predictions, references=golds)[self.name]


f1 = Local("f1")
matthews = Local("matthews")
pearson = Local("pearson")
spearman = Local("spearman")


@dataclass(frozen=True)
class Own:
    """A user's metric: a .py file, or a folder that holds one of its own name.

    version: SHA-256 of its code, which is all the Python of a folder.
    """

    path: str
    version: str

    @property
    def name(self) -> str:
        return Path(self.path).stem

    def __call__(self, predictions: Sequence[Any], golds: Sequence[Any]) -> float:
        """Not a finite number where the metric says so.

        Raises SettingError where the metric does not take such predictions, or does not return one number.
        """
        try:
            found = _own(self.path, self.version).compute(predictions=predictions, references=golds)
        except (ValueError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise SettingError(f"the metric {self.path} does not take these predictions ({reason})") from error
        value = found.get(self.name, next(iter(found.values())) if len(found) == 1 else None)
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"the metric {self.path} returns {found!r}; it has to be one number, or one of them under {self.name!r}"
            ) from error


def own(paths: Sequence[str] | None, beside: Iterable[str]) -> dict[str, CorpusScorer]:
    """Scorers of a user's metrics by their names, each loaded. beside: names of the scorers that there are already.

    Raises ValueError where there is none at a path, or two scorers have one name, SettingError where a module that it
    imports is not there, and whatever else the import raises.
    """
    if isinstance(paths, str):
        raise ValueError(f"metrics is a list, as [{paths}], not {paths!r}")
    found: dict[str, CorpusScorer] = {}
    for path in paths or ():
        if (name := Path(path).stem) in {*beside, *found}:
            raise ValueError(f"metrics: there is a scorer {name!r} already; give {path} another name")
        metric = Own(path, _version(path))
        _own(metric.path, metric.version)
        found[metric.name] = CorpusScorer(metric, metric.version)
    return found


@cache
def _local(name: str) -> "Metric":
    from evaluate.loading import import_main_class

    with tempfile.TemporaryDirectory() as unused:  # evaluate makes a folder; what is scored stays in memory
        return import_main_class(f"tasks.metrics.{name}.{name}")(cache_dir=unused, keep_in_memory=True, seed=0)


def _file(path: str) -> Path:
    place = Path(path).expanduser()
    return place if place.suffix == ".py" else place / f"{place.name}.py"


def _version(path: str) -> str:
    file = _file(path)
    if not file.is_file():
        raise ValueError(
            f"metrics: there is no file {file}; a metric is a .py file with a class evaluate.Metric, or a folder that "
            "holds one of its own name; one of the hub is downloaded first"
        )
    code = [file] if file == Path(path).expanduser() else sorted(file.parent.glob("*.py"))
    return fingerprints.of(*map(fingerprints.of_file, code))


@cache
def _own(path: str, version: str) -> "Metric":
    """version: a file that was edited meanwhile is another metric."""
    import evaluate

    file = _file(path)

    with tempfile.TemporaryDirectory() as unused:
        try:
            return evaluate.load(str(file), cache_dir=unused, keep_in_memory=True, seed=0)
        except ImportError as error:  # evaluate reads the import lines as text, one module a line
            reason = str(error).partition("\n")[0]
            raise SettingError(
                f"metrics: {file} cannot be imported, with each import on its own line ({reason})"
            ) from error
