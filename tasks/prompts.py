"""Prompt templates, byte for byte as the released code spells them.

Alpaca: MetaMath `train_math.py` (arXiv:2309.12284), which SVFT reuses for GSM-8K and MATH. The response follows the
final colon with no separating space.
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
