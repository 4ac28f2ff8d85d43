"""What HF's Trainer has to do differently so that a training on several ranks has the losses of one process."""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.distributed.tensor import DTensor
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import EvalLoopOutput

from harness.ranks import distributed, sharding, shares
from harness.train import probes


class SharedTraining(Trainer):
    """Ranks share out the micro-batches of each step and of each evaluation; the model may be sharded (FSDP2).

    The loss of an optimiser step is the mean over its targets on all ranks: tokens to learn, or rows of a classifier. A
    model gives the mean over a micro-batch, which then weighs as much as it has of the step's targets. So an auxiliary
    loss that a model or method adds counts once a step, whatever the micro-batches.
    """

    loss_is_scaled_for_ga = True

    def __init__(self, *args, modality, sort_in_step: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        # No model is told the number of targets. HF's Trainer goes by the signature of `forward` and would leave the
        # loss of all who take further arguments undivided, though many ignore them (BERT-like classifiers).
        self.model_accepts_loss_kwargs = False
        self.modality = modality
        self.sort_in_step = sort_in_step
        self.step_targets: float | None = None  # of the optimiser step, on all ranks; None: a micro-batch is a step
        self.weight = 1.0  # of this rank's micro-batch in the loss
        self.sharded = sharding.is_sharded(self.model)
        self.is_distributed_loading_by_transformers = self.sharded  # what they call a model that is sharded already

    def get_train_dataloader(self):
        # accelerate's loader fills up the last step of an epoch with examples from its beginning, so that every rank
        # has a full micro-batch; one process has a shorter step there.
        if distributed.size() == 1:
            return super().get_train_dataloader()
        return shares.loader(self.train_dataset, self.data_collator, self._train_batch_size, self._order())

    def _get_train_sampler(self, train_dataset=None):
        # The Trainer's own order by length puts rows of like length into one step, which changes what a step learns.
        return self._order() if self.sort_in_step else super()._get_train_sampler(train_dataset)

    def _order(self) -> shares.Order:
        rows, arguments = self.train_dataset, self.args
        step = self._train_batch_size * arguments.gradient_accumulation_steps * distributed.size()
        length = (lambda i: self.modality.length(rows[i])) if self.sort_in_step else None
        return shares.Order(len(rows), arguments.data_seed, step, length)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        # This is where all micro-batches of an optimiser step are at hand before the first of them is trained on. The
        # Trainer's own number is for models that divide by it themselves.
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._count_targets(batches)
        return batches, None

    def first_steps(self) -> Iterator[Iterator[torch.Tensor]]:
        """The first epoch before it is trained: of each optimiser step the losses of this rank's micro-batches.

        Their gradients add up to the step's, averaged over the ranks. The model is taken as it is, in its mode.
        """
        rows, order, size = self.train_dataset, list(self._order()), self._train_batch_size
        step = size * self.args.gradient_accumulation_steps * distributed.size()
        for start in range(0, len(order), step):
            of_step = order[start : start + step]
            cut = [of_step[first : first + size] for first in range(0, len(of_step), size)]
            batches = [self.data_collator([rows[i] for i in indices]) for indices in distributed.shares(cut)]
            self._count_targets(batches)
            yield map(self._loss_ahead, batches)

    def _loss_ahead(self, batch: dict[str, Any]) -> torch.Tensor:
        inputs = self.weighed(batch)
        return probes.loss_of(self.model, inputs, self.args) * self.weight

    def _count_targets(self, batches: Sequence[dict[str, Any]]) -> None:
        """Of an optimiser step, by this rank's micro-batches of it."""
        self.step_targets = distributed.total([sum(map(self._targets, batches))], self.args.device)[0]

    def _targets(self, batch: dict[str, Any]) -> int:
        return 0 if shares.FILLER in batch else int(self.modality.targets(batch).sum())

    def compute_loss(self, model, inputs, *args, **kwargs):
        # The Trainer has just put the model into training mode, its batch norms too.
        probes.keep_statistics(model)
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        if not model.training:
            return loss
        probes.require_gradient(loss)
        return loss * self.weight

    def weighed(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """A micro-batch as the model takes it, whose weight in the loss is set; ranks' gradients are averaged."""
        targets = self._targets(inputs)
        inputs = {name: value for name, value in inputs.items() if name != shares.FILLER}
        if targets:
            self.weight = distributed.size() * targets / (self.step_targets or targets)
        else:  # the mean over nothing is no number, and no weight makes it one: let the model learn anything, with none
            self.weight = 0.0
            inputs["labels"] = inputs["labels"].clamp(min=0)
        return inputs

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ):
        """Each rank takes every size-th batch; losses and logits do not depend on the number of ranks.

        The loss is the mean of the batches' means, each counted once for every row that has a target. (For a decoder
        that is not the mean over all tokens: batches of few tokens weigh as much as others.) Where no row has one there
        is no loss.

        A sharded model needs all ranks in each forward pass: there each of them takes every batch.
        """
        rows, size = dataloader.dataset, self.args.eval_batch_size
        batches = [rows[start : start + size] for start in range(0, len(rows), size)]
        self.model.eval()
        mine = [
            self._evaluated(self.data_collator(batch), prediction_loss_only)
            for batch in (batches if self.sharded else distributed.shares(batches))
        ]
        all_ranks = mine if self.sharded else distributed.interleaved(distributed.gather(mine))
        counts, losses, logits, labels = zip(*all_ranks, strict=True)
        metrics = {}
        if self.compute_metrics is not None:
            logits, labels = np.concatenate(logits), np.concatenate(labels)
            metrics = self.compute_metrics(EvalPrediction(predictions=logits, label_ids=labels))
        if any(counts):
            metrics["loss"] = np.repeat(losses, counts).mean().item()
        named = {f"{metric_key_prefix}_{name}": value for name, value in metrics.items()}
        return EvalLoopOutput(predictions=None, label_ids=None, metrics=named, num_samples=len(rows))

    @torch.no_grad()
    def _evaluated(self, inputs: dict[str, Any], loss_only: bool | None) -> tuple[int, np.ndarray, Any, Any]:
        """Rows with a target, the loss, and, unless the loss alone is asked for, logits and labels of a batch."""
        count = int((self.modality.targets(inputs) > 0).sum())
        loss, outputs = self.compute_loss(self.model, self._prepare_inputs(inputs), return_outputs=True)
        if loss_only:
            return count, _on_cpu(loss), None, None
        return count, _on_cpu(loss), _on_cpu(outputs["logits"]), _on_cpu(inputs["labels"])

    def _save_optimizer_and_scheduler(self, output_dir):
        # The Trainer writes what rank 0 has, which is a share of a sharded model's states.
        super()._save_optimizer_and_scheduler(output_dir)
        if self.sharded:
            sharding.save_optimizer(self.optimizer, Path(output_dir))

    def _load_optimizer_and_scheduler(self, checkpoint):
        super()._load_optimizer_and_scheduler(checkpoint)
        if self.sharded:
            sharding.shard_optimizer(self.optimizer)

    def _defer_fsdp_gradient_reduction(self):
        """Not deferred: until the last micro-batch each rank would hold the gradients of all weights, not its share."""
        return nullcontext()

    def _get_grad_norm(self, model, grad_norm=None):
        # Of a sharded model the Trainer gives a tensor that is sharded as well, and logs of it what rank 0 has.
        norm = super()._get_grad_norm(model, grad_norm)
        return norm.full_tensor() if isinstance(norm, DTensor) else norm


def _on_cpu(tensor: torch.Tensor) -> np.ndarray:
    """NumPy knows no bf16."""
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).detach().cpu().numpy()
