"""Metrics of the library evaluate, each a folder that `evaluate.load("tasks/metrics/<name>")` takes, without network.

`compute(predictions=..., references=...)` returns {name: a number}. The harness calls them by tasks/scoring/corpus.py.
They import nothing of this suite, since evaluate.load copies a metric's file elsewhere before it imports it.
"""
