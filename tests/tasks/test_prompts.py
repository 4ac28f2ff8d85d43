"""The templates against what the released code prints, written out."""

from tasks.prompts import alpaca


def test_no_input_prompt_ends_at_the_colon():
    assert alpaca("How many legs do 3 cats have?") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request."
        "\n\n### Instruction:\nHow many legs do 3 cats have?\n\n### Response:"
    )


def test_prompt_with_input_names_the_context():
    assert alpaca("Solve for x.", "x + 2 = 5\nx > 0") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request."
        "\n\n### Instruction:\nSolve for x.\n\n### Input:\nx + 2 = 5\nx > 0\n\n### Response:"
    )


def test_braces_in_a_question_are_kept():
    assert "### Instruction:\n{x} {instruction}\n" in alpaca("{x} {instruction}")
    prompt = alpaca("Find {x} in {{1}} and {input}.", "{instruction} {0}")
    assert "### Instruction:\nFind {x} in {{1}} and {input}.\n" in prompt
    assert "### Input:\n{instruction} {0}\n" in prompt
