"""One run: a method, a task, a model and a seed, from configuration to record.

python run.py                                                     the embedded default, minutes on a laptop
python run.py method=svft_random task=gsm8k model=gemma2b         a cell of the paper
python run.py -m method=svft_random,lora seed=0,1,2               a sweep
"""

import sys

import hydra
from omegaconf import DictConfig

from harness import config
from harness.command_line import failures, hints, one_sentence, quiet

config.register_resolvers()


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
@one_sentence
def main(cfg: DictConfig) -> None:
    resolved = config.resolve(cfg)
    from transformers import set_seed

    from harness import adapt, evaluator, modalities, models, provenance, record, trained, trainer
    from harness.run_folder import RunFolder
    from harness.tracking import Tracker

    quiet()
    device = provenance.set_up(cfg.device, cfg.threads)
    trainer.accumulation(cfg.train)
    task = config.instantiate(cfg.task.source)
    fingerprints = {"data": task.fingerprint(), "model": models.fingerprint(cfg.model)}
    new = record.Record(config.run_key(cfg, fingerprints), config.names(resolved), resolved, fingerprints)
    with RunFolder(config.run_dir(resolved, new.key), new) as run:
        done = run.prepare(cfg.force)
        if done and set(cfg.evaluate.splits) <= set(done.scores.get(task.name, {})):
            print(f"done before: {run.summary(done)}")
            return
        with run.recording(done) as result:
            examples = {split: task.examples(split) for split in ("train", "validation", *cfg.evaluate.splits)}
            set_seed(cfg.seed)  # before the adapter is built
            modality = modalities.choose(cfg, task)
            base = modality.load_model()
            head = cfg.model.head if modality.num_labels else None
            adapted = adapt.adapt(base, config.instantiate(cfg.method.adapter), head)
            adapted.model.to(device)
            run.begin(result, adapted, provenance.collect(device))
            with Tracker(cfg, result, run.path) as callbacks:
                if run.train_section() is None:
                    train = trainer.fit(cfg, adapted.model, modality, examples, head, run.checkpoint, callbacks)
                    run.finish_training(adapted.model, train)
                trained.load(adapted.model, run.adapter)
                result.train = run.train_section()
                for split in cfg.evaluate.splits:
                    entry = evaluator.evaluate(run, task, modality, adapted.model, split, cfg.evaluate.batch_size)
                    result.scores.setdefault(task.name, {})[split] = entry
        print(run.summary(result))


if __name__ == "__main__":
    with hints():
        main()
    sys.exit(1 if failures else 0)
