"""What HF's Trainer does otherwise where one training is on several ranks: their losses are those of one process."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from torch.distributed.tensor import DTensor
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import EvalLoopOutput

from harness import distributed, sharding, shares
from harness.generation import IGNORED


class SharedTraining(Trainer):
    """Ranks share out the micro-batches of each step and of each evaluation; the model may be sharded (FSDP2)."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.weight = 1.0  # of this rank's micro-batch in the loss
        self.sharded = sharding.is_sharded(self.model)
        self.is_distributed_loading_by_transformers = self.sharded  # what they call a model that is sharded already

    def get_train_dataloader(self):
        if distributed.size() == 1:
            return super().get_train_dataloader()
        return shares.loader(self.train_dataset, self.data_collator, self._train_batch_size, self.args.data_seed)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        """Where the loss is a mean of the means of micro-batches, those of all ranks have equal weights."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self.weight = 1.0
        if distributed.size() > 1 and not self.model_accepts_loss_kwargs:
            real = sum(shares.FILLER not in batch for batch in batches)
            self.weight = len(batches) * distributed.size() / distributed.total([real], device)[0]
        return batches, items

    def _get_num_items_in_batch(self, batch_samples, device):
        counted = [
            {**b, "labels": b["labels"].new_full((1, 1), IGNORED)} if shares.FILLER in b else b for b in batch_samples
        ]
        return super()._get_num_items_in_batch(counted, device)

    def compute_loss(self, model, inputs, *args, **kwargs):
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        return loss * self.weight if model.training else loss

    def without_filler(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], bool]:
        """A micro-batch as the model takes it, and whether it counts; a filler has no weight in the loss."""
        inputs = dict(inputs)
        filler = inputs.pop(shares.FILLER, False)
        if filler:
            self.weight = 0.0
        return inputs, not filler

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ):
        """On several ranks each takes every size-th batch; losses and logits are those of one process.

        A sharded model needs all ranks in each forward pass: there each of them takes every batch.
        """
        if distributed.size() == 1:
            return super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        rows, size = dataloader.dataset, self.args.eval_batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        together, self.args.average_tokens_across_devices = self.args.average_tokens_across_devices, False
        self.model.eval()
        mine = []
        for batch in batches if self.sharded else distributed.shares(batches):
            inputs = self.data_collator(batch)
            outputs = self.prediction_step(self.model, inputs, prediction_loss_only, ignore_keys)
            mine.append((len(batch), *self._on_cpu(outputs)))
        self.args.average_tokens_across_devices = together
        all_ranks = mine if self.sharded else distributed.whole(distributed.gather(mine))
        counts, losses, logits, labels = zip(*all_ranks, strict=True)
        metrics = {}
        if self.compute_metrics is not None:
            logits, labels = np.concatenate(logits), np.concatenate(labels)
            metrics = self.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
        metrics["loss"] = float(np.average(losses, weights=counts))
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=named, num_samples=len(rows))

    @staticmethod
    def _on_cpu(outputs):
        """NumPy knows no bf16."""
        wide = [v.float() if v is not None and v.is_floating_point() else v for v in outputs]
        return [None if values is None else values.cpu().numpy() for values in wide]

    def _save_optimizer_and_scheduler(self, output_dir):
        super()._save_optimizer_and_scheduler(output_dir)
        if self.sharded:
            sharding.save_optimizer(self.optimizer, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.sharded:
            sharding.shard_optimizer(self.optimizer)

    def _defer_fsdp_gradient_reduction(self):
        """Not deferred: gradients that wait for the last micro-batch would be whole on every rank."""
        return nullcontext()

    def _get_grad_norm(self, model, grad_norm=None):
        norm = super()._get_grad_norm(model, grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm
