"""A batch in micro-batches trains as the whole batch does, whatever the model and the size of its last part."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss
from transformers.modeling_outputs import ImageClassifierOutput

from errors import ModelError
from harness.ranks.shares import Order
from tests import small_training as small

EXACT = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module", params=small.FAMILIES)
def whole(request, tmp_path_factory):
    """Family; and loss, gradient norm and weights where a batch is one micro-batch. Epochs end with a short batch."""
    return request.param, small.exactly(request.param, tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize("size", [4, 1])
def test_loss_gradient_norm_and_weights_do_not_depend_on_the_size_of_micro_batches(whole, size, tmp_path):
    family, expected = whole
    found = small.exactly(family, tmp_path, micro_batch_size=size)
    assert len(expected[0]) == len(expected[1]) == 6
    torch.testing.assert_close(found, expected, **EXACT)


def test_rows_sorted_by_length_within_a_step_train_as_the_step_does(whole, tmp_path):
    family, expected = whole
    found = small.exactly(family, tmp_path, micro_batch_size=4, sort_in_step=True)
    torch.testing.assert_close(found, expected, **EXACT)


def test_a_step_of_sorted_rows_has_the_rows_of_the_unsorted_one_and_micro_batches_of_like_length():
    lengths = [7 * number % 23 for number in range(22)]
    drawn, ordered = Order(22, seed=3, step=8), Order(22, seed=3, step=8, length=lengths.__getitem__)
    for epoch in (0, 1):
        for order in (drawn, ordered):
            order.set_epoch(epoch)
        one, other = list(drawn), list(ordered)
        assert one != other
        for start in range(0, 22, 8):
            step = other[start : start + 8]
            assert sorted(step) == sorted(one[start : start + 8])
            assert [lengths[row] for row in step] == sorted(lengths[row] for row in step)


def dense(family: str) -> torch.Tensor:
    """The mean over all tokens to learn, or all rows, of the untrained model."""
    model, batch = small.model_of(family).eval(), small.modality_of(family).collate(small.rows_of(family))
    labels = batch.pop("labels")
    with torch.no_grad():
        logits = model(**batch).logits
    if family == "regression":
        return mse_loss(logits.squeeze(-1), labels.double())
    if family == "decoder":
        logits, labels = logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()
    return cross_entropy(logits, labels)


@pytest.mark.parametrize("family", small.FAMILIES)
def test_the_loss_that_is_logged_is_the_mean_over_the_targets_of_the_step(family, tmp_path):
    section, _ = small.train(family, tmp_path, batch_size=24, micro_batch_size=4, max_steps=1)
    assert section["loss"] == [[1, pytest.approx(dense(family).item(), rel=1e-6)]]


def test_an_auxiliary_loss_counts_once_a_step(tmp_path):
    """As the orthogonality of AdaLoRA does, which its callback adds to the loss of each call."""

    def with_auxiliary():
        model = small.model_of("decoder")
        weight = model.transformer.h[0].mlp.c_fc.weight

        def add(module, inputs, outputs):
            outputs.loss = outputs.loss + 0.1 * weight.square().sum()

        model.register_forward_hook(add)
        return model

    whole, parts = (
        small.exactly("decoder", tmp_path / str(size), model=with_auxiliary(), micro_batch_size=size) for size in (8, 2)
    )
    torch.testing.assert_close(parts, whole, **EXACT)


class Normed(nn.Module):
    """With a batch norm; `forward` takes no arguments besides its own, as in many a model of one's own."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(16), nn.Linear(16, 3)

    def forward(self, pixel_values: torch.Tensor, labels: torch.Tensor) -> ImageClassifierOutput:
        logits = self.head(self.norm(pixel_values.flatten(1)))
        return ImageClassifierOutput(loss=cross_entropy(logits, labels), logits=logits)


def test_a_batch_norm_keeps_its_running_means_and_does_not_look_at_the_micro_batch(tmp_path):
    """No adapter file holds them: a training that changed them would be evaluated with others once it is reloaded."""
    whole, parts = (
        small.exactly("vision", tmp_path / str(size), model=normed(), micro_batch_size=size) for size in (8, 2)
    )
    torch.testing.assert_close(parts, whole, **EXACT)
    _, model = small.train("vision", tmp_path / "once", model=normed())
    assert small.same(dict(model.named_buffers()), dict(normed().named_buffers()))


def normed() -> nn.Module:
    torch.manual_seed(7)
    return Normed().double()


def test_a_loss_that_is_a_sum_is_refused_where_it_would_be_accumulated(tmp_path):
    def summed():
        model = small.model_of("classification")

        def to_sum(module, inputs, outputs):
            outputs.loss = outputs.loss * len(outputs.logits)

        model.register_forward_hook(to_sum)
        return model

    with pytest.raises(ModelError, match="the loss of BertForSequenceClassification is no mean: .* for the same row"):
        small.train("classification", tmp_path, model=summed(), micro_batch_size=4)
    section, _ = small.train("classification", tmp_path, model=summed(), max_steps=1)
    assert section["steps"] == 1
