"""The page of all results: `python -m analysis report`; see program.py."""

from analysis.report.program import main

__all__ = ["main"]
