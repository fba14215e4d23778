"""Fixtures of pytest; ``pytest_plugins = ("cloud.fixtures",)`` brings them into a test file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from qiskit_ibm_runtime import QiskitRuntimeService

from . import client
from .server import CloudService
from .small_jobs import CANARY, DEVICES


@pytest.fixture(scope="session")
def running() -> Iterator[CloudService]:
    """Start one service for all tests of a session; tests use :func:`cloud`."""
    with CloudService(CANARY, DEVICES) as cloud:
        yield cloud


@pytest.fixture
def cloud(running: CloudService, monkeypatch: pytest.MonkeyPatch) -> Iterator[CloudService]:
    """Return the service without faults, with the environment set so that ``QiskitRuntimeService()`` finds it."""
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("urllib3.util.retry.Retry.get_backoff_time", client.no_pause)
    running.set_faults([])
    yield running
    running.set_faults([])
    for job in running.store.jobs.values():
        if job.status == "Queued":
            job.end("Cancelled", "The test is over")
    running.set_device("*", "online")
    for instance in running.account.instances.values():
        instance.limit_reached = False


@pytest.fixture
def service(cloud: CloudService) -> QiskitRuntimeService:
    """Return a client of its own."""
    return QiskitRuntimeService()
