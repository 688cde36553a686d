"""`python -m streamops` is the command line."""

import sys

from streamops.cli import main

if __name__ == "__main__":
    sys.exit(main())
