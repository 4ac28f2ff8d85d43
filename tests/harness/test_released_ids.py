"""The token ids of the papers' tasks and their twins: digests of those that the committed records were made with."""

import hashlib
import json

import pytest

from harness.modality.generation import Generation
from tests.test_task_contract import make

FEW = ("task.source.train_size=64", "task.source.validation_size=16", "task.source.test_size=16")
IDS = {
    "micro_gsm": {
        "micro_gemma": "eb80274d755d3445fc9c316ac41fcf0277355c1ccc98bb97a19006b36c817092",
        "micro_pythia": "f57b230d84d9591b72cbf10a39c015bf88056237648041b452897d30c5000d2e",
    },
    "micro_commonsense": {
        "micro_gemma": "c8b786da4b99e007f778a337bfbbff17ef68acb0144f8ad730c920fa3a183e1d",
        "micro_pythia": "fd69a56d973b91acd8575812293a2764b0df62c951cfb5896bc6df43cb6aed5e",
    },
    "gsm8k": {
        "micro_gemma": "a89700aa9ae1a7f8b484b49343144a7dfa4d0f77826b1f9014d0a5f9a99bd858",
        "micro_pythia": "335863e41bb8dcb2f493899399ef715351dcd081ae4781f3ad27984275898d5f",
    },
    "math": {
        "micro_gemma": "a89700aa9ae1a7f8b484b49343144a7dfa4d0f77826b1f9014d0a5f9a99bd858",
        "micro_pythia": "335863e41bb8dcb2f493899399ef715351dcd081ae4781f3ad27984275898d5f",
    },
    "metamath": {
        "micro_gemma": "a89700aa9ae1a7f8b484b49343144a7dfa4d0f77826b1f9014d0a5f9a99bd858",
        "micro_pythia": "335863e41bb8dcb2f493899399ef715351dcd081ae4781f3ad27984275898d5f",
    },
    "commonsense": {
        "micro_gemma": "2cda630b2cc04dc94f13f8e349e23d1a1364cd2ddbb1da2c7570d5ba317735e6",
        "micro_pythia": "f9e1aa65447e8a6ab19eab985bd327538a61268258359ffcd8b642485566f6ef",
    },
    "gsm8k_few_shot": {
        "micro_gemma": "f85eace18a4ac4a0fb5b0e2a16e2859f18907c2fbf7b3e12bdbb5427646889f4",
        "micro_pythia": "14cd03b6271ea1785e8c106eb73d0f4f2557b750d3bbb2ab2e2640b975e8eea9",
    },
}  # fmt: skip


def ids(modality, task) -> list:
    """What is learnt, what is continued, and what is ranked."""
    asked = [benchmark.examples(split) for benchmark in task.benchmarks.values() for split in benchmark.splits]
    return [
        [modality.rows(task.examples(split)) for split in ("train", "validation")],
        [modality.texts.prompts([e.eval_prompt for e in examples]) for examples in asked],
        [list(pair) for examples in asked for pair in modality._ranked(examples)],
    ]


@pytest.mark.parametrize("model", ["micro_gemma", "micro_pythia"])
@pytest.mark.parametrize("name", IDS)
def test_the_tasks_of_the_papers_keep_their_token_ids(composed, name, model):
    overrides = [f"model={model}", *(FEW if name.startswith("micro_") else ())]
    task = make(composed, name, *overrides)
    made = ids(Generation(composed(f"task={name}", *overrides), task), task)
    assert hashlib.sha256(json.dumps(made).encode()).hexdigest() == IDS[name][model]


@pytest.mark.parametrize("name", ["metamath", "commonsense", "gsm8k_few_shot"])
def test_the_tasks_of_the_papers_are_tokenised_as_released(composed, name):
    assert make(composed, name).tokenised_as_released
