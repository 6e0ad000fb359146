"""Exit codes of the command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the command ends with."""

    OK = 0
    """All that was asked for was done, and nothing failed."""
    FAILED = 1
    """The report holds a failure or a failed check; a compared figure is slower or worse; an audit found an error; b is
    slower or gives other outputs; no rate is shown to keep a bound."""
    BAD_REQUEST = 2
    """The request cannot be; nothing was started. The parser of arguments ends with it too."""
    LEFT_OPEN = 3
    """A strict comparison leaves a figure undecided, or misses a row."""
    INTERRUPTED = 130
    """128 and the number of SIGINT, as shells have it."""
