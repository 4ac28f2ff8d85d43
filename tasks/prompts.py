"""Prompt templates, byte for byte as the released code spells them.

Alpaca: MetaMath `train_math.py` (arXiv:2309.12284), which SVFT reuses for GSM-8K and MATH. The response follows the
final colon with no separating space.

LLM-Adapters (arXiv:2304.01933): training as SVFT's copy of `finetune.py` spells it, evaluation as upstream's
`commonsense_evaluate.py`. Both print the indentation of their source; trailing spaces and the empty lines differ.
"""

ALPACA_NO_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)


def alpaca(instruction: str, input: str = "") -> str:
    """The Alpaca prompt; braces in the arguments are kept as they are."""
    if input:
        return ALPACA_WITH_INPUT.format(instruction=instruction, input=input)
    return ALPACA_NO_INPUT.format(instruction=instruction)


_INDENT = " " * 16
LLM_ADAPTERS_TRAINING = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.  \n\n"
    f"{_INDENT}### Instruction:\n{_INDENT}{{instruction}}\n{_INDENT}\n"
    f"{_INDENT}### Response:\n{_INDENT}"
)
LLM_ADAPTERS_TRAINING_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. "
    "Write a response that appropriately completes the request. \n\n"
    f"{_INDENT}### Instruction:\n{_INDENT}{{instruction}}\n{_INDENT}\n"
    f"{_INDENT}### Input:\n{_INDENT}{{input}}\n{_INDENT}\n"
    f"{_INDENT}### Response:\n{_INDENT}"
)
LLM_ADAPTERS_EVALUATION = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request. \n\n"
    f"{_INDENT}### Instruction:\n{_INDENT}{{instruction}}\n\n"
    f"{_INDENT}### Response:\n{_INDENT}"
)


def llm_adapters_training(instruction: str, input: str = "") -> str:
    """What the response follows in training; braces in the arguments are kept as they are."""
    if input:
        return LLM_ADAPTERS_TRAINING_WITH_INPUT.format(instruction=instruction, input=input)
    return LLM_ADAPTERS_TRAINING.format(instruction=instruction)


def llm_adapters_evaluation(instruction: str) -> str:
    """What the response follows in evaluation, which shows no input."""
    return LLM_ADAPTERS_EVALUATION.format(instruction=instruction)
