"""Pick the learning rate of every method from a search on validation data.

    python -m analysis search --family micro_math --task micro_gsm --model micro_gemma

Writes <out>/search_<task>_<model>.{csv,md,tex}, and <recipes>/<family>-<model>.yaml for `recipe=clean` to read; a
family of several tasks has one such file, in which other tasks stay. What is picked: statistics/rates.py.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from analysis.load.grounds import ground
from analysis.load.records import Loaded, load
from analysis.pages import search
from analysis.statistics.rates import grid, narrow, recipe
from errors import RecordError
from harness.store.disk import tells_disk_errors, writing
from harness.store.files import write_bytes, write_text
from harness.store.record import Record

OUT = Path("analysis", "output", "tables")


@tells_disk_errors()
def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    try:
        loaded = load(options.runs)
    except RecordError as error:
        sys.exit(f"error: {error}")
    loaded.tell()
    own = {task: _of_place(loaded, task, options.model) for task in options.task}
    for task, records in own.items():
        if len({tuple(ground(each).values()) for each in records if each.status == "done"}) > 1:
            place = options.runs / task / options.model
            sys.exit(f"{place} has runs on different data or bases, and a rate is picked on one; move the others away")
    grids = {task: grid(records) for task, records in own.items()}
    empty = [str(options.runs / task / options.model) for task, frame in grids.items() if frame.empty]
    if empty:
        sys.exit(f"no method was run at two learning rates or more below {' and '.join(empty)}")
    for folder in (options.recipes, options.out):  # both can be written to, or nothing is
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
    for task, frame in grids.items():
        few = narrow(own[task])
        for each in few:
            print(f"{task}: {each} was run at too few learning rates, and none is picked for it")
        page = search.page(frame, few, loaded.left_out_of(task, options.model))
        for ending, content in page.files().items():
            write_bytes(options.out / f"search_{task}_{options.model}.{ending}", content)
    path = options.recipes / f"{options.family}-{options.model}.yaml"
    standing = _standing(path)
    picks = {task: recipe(frame, standing.get(task, {})) for task, frame in grids.items()}
    write_text(path, search.yaml(standing | picks, options.family, options.model))
    print(path)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Leaves with exit code 2 where the folder of records is none."""
    p = argparse.ArgumentParser(prog="python -m analysis search", description=__doc__.split("\n")[0])
    p.add_argument("--family", required=True, help="as the task's yaml says: names the file of picks")
    p.add_argument("--task", required=True, nargs="+")
    p.add_argument("--model", required=True)
    p.add_argument("--runs", type=Path, default=Path("runs"), help="folder of records (default: %(default)s)")
    p.add_argument("--out", type=Path, default=OUT, help="folder for the tables (default: %(default)s)")
    p.add_argument("--recipes", type=Path, default=Path("conf/recipe/clean/picked"), help="default: %(default)s")
    options = p.parse_args(arguments)
    if not options.runs.is_dir():
        p.error(f"there is no folder {options.runs}; --runs names the one with records")
    return options


def _standing(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The picks of an earlier search by task and method; none where there is no file."""
    try:
        return yaml.safe_load(path.read_text()) or {}
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        sys.exit(f"error: {path} cannot be read: {' '.join(str(error).split())}")


def _of_place(loaded: Loaded, task: str, model: str) -> list[Record]:
    return [record for record in loaded.records if (record.run["task"], record.run["model"]) == (task, model)]


if __name__ == "__main__":
    sys.exit(main())
