"""`python run.py --help`: the commands that one needs, what there is to choose from, where options are explained."""

import textwrap
from collections.abc import Sequence

from harness.plan import experiments
from harness.settings.hints import CONF

WIDTH = 100
GROUPS = {
    "method": "how the model is adapted",
    "model": "what is adapted; decoder, encoder and vision stand for a checkpoint of your own",
    "task": "what it is trained and scored on; classification, generation and image_folder stand for your own files",
    "recipe": "where learning rates and other tuned values come from",
    "experiment": "all runs of one table or figure, in place of the choices above",
}

ABOUT = """\
Train one method on one task with one model, score it, and write a record of it.

  python run.py                                         SVFT on a small task: minutes on a laptop
  python run.py method=lora task=gsm8k model=gemma2b    one run
  python run.py -m method=lora,svft_plain seed=0,1,2    several: each combination after the other;
                                                        hydra.launcher.workers=2: two at a time
  python run.py experiment=table1 plan=true             the runs of a table of the paper: which are
                                                        done, what the others need; without
                                                        plan=true these are started

A run is one choice from each group. The comments in conf/GROUP/CHOICE.yaml explain a choice."""

OPTIONS = """\
Options of a choice are changed by name: train.lr=1e-3 method.adapter.d=16 evaluate.splits=[test]

  python run.py --cfg job method=lora    print all options of this run with their values
  conf/config.yaml                       explains the options that every run has
  conf/train/default.yaml                explains those of training

A run is written to runs/TASK/MODEL/METHOD/VARIANT-KEY/seed=N. The same command again finds it
there when it is done, and goes on with it when it was interrupted.

  python -m harness.doctor               is this machine ready, and what is missing
  python -m harness.predict --help       what a finished run says of new data
  python -m harness.export --help        its model, for transformers or PEFT
  python -m cluster --help               sweeps on a SLURM cluster
  python run.py --hydra-help             flags of Hydra, which reads the command line"""


def is_asked_for(arguments: Sequence[str]) -> bool:
    return not {"--help", "-h"}.isdisjoint(arguments)


def text() -> str:
    return "\n\n".join([ABOUT, *(_group(name, what) for name, what in GROUPS.items()), OPTIONS])


def _group(name: str, what: str) -> str:
    """The choices of a group, below what the group is."""
    there = experiments.names() if name == experiments.CHOICE else sorted(p.stem for p in (CONF / name).glob("*.yaml"))
    lines = textwrap.wrap(", ".join(there), WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 4)
    return "\n".join([*textwrap.wrap(f"{name}: {what}", WIDTH, initial_indent="  ", subsequent_indent="    "), *lines])
