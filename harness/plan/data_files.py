"""The files that a run reads: those of its task and of the task's benchmarks. Nothing is fetched and none is opened."""

from tasks.base import DataFile, Task


def of(task: Task) -> list[DataFile]:
    """Each file once, those of training first; none for a task that draws its own examples."""
    owners = (task, *task.benchmarks.values())
    return list(dict.fromkeys(file for owner in owners for file in owner.files()))
