"""One run: a method, a task, a model and a seed, from configuration to record.

python run.py                                                     the embedded default, minutes on a laptop
python run.py method=svft_random task=gsm8k model=gemma2b         a cell of the paper
python run.py -m method=svft_random,lora seed=0,1,2               a sweep
python run.py experiment=table1 plan=true                         what a table of the paper needs; starts nothing
python run.py experiment=table1                                   run it

Imports are where they are needed: help, a wrong word and a finished run are answered before torch is loaded.
"""

import sys

import hydra
from omegaconf import DictConfig

from harness.console import terminal
from harness.console.ending import Ending, summary
from harness.console.stderr import release_stderr
from harness.plan import config
from harness.run import command_line
from harness.settings import limits
from harness.store import provenance

config.register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@command_line.tells_user_errors
def main(cfg: DictConfig) -> Ending | None:
    """What one configuration asks for: a finished run is told, a plan is shown, anything else is run."""
    release_stderr()
    from harness.run import done_before

    if ended := done_before.find(cfg):
        return ended
    terminal.stage("loading torch and transformers")
    from harness.models import bases
    from harness.plan import overview
    from harness.ranks import distributed

    command_line.quiet()
    if cfg.plan:
        return overview.show_one(cfg)
    limits.check({"threads": cfg.threads})
    distributed.join(provenance.set_up(cfg.device, cfg.threads))
    distributed.call_together(lambda: bases.complete(cfg))
    return run(cfg)


def run(cfg: DictConfig) -> Ending:
    """Train and evaluate what is missing of one run. Raises UserError and its kinds, and Stopped."""
    from harness.plan import splits
    from harness.ranks import distributed
    from harness.ranks.shared_folder import folder_class
    from harness.run import stages, tracking
    from harness.store.record import Record
    from harness.train.interruption import Stop

    resolved = config.resolve(cfg)
    tracker = config.instantiate(cfg.tracker)
    device = distributed.join(provenance.set_up(cfg.device, cfg.threads))
    this = stages.identify(cfg)
    new = Record(this.key, config.names(cfg, resolved), resolved, this.fingerprints)
    with Stop() as stop, folder_class()(config.run_dir(resolved, this.key), new) as folder:
        done = folder.prepare(cfg.force)
        if done:
            there = splits.at_hand(cfg, this.asked, done.scores)
            if splits.are_scored(done.scores, there.wanted):
                distributed.say(f"done before: {summary(done, folder.path)}")
                splits.tell_missing(there.missing)
                return Ending(done, before=True)
        with folder.recording(done) as result:
            distributed.call_together(lambda: this.task.examples("train"))  # wrong rows are told before missing files
            there = splits.at_hand(cfg, this.asked, result.scores)
            to_train = folder.train_section() is None
            loaded = stages.load(cfg, this, there.wanted, device, to_train=to_train)
            result.data = stages.examine(this, loaded, there, to_train=to_train)
            result.fingerprints |= stages.contents(cfg, this)
            folder.begin(result, loaded.adapted.parameters, loaded.adapted.section(), stages.origin(cfg, this, device))
            with tracking.tracked(tracker, result, folder.path) as callbacks:
                if to_train:
                    stages.train(cfg, this, loaded, folder, [*callbacks, *this.callbacks, stop])
                stages.score(cfg, loaded, folder, result, there.wanted)
        distributed.say(summary(result, folder.path))
    splits.tell_missing(there.missing)
    return Ending(result, before=False)


if __name__ == "__main__":
    sys.exit(command_line.program(main))
