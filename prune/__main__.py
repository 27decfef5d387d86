"""`python -m prune` is `prune`."""

import sys

from prune.cli import main

if __name__ == "__main__":
    sys.exit(main())
