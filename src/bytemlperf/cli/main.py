"""The entry point: parse, do, return an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich.console import Console

from bytemlperf.cli.arguments import parser
from bytemlperf.cli.commands import COMMANDS
from bytemlperf.cli.exits import ExitCode
from bytemlperf.cli.showing import print_error
from bytemlperf.errors import BenchmarkError, RequestError


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code that the room's docstring lists.

    Args:
        arguments: Without the program's name; `sys.argv` where not given.

    Raises:
        SystemExit: As argparse does it, for `--help` and for arguments that cannot be read (code 2).
    """
    parsed = parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        code = COMMANDS[parsed.command](parsed)
        sys.stdout.flush()  # while it can still be told that nobody reads it
    except RequestError as error:
        print_error(console, "bad request", error)
        return ExitCode.BAD_REQUEST
    except BenchmarkError as error:
        print_error(console, str(error.code), error)
        return ExitCode.FAILED
    except KeyboardInterrupt:  # the second one, or one while nothing was to be ended in order
        console.print("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer goes nowhere
        return ExitCode.FAILED
    return code
