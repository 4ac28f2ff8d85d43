"""Text tasks of one's own, by the names that yamls, and so the keys of runs, know them by: see tasks/own/."""

from tasks.own.classification import OwnClassification
from tasks.own.generation import OwnGeneration

__all__ = ["OwnClassification", "OwnGeneration"]
