"""The templates against what the released code prints, written out."""

from tasks.prompts import alpaca, llm_adapters_evaluation, llm_adapters_training


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


def test_training_prompt_of_llm_adapters_has_two_trailing_spaces_and_indented_empty_lines():
    assert llm_adapters_training("Is ice cold?\n\nAnswer format: true/false") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request.  \n"
        "\n"
        "                ### Instruction:\n"
        "                Is ice cold?\n"
        "\n"
        "Answer format: true/false\n"
        "                \n"
        "                ### Response:\n"
        "                "
    )


def test_training_prompt_of_llm_adapters_with_an_input_has_one_trailing_space():
    assert llm_adapters_training("Is it cold?", "Ice.") == (
        "Below is an instruction that describes a task, paired with an input that provides further context. "
        "Write a response that appropriately completes the request. \n"
        "\n"
        "                ### Instruction:\n"
        "                Is it cold?\n"
        "                \n"
        "                ### Input:\n"
        "                Ice.\n"
        "                \n"
        "                ### Response:\n"
        "                "
    )


def test_evaluation_prompt_of_llm_adapters_has_one_trailing_space_and_a_truly_empty_line():
    assert llm_adapters_evaluation("Is {ice} cold?") == (
        "Below is an instruction that describes a task. Write a response that appropriately completes the request. \n"
        "\n"
        "                ### Instruction:\n"
        "                Is {ice} cold?\n"
        "\n"
        "                ### Response:\n"
        "                "
    )
