"""A job's subject held open, for studies that issue what they choose."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from bytemlperf.environment import capture
from bytemlperf.evaluation.facts import Facts
from bytemlperf.evaluation.quietness import certified
from bytemlperf.evaluation.ready import make_ready, opener_of
from bytemlperf.evaluation.request import Request
from bytemlperf.evaluation.session import Session
from bytemlperf.evaluation.subject import Subject
from bytemlperf.failure import error_of


@attrs.frozen(kw_only=True, eq=False)
class Opened:
    """A subject that is ready, and what is known of it.

    Attributes:
        subject: Model, data and backend.
        facts: Machine, artifact, data set, and how quiet it was.
    """

    subject: Subject
    facts: Facts

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the figures must know, each once."""
        return tuple(dict.fromkeys(each.message for each in self.subject.session.warnings))


@contextlib.contextmanager
def opened(request: Request) -> Iterator[Opened]:
    """Make a request ready to be issued to, and end what was started with the block.

    Raises:
        RequestError: If what was asked for cannot be.
        BenchmarkError: By what else went wrong.
    """
    with tempfile.TemporaryDirectory(prefix="bytemlperf-", ignore_cleanup_errors=True) as scratch:
        session = Session(request, Path(scratch))
        facts = Facts(environment=capture())
        with contextlib.closing(opener_of(session)) as opener:
            subject = make_ready(session, facts, opener)
            if subject is None:
                raise error_of(session.failures[0])
            facts.noise = certified(session)
            yield Opened(subject=subject, facts=facts)
