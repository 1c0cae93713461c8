"""``python -m latelens`` is the command `latelens`."""

import sys

from latelens.cli import main

if __name__ == "__main__":
    sys.exit(main())
