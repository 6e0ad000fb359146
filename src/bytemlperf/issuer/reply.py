"""The harness' side of one query: standard library only, syntax of Python 3.7."""

from __future__ import annotations

import contextlib
import time

if False:
    from typing import Any, Callable, Mapping, Optional, Union

    from .issue import Run

UNANSWERED, ANSWERED, FAILED = 0, 1, 2

_clock = time.perf_counter_ns


class Reply:
    """The harness' side of one query; stamps on entry and waits for nothing. Any thread may call it."""

    __slots__ = ("_open", "_parts", "_query", "_run", "_wake")

    def __init__(self, run: Run, query: int, wake: Any) -> None:
        self._open = [True]  # who takes the item out ends the reply: taking it is one step, whatever other threads do
        self._parts = False
        self._run = run
        self._query = query
        self._wake = wake

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the rest of the answer."""
        return self._run.stopped or not self._open

    def chunk(self, outputs: Mapping[str, Any], tokens: Union[int, Callable[[], int]] = 1) -> None:
        """Take a part of the answer; what counts its tokens is called after the stamp."""
        now = _clock()
        run, query = self._run, self._query
        if not self._open:
            return
        self._parts = True
        if callable(tokens):
            tokens = tokens()
        if tokens and not run.first_ns[query]:
            run.first_ns[query] = now
        try:
            run.tokens[query] += tokens
            run.stamp_chunk(now, query, tokens)
        except (TypeError, ValueError) as error:
            self.fail(MalformedAnswerError("a part has %r tokens: %s" % (tokens, error)))
            return
        objection = run.kept(query, outputs)
        if objection is not None:
            self.fail(objection)

    def done(
        self,
        outputs: Optional[Mapping[str, Any]] = None,
        tokens: Optional[int] = None,
        reported: Optional[Mapping[str, float]] = None,
    ) -> None:
        """Take the end of the answer; `outputs` are borrowed until this returns."""
        now = _clock()
        run, query = self._run, self._query
        try:
            self._open.pop()
        except IndexError:
            run.note_second_end()
            return
        run.done_ns[query] = now
        if not run.first_ns[query]:
            run.first_ns[query] = now
        error: Optional[BaseException] = None
        if tokens is not None or outputs is None:
            error = self._count(run, query, tokens)
        elif not self._parts:
            run.tokens[query] = 1
        if outputs is not None and run.sink is not None and (run.keeps is None or run.keeps[query]):
            error = run.kept(query, outputs) or error
        if reported is not None:
            run.reported[query] = reported
        self._end(error)

    def _count(self, run: Run, query: int, tokens: Optional[int]) -> Optional[BaseException]:
        """Keep the tokens that an engine tells, of a stream too; return what is wrong with no outputs."""
        if tokens is None:
            return None if self._parts else MalformedAnswerError("there is no answer: None, or no part at all")
        try:
            run.tokens[query] = tokens
        except (TypeError, ValueError) as error:
            return MalformedAnswerError("the answer has %r tokens: %s" % (tokens, error))
        return None

    def fail(self, error: BaseException) -> None:
        """Take an error for an answer; other queries go on."""
        if not self.give_up(error):
            self._run.note_second_end()

    def give_up(self, error: BaseException) -> bool:
        """End with an error, unless the answer has ended; return whether it had not."""
        now = _clock()
        try:
            self._open.pop()
        except IndexError:
            return False
        self._run.done_ns[self._query] = now
        self._end(error)
        return True

    def leave(self) -> None:
        """End without an answer, because the run was stopped: the query stays unanswered."""
        with contextlib.suppress(IndexError):
            self._open.pop()
            self._end(None, UNANSWERED)

    def _end(self, error: Optional[BaseException], status: int = ANSWERED) -> None:
        run, query = self._run, self._query
        if error is not None:
            status = FAILED
            run.note_failure(query, error)
        run.status[query] = status
        if run.waiting is not None:
            run.waiting.pop(query, None)
        if run.slots is not None:
            run.slots.give(run.replica[query])
        self._wake.release()


class CallReply(Reply):
    """The harness' side of several records that were sent together and are answered together."""

    __slots__ = ("_last",)

    def __init__(self, run: Run, query: int, wake: Any, last: int) -> None:
        super().__init__(run, query, wake)
        self._last = last

    def _end(self, error: Optional[BaseException], status: int = ANSWERED) -> None:
        run, first = self._run, self._query
        others = slice(first + 1, self._last)
        for name in ("sent_ns", "first_ns", "done_ns", "tokens"):
            run.columns[name][others] = run.columns[name][first]
        run.columns["status"][others] = status if error is None else FAILED
        super()._end(error, status)


class MalformedAnswerError(Exception):
    """`predict` returned None, or something that is no mapping of names to arrays of numbers."""

    code = "malformed_output"


class UnansweredError(Exception):
    """A query was not answered within its limit."""

    code = "time_limit"
    limit = "query_s"


class HarnessError(Exception):
    """The harness could not do its part, such as keeping an answer on a full disk."""

    code = "harness_error"
