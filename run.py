"""One run: a method, a task, a model and a seed, from configuration to record.

python run.py                                                     the embedded default, minutes on a laptop
python run.py method=svft_random task=gsm8k model=gemma2b         a cell of the paper
python run.py -m method=svft_random,lora seed=0,1,2               a sweep
python run.py experiment=table1 plan=true                         what a table of the paper needs; starts nothing
python run.py experiment=table1                                   run it
"""

import sys

import hydra
from omegaconf import DictConfig

from harness.console.stderr import hold_stderr, release_stderr
from harness.plan import config
from harness.run import done_before
from harness.run.command_line import failures, interruptible, leaving_together, one_sentence, quiet, understood
from harness.settings.hints import explained
from harness.store import disk
from harness.store.ending import Ending

config.register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_sentence
def main(cfg: DictConfig) -> Ending | None:
    release_stderr()
    if ended := done_before.find(cfg):
        return ended
    from harness.models import bases
    from harness.plan import overview
    from harness.ranks import distributed
    from harness.settings import limits
    from harness.store import provenance

    quiet()
    if cfg.plan and distributed.is_main():
        bases.complete(cfg)
        overview.show([cfg], 1)
    elif not cfg.plan:
        limits.check({"threads": cfg.threads})
        distributed.join(provenance.set_up(cfg.device, cfg.threads))
        distributed.call_together(lambda: bases.complete(cfg))
        return run(cfg)
    return None


def run(cfg: DictConfig) -> Ending:
    """Train and evaluate what is missing of one run. Raises the errors that `one_sentence` tells, and Stopped."""
    from harness.adapters import adapt
    from harness.modality import fitting
    from harness.plan import splits
    from harness.ranks import distributed, sharding
    from harness.ranks.shared_folder import folder_class
    from harness.run import data_report, evaluator
    from harness.run.tracking import Tracker
    from harness.store import provenance, record, trained
    from harness.train import trainer
    from harness.train.interruption import Stop

    resolved = config.resolve(cfg)
    device = distributed.join(provenance.set_up(cfg.device, cfg.threads))
    task, adapter, method_callbacks, asked, fingerprints, key = distributed.call_together(lambda: identify(cfg))
    distributed.refuse_differing({**fingerprints, "configuration": key, "seed": str(cfg.seed)})
    new = record.Record(key, config.names(cfg, resolved), resolved, fingerprints)
    with Stop() as stop, folder_class()(config.run_dir(resolved, key), new) as folder:
        done = folder.prepare(cfg.force)
        if done:
            wanted, missing = splits.at_hand(cfg, asked, done.scores)
            if all(splits.is_scored(done.scores, benchmark, split) for benchmark, split in wanted):
                distributed.say(f"done before: {folder.summary(done)}")
                splits.tell_missing(missing)
                return Ending(done, before=True)
        with folder.recording(done) as result:
            distributed.call_together(
                lambda: task.examples("train")
            )  # whatever is wrong there is told before what is missing
            wanted, missing = splits.at_hand(cfg, asked, result.scores)
            to_train = folder.train_section() is None
            if to_train:
                sharding.check_devices(cfg)
            modality, head, adapted = distributed.call_together(lambda: load(cfg, task, adapter, wanted, device))
            result.data = data_report.of(task, wanted, missing)
            distributed.say("\n".join(data_report.sentences(result.data)))
            said = distributed.call_together(lambda: fitting.look(modality, adapted.model, wanted, to_train))
            result.fingerprints |= distributed.call_together(
                lambda: adapt.contents(adapter, cfg.model) if distributed.is_main() else {}
            )
            folder.begin(result, adapted.parameters, adapted.section(), provenance.collect(device))
            with Tracker(cfg, result, folder.path) as callbacks:
                if to_train:
                    callbacks = [*callbacks, *method_callbacks, stop]
                    train = trainer.fit(cfg, adapted.model, modality, task, head, folder.checkpoint, callbacks)
                    adapted.model = sharding.unsharded(
                        adapted.model, lambda: load(cfg, task, adapter, wanted, device)[-1].model
                    )
                    folder.finish_training(adapted.model, train | ({"warnings": said} if said else {}))
                distributed.call_together(lambda: trained.load(adapted.model, folder.adapter))
                result.train = folder.train_section()
                for benchmark, split in wanted:
                    entry = evaluator.evaluate(
                        folder, benchmark, modality, adapted.model, split, cfg.evaluate.batch_size
                    )
                    result.scores.setdefault(benchmark.name, {})[split] = entry
        distributed.say(folder.summary(result))
    splits.tell_missing(missing)
    return Ending(result, before=False)


def identify(cfg: DictConfig):
    """Task, adapter, the method's callbacks, benchmarks with splits, fingerprints, and the key that they make."""
    from harness.adapters import adapt
    from harness.models import pretrained
    from harness.plan import splits
    from harness.ranks import sharding
    from harness.train import train_settings

    train_settings.check(cfg)
    task = config.instantiate(cfg.task.source)
    adapter, callbacks = config.instantiate(cfg.method.adapter), config.callbacks(cfg.method)
    sharding.check(cfg, adapter)
    asked = list(splits.wanted(cfg, task))
    base = pretrained.fingerprint(cfg.model)
    fingerprints = {"data": task.fingerprint(), "model": base, **adapt.fingerprint(adapter, base)}
    key = config.identity(cfg, fingerprints)
    of_files = pretrained.tokenizer_fingerprint(cfg.model) | pretrained.preprocessor_fingerprint(cfg.model)
    return task, adapter, callbacks, asked, fingerprints | of_files, key


def load(cfg: DictConfig, task, adapter, wanted, device):
    """The modality, the names of the head's modules, and the adapted model on its device."""
    from transformers import set_seed

    from harness.adapters import adapt
    from harness.modality import modalities

    modalities.look(task, wanted)  # whatever is wrong with the data shows before the model is loaded
    set_seed(cfg.seed)  # before the adapter is built
    modality = modalities.choose(cfg, task)
    base = modality.load_model()
    head = adapt.head_modules(cfg.model.head) if modality.num_labels else []
    adapted = adapt.adapt(base, adapter, head)
    adapted.classes = list(getattr(modality, "class_names", ()))
    adapted.model.to(device)
    return modality, head, adapted


if __name__ == "__main__":
    with (
        hold_stderr(lambda held: explained(held, sys.argv[1:])),
        disk.one_sentence(),
        leaving_together(),
        interruptible(),
    ):
        sys.argv[1:] = understood(sys.argv[1:])
        main()
    sys.exit(1 if failures else 0)
