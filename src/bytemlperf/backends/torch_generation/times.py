"""Where the time of one request went, by the engine's own clock."""

from __future__ import annotations

import time

import attrs


@attrs.define(eq=False)
class Times:
    """Stamps and sums of one request, in ns of `time.perf_counter_ns`.

    Attributes:
        came_ns: When it came.
        begun_ns: When its prompt was begun; 0 before.
        first_ns: When its first token was chosen; 0 before.
        prefill_model_ns: Time of the passes that have read its prompt.
        decode_model_ns: Time of the passes that have given its further tokens, whoever else was in them.
    """

    came_ns: int = attrs.field(factory=time.perf_counter_ns)
    begun_ns: int = 0
    first_ns: int = 0
    prefill_model_ns: int = 0
    decode_model_ns: int = 0

    def begin(self) -> None:
        """Stamp that the prompt is begun."""
        self.begun_ns = time.perf_counter_ns()

    def chosen(self) -> None:
        """Stamp the first token; later ones change nothing."""
        self.first_ns = self.first_ns or time.perf_counter_ns()

    def add(self, taken_ns: int) -> None:
        """Add the time of a pass of the model."""
        if self.first_ns:
            self.decode_model_ns += taken_ns
        else:
            self.prefill_model_ns += taken_ns

    def reported(self) -> dict[str, float]:
        """Return the times in ms of a request that ends now.

        `queue_ms` is from coming to the beginning of its prompt, `prefill_ms` on to its first token, `decode_ms` on to
        its end. By what was done: `prefill_wait_ms` and `prefill_model_ms` add up to the time to the first token,
        `decode_wait_ms` and `decode_model_ms` to the rest. The model is `..._model_ms`; all else is waiting: for a
        slot, for pieces of others' prompts, for choosing and handing on.
        """
        now = time.perf_counter_ns()
        first = self.first_ns or now
        told = {
            "queue_ms": self.begun_ns - self.came_ns,
            "prefill_ms": first - self.begun_ns,
            "decode_ms": now - first,
            "prefill_wait_ms": first - self.came_ns - self.prefill_model_ns,
            "prefill_model_ms": self.prefill_model_ns,
            "decode_wait_ms": now - first - self.decode_model_ns,
            "decode_model_ms": self.decode_model_ns,
        }
        return {name: each_ns / 1e6 for name, each_ns in told.items()}
