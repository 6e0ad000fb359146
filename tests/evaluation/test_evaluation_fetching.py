"""Whoever listens to a job hears how far its files have come, and the report says where they came from."""

from __future__ import annotations

import hashlib

import pytest
from tests.waves import ECHO, load, waves

from bytemlperf import run
from bytemlperf.evaluation import EventKind
from bytemlperf.report import Status


@pytest.fixture
def published(tmp_path, monkeypatch, scratch):
    monkeypatch.setenv("BYTEMLPERF_CACHE", str(tmp_path / "cache"))
    return waves(tmp_path)


def test_a_fetched_models_progress_is_told_and_its_origin_reported(published):
    heard = []
    pin = hashlib.sha256(published.path.read_bytes()).hexdigest()
    report = run(
        published.spec,
        backend=ECHO,
        weights=f"{published.path.as_uri()}#sha256={pin}",
        checks=["performance"],
        batch_sizes=[1],
        scenarios=[load()],
        on_event=heard.append,
    )
    assert report.status is Status.COMPLETE
    assert (report.artifact.origin, report.artifact.sha256) == (published.path.name, pin)
    told = [event for event in heard if event.kind is EventKind.STEP_PROGRESS and event.step == "resolve model"]
    assert told
    assert told[0].message == f"{published.path.name}, MB"


def test_a_fetch_that_comes_to_nothing_is_the_jobs_failure_and_not_the_backends(published):
    report = run(published.spec, backend=ECHO, weights=f"{published.path.as_uri()}#sha256={'0' * 64}")
    (failure,) = report.failures
    assert (failure.code, failure.blame) == ("checksum_mismatch", "environment")
