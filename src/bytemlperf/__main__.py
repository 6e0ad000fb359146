"""Run the command line as `python -m bytemlperf`, where the command is not on the path."""

from __future__ import annotations

import sys

from bytemlperf.cli import main

if __name__ == "__main__":
    sys.exit(main())
