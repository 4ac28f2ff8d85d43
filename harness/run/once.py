"""One run, from its configuration to its record: what is missing of it is trained and scored."""

from omegaconf import DictConfig

from harness.console.ending import Ending, summary, times
from harness.plan import config, splits
from harness.ranks import distributed
from harness.ranks.shared_folder import folder_class
from harness.run import stages, tracking
from harness.store import provenance
from harness.store.record import Record
from harness.train.interruption import Stop


def run(cfg: DictConfig) -> Ending:
    """Raises UserError and its kinds, and Stopped."""
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
                stages.compare(cfg, loaded, result)
        distributed.say("\n".join(filter(None, [times(result), summary(result, folder.path)])))
    splits.tell_missing(there.missing)
    return Ending(result, before=False)
