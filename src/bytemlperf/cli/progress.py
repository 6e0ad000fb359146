"""A progress bar from events; nothing is drawn while the clock runs in this process."""

from __future__ import annotations

from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from bytemlperf.evaluation import Event, EventKind


class Bar:
    """Shows the step in progress and, in a worker's timed runs, how far it is. Use it in a `with` block."""

    def __init__(self, console: Console) -> None:
        """Draw on a console."""
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1)),
            BarColumn(bar_width=12),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            expand=True,
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("start", total=None)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the bar."""
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Take an event."""
        if event.kind is EventKind.STEP_STARTED:
            self._progress.reset(self._task, description=event.step, total=None)
        elif event.kind is EventKind.STEP_PROGRESS:
            text = event.message or event.step
            self._progress.update(self._task, description=text, completed=event.done or 0, total=event.total)
