"""The one verb, `submit(compiled, batch, reply)`, for backends that have another: syntax of Python 3.7."""

from __future__ import annotations

from .reply import MalformedAnswerError

if False:
    from typing import Any, Callable

    from .reply import Reply


def blocking_submit(backend: Any, streams: bool) -> Callable[..., None]:
    """Return the one verb, `submit(compiled, batch, reply)`, for a backend that blocks."""
    predict, stream = backend.predict, backend.stream

    def submit_whole(compiled: Any, batch: Any, reply: Reply) -> None:
        reply.done(predict(compiled, batch))

    def submit_parts(compiled: Any, batch: Any, reply: Reply) -> None:
        parts = stream(compiled, batch)
        for part in parts:
            reply.chunk(getattr(part, "outputs", None), getattr(part, "tokens", None))  # type: ignore[arg-type]
            if reply.cancelled:
                if hasattr(parts, "close"):
                    parts.close()
                reply.leave()
                return
        reply.done()

    return submit_parts if streams else submit_whole


def phased_submit(backend: Any) -> Callable[..., None]:
    """Return the verb that stamps the phases of a backend that can tell them apart.

    What is sent is being prepared; its first part, empty, says that it is; its second that it was executed; its end
    is the fetched answer.
    """
    prepare, execute, fetch = backend.prepare, backend.execute, backend.fetch

    def submit(compiled: Any, batch: Any, reply: Reply) -> None:
        inputs = prepare(compiled, batch)
        reply.chunk({}, 0)
        outputs = execute(compiled, inputs)
        reply.chunk({}, 0)
        answer = fetch(compiled, outputs)
        if answer is None:
            raise MalformedAnswerError("there is no answer: fetch returned None")
        reply.done(answer)

    return submit
