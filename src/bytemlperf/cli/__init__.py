"""The command `bytemlperf`: a thin layer over `run` and the registries.

Exit codes: 0, everything asked for was measured and nothing failed; 1, the report holds a
failure or a failed check, a compared figure is worse, or an audit found an error; 2, the request
cannot be; 3, a strict comparison leaves something open; 130, it was interrupted.
"""

from bytemlperf.cli.main import main

__all__ = ["main"]
