"""A bar of progress, as lm-evaluation-harness shows one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from tqdm import tqdm


class Bar:
    """Hears how far the wave of questions under way is.

    Attributes:
        at: Questions answered of all waves.
    """

    def __init__(self) -> None:
        """Show nothing yet."""
        self.at = 0
        self._bar: tqdm | None = None
        self._before = 0

    @contextlib.contextmanager
    def shown(self, what: str, total: int, *, hidden: bool) -> Iterator[None]:
        """Show it while the block runs."""
        with tqdm(total=total, desc=what, disable=hidden) as bar:
            self.at = self._before = 0
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None
            bar.update(total - self.at)

    def __call__(self, done: int, total: int) -> None:  # noqa: ARG002 - of the wave alone
        """Hear how far a wave is."""
        if self._bar is None:
            return
        if self._before + done < self.at:  # another wave
            self._before = self.at
        self._bar.update(self._before + done - self.at)
        self.at = self._before + done
