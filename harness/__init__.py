"""What every run shares, whatever the method and the task: configuration, models, training, evaluation, the record.

Its code branches on no name of a method, a task or a model. One thing in it is a method itself: `harness.fusion`, which
adds up adapters of finished runs, and so needs to read them as the harness wrote them.
"""

import os

# Threads of torch that wait for each other spin. Where another process holds a core they spin for nothing: a step of
# micro-ViT on two threads took 30 times as long on a busy machine. A thousand turns cost an idle one 3 %. libgomp reads
# this when torch is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
