"""`python -m analysis`: see program.py."""

import sys

from analysis.program import main

if __name__ == "__main__":
    sys.exit(main())
