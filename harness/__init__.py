"""What every run shares, whatever the method and the task: configuration, models, training, evaluation, the record.

Its code branches on no name of a method, a task or a model. One thing in it is a method itself: `harness.fusion`, which
adds up adapters of finished runs, and so needs to read them as the harness wrote them.
"""

from harness.settings import process

process.settle()
