"""`python -m analysis`: see program.py."""

import gc
import sys

from analysis.program import main

if __name__ == "__main__":
    # Drawing makes millions of small objects that live on. Looking through them less often saves a tenth of the time.
    gc.set_threshold(50_000, 20, 100)
    sys.exit(main())
