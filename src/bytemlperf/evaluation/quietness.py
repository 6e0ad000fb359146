"""What else went on while a series was timed: figures for its row, and a warning where it matters."""

from __future__ import annotations

from collections.abc import Sequence

from bytemlperf.environment import Disturbance, NoiseCertificate, Quiet, certify
from bytemlperf.evaluation.session import Session
from bytemlperf.metrics import Estimate, Metrics


def certified(session: Session) -> NoiseCertificate:
    """Look at the machine before anything is timed, and warn where it is disturbed."""
    found = certify()
    if found.verdict is Quiet.DISTURBED:
        session.warn("disturbed", f"before the run {'; '.join(found.reasons)}")
    return found


def told(disturbance: Disturbance, session: Session, key: str) -> None:
    """Warn of what went on while a row was measured."""
    if disturbance.reasons:
        session.warn("disturbed", f"while it was measured {'; '.join(disturbance.reasons)}", key)


def machine_figures(disturbances: Sequence[Disturbance]) -> Metrics:
    """Return the greatest of each over the processes of a row: `machine/others_share`, `/preempted`, `/waited`."""
    over = "over the whole series with its warm-up"
    figures: dict[str, tuple[Sequence[float | None], str, str]] = {
        "others_share": (
            [each.load.others_share for each in disturbances],
            "1",
            f"CPU time of processes outside the harness, as a share of all cores, {over}",
        ),
        "preempted": (
            [each.preempted for each in disturbances],
            "switches",
            f"times that a thread of harness or backend had to leave its core, {over}",
        ),
        "waited": (
            [each.waited for each in disturbances],
            "switches",
            f"times that such a thread left its core to wait, {over}",
        ),
    }
    return Metrics(
        {
            f"machine/{name}": Estimate(
                value=max((each for each in values if each is not None), default=None),
                unit=unit,
                n=len(values),
                definition=definition,
                note="" if any(each is not None for each in values) else "not readable here",
            )
            for name, (values, unit, definition) in figures.items()
        }
    )
