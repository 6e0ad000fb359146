"""The entry point: parse, do, return an exit code."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape

from bytemlperf.cli.arguments import parser
from bytemlperf.cli.commands import COMMANDS
from bytemlperf.errors import BenchmarkError, RequestError

BAD_REQUEST = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says and return the exit code that the room's docstring lists.

    Args:
        arguments: Without the program's name; `sys.argv` where not given.
    """
    parsed = parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        code: int = COMMANDS[parsed.command](parsed)
    except RequestError as error:
        console.print(f"[bold red]bad request:[/] {escape(str(error))}", soft_wrap=True)
        return BAD_REQUEST
    except BenchmarkError as error:
        console.print(f"[bold red]{error.code}:[/] {escape(str(error))}", soft_wrap=True)
        return 1
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        sys.stderr.close()
        return 1
    return code
