"""One run: a method, a task, a model and a seed, from configuration to record.

python run.py                                                     the embedded default, minutes on a laptop
python run.py method=svft_random task=gsm8k model=gemma2b         a cell of the paper
python run.py -m method=svft_random,lora seed=0,1,2               a sweep
python run.py experiment=table1 plan=true                         what a table of the paper needs; starts nothing
python run.py experiment=table1                                   run it

Imports are where they are needed: help, a wrong word and a finished run are answered before torch is loaded.
"""

import hydra
from omegaconf import DictConfig

from harness.console import terminal
from harness.console.ending import Ending
from harness.console.stderr import release_stderr
from harness.plan import config
from harness.run import command_line
from harness.settings import limits, process
from harness.store import provenance

config.register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@command_line.tells_user_errors
def main(cfg: DictConfig) -> Ending | None:
    """What one configuration asks for: a finished run is told, a plan is shown, anything else is run."""
    release_stderr()
    from harness.run import done_before

    limits.check({"threads": cfg.threads, "device": cfg.device})
    if ended := done_before.find(cfg):
        return ended
    terminal.stage("loading torch and transformers")
    with process.loading():
        from harness.models import bases
        from harness.plan import overview
        from harness.ranks import distributed

    command_line.quiet()
    if cfg.plan:
        return overview.show_one(cfg)
    distributed.join(provenance.set_up(cfg.device, cfg.threads))
    distributed.call_together(lambda: bases.complete(cfg))
    return run(cfg)


def run(cfg: DictConfig) -> Ending:
    """Train and evaluate what is missing of one run. Raises UserError and its kinds, and Stopped."""
    from harness.run import once

    return once.run(cfg)


if __name__ == "__main__":
    process.leave(command_line.program(main))
