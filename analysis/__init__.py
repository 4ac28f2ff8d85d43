"""Records and printed values to tables and figures: `python -m analysis`. Each room imports from those before it.

    writing      a frame of strings to CSV, Markdown, LaTeX and the terminal; numbers as they are shown
    load         records, manifests and benchmark files, the papers' printed values, how conf/method shows a method
    statistics   means, intervals and tests; cells of experiments, learning rates, targets of benchmarks
    checks       the paper's printed numbers against each other and against counts
    pages        each kind of table, and what stands below it
    figures      each kind of figure
    energy       which entries of M full fine-tuning uses: its files, page and figure

Of the rest of the project only the record is imported (harness/store).
"""
