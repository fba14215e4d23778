"""Faults of the test service do what they say: on the wire, to the real client, and across processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import requests
from cloud import client, faults
from cloud.account import PAID
from cloud.catalog import CATALOG
from cloud.faults import Fault, burst
from cloud.process import CloudProcess
from cloud.server import CloudService
from cloud.service import API
from cloud.small_jobs import CANARY, DEVICES, estimator, flip
from qiskit.providers.exceptions import QiskitBackendNotFoundError
from qiskit_ibm_runtime import QiskitRuntimeService, Session
from qiskit_ibm_runtime.api.exceptions import RequestsApiError
from qiskit_ibm_runtime.exceptions import (
    IBMNotAuthorizedError,
    IBMRuntimeError,
    RuntimeInvalidStateError,
    RuntimeJobFailureError,
    RuntimeJobMaxTimeoutError,
    RuntimeJobTimeoutError,
)

pytest_plugins = ("cloud.fixtures",)
pytestmark = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore:invalid value:RuntimeWarning")

# Faults, seen by the client. name: (what the client raises, requests to the route, jobs created, jobs run)

_DOWN = ("service_down_long", "service_down_while_waiting")
_SURVIVED, _SURVIVED_ON_SECOND = (None, 1, 1, 1), (None, 2, 1, 1)
_SEEN: dict[str, tuple[type[Exception] | None, int, int, int]] = {
    **{f"post_{status}_x1": _SURVIVED_ON_SECOND for status in (500, 502, 503, 504)},
    **{f"post_{status}_x3": (None, 4, 1, 1) for status in (500, 502, 503, 504)},
    **{f"post_{status}_x6": (IBMRuntimeError, 6, 0, 0) for status in (500, 502, 503, 504)},
    "results_503_x1": _SURVIVED_ON_SECOND,
    "results_503_x3": (None, 4, 1, 1),
    "results_503_x6": (RequestsApiError, 6, 1, 1),
    "post_401": (IBMNotAuthorizedError, 1, 0, 0),
    "post_403": (IBMRuntimeError, 1, 0, 0),
    "post_429": (IBMRuntimeError, 1, 0, 0),
    "token_expired": (IBMNotAuthorizedError, 1, 1, 1),
    "post_answer_lost": (IBMRuntimeError, 1, 1, 1),
    "post_504_after_accept": (None, 2, 2, 2),
    "post_dropped": (IBMRuntimeError, 1, 0, 0),
    "post_slow": _SURVIVED,
    "service_down_long": (IBMRuntimeError, 1, 0, 0),
    "service_down_while_waiting": (RequestsApiError, 1, 1, 1),
    "results_dropped": _SURVIVED_ON_SECOND,
    "results_cut": (RequestsApiError, 1, 1, 1),
    "results_truncated": (TypeError, 1, 1, 1),
    "results_malformed": (TypeError, 1, 1, 1),
    "results_nan": _SURVIVED,
    "results_wrong_shape": (IndexError, 1, 1, 1),
    "results_row_missing": (IndexError, 1, 1, 1),
    "status_malformed": (requests.JSONDecodeError, 1, 1, 1),
    "job_error": (RuntimeJobFailureError, 1, 1, 0),
    "job_cancelled": (RuntimeInvalidStateError, 1, 1, 0),
    "job_ran_too_long": (RuntimeJobMaxTimeoutError, 1, 1, 0),
    "job_never_starts": (RuntimeJobTimeoutError, 1, 1, 0),
    "session_refused": (RequestsApiError, 1, 0, 0),
    "session_closed": (IBMRuntimeError, 1, 0, 0),
    "session_closed_while_queued": (RuntimeJobFailureError, 1, 1, 0),
    "backend_retired": (QiskitBackendNotFoundError, 2, 0, 0),
    "backend_retired_after_submit": (RuntimeJobFailureError, 1, 1, 0),
    "backend_maintenance": (RuntimeJobTimeoutError, 1, 1, 0),
    "usage_limit": (IBMRuntimeError, 1, 0, 0),
    "wrong_instance": (QiskitBackendNotFoundError, 2, 0, 0),
}


@pytest.mark.parametrize("name", _SEEN)
@pytest.mark.filterwarnings("ignore:There is currently no more time")
def test_faults_as_the_client_sees_them(cloud: CloudService, name: str) -> None:
    error, asked, created, run = _SEEN[name]
    tag = f"fault-{name}"
    own = faults.from_json(faults.to_json(CATALOG[name]))
    assert own == CATALOG[name]
    if name in _DOWN:
        own = [own[0].model_copy(update={"seconds": 1.0})]
    cloud.set_faults(own)
    logged, held = len(cloud.requests()), len(cloud.jobs())
    value = raised = None
    try:
        backend = QiskitRuntimeService().backend("ibm_testchain")
        mode = Session(backend) if name.startswith("session") else backend
        value = (
            estimator(mode, tag)
            .run([flip()])
            .result(timeout=1.0 if error is RuntimeJobTimeoutError else 30.0)[0]
            .data.evs
        )
    except Exception as problem:
        raised = problem
    assert type(raised) is error if error else raised is None, raised
    if name == "results_nan":
        assert np.isnan(value)
    elif error is None:
        assert value == -1
    time.sleep(1.2 if name in _DOWN else 0)
    seen = Counter(entry["route"] for entry in cloud.requests()[logged:])
    assert seen[own[0].route] == asked
    jobs = cloud.jobs()[held:]
    assert len(jobs) == created
    assert all(tag in job["tags"] for job in jobs)
    for job in jobs:
        if job["fate"] is None and job["status"] == "Running":
            cloud.store.wait_final(cloud.store.jobs[job["id"]], 10.0)
    if run:
        end = time.monotonic() + 10
        while cloud.runs_by_tag()[tag] < run and time.monotonic() < end:
            time.sleep(0.02)
    assert cloud.runs_by_tag()[tag] == run
    assert CANARY not in str(raised)


# Faults, seen on the wire.


@pytest.fixture
def wire(cloud: CloudService) -> requests.Session:
    session = requests.Session()
    session.headers = {"Authorization": f"apikey {CANARY}", "Service-CRN": PAID.crn}
    return session


def test_effects_on_the_wire(cloud: CloudService, wire: requests.Session) -> None:
    url = f"{cloud.url}{API}/backends"
    full = wire.get(url).content
    cloud.set_faults(
        [
            burst(429, 2, "backends.*", retry_after=3, code=1202, message="slow down"),
            Fault(route="*", effect="slow", seconds=0.2, calls=(3,)),
        ]
    )
    for _ in range(2):
        answer = wire.get(url)
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["errors"][0]["message"]) == (
            429,
            "3",
            "slow down",
        )
    began = time.monotonic()
    assert wire.get(url).content == full and time.monotonic() - began > 0.2
    for effect in ("drop", "cut"):
        cloud.set_faults([Fault(route="backends.list", effect=effect)])
        with pytest.raises(requests.RequestException):
            wire.get(url)
        assert wire.get(url).content == full
    cloud.set_faults(
        [
            Fault(route="backends.list", effect="truncate"),
            Fault(route="backends.list", effect="garble", calls=(2,), text="no"),
        ]
    )
    assert wire.get(url).content == full[: len(full) // 2]
    assert wire.get(url).text == "no"
    cloud.set_faults([Fault(route="backends.list", effect="down", seconds=0.4)])
    for _ in range(2):
        with pytest.raises(requests.ConnectionError):
            wire.get(url)
    time.sleep(0.6)
    assert wire.get(url).content == full


def test_only_the_requests_meant_are_hit(cloud: CloudService, wire: requests.Session) -> None:
    cloud.set_faults(
        [Fault(route="jobs.create", effect="status", status=500, only="shard-7", calls=(2,), when="after")]
    )
    body = {"program_id": "executor", "backend": "ibm_testchain", "params": {}}
    statuses = [
        wire.post(f"{cloud.url}{API}/jobs", json=body | {"tags": [tag]}).status_code
        for tag in ("shard-1", "shard-7", "shard-1", "shard-7", "shard-7")
    ]
    assert statuses == [200, 200, 200, 500, 200]
    entries = cloud.requests("jobs.create")[-5:]
    assert [entry["status"] for entry in entries] == statuses
    assert all(entry["job"] for entry in entries)  # the fourth job was created all the same


def test_an_expired_token_is_refreshed_by_a_new_client_only(cloud: CloudService, service: QiskitRuntimeService) -> None:
    backend = service.backend("ibm_testchain")
    cloud.set_faults(CATALOG["token_expired"])
    job = estimator(backend).run([flip()])
    for _ in range(2):
        with pytest.raises(IBMNotAuthorizedError):
            job.status()
    assert QiskitRuntimeService().job(job.job_id()).result()[0].data.evs == -1


def test_usage_limit_is_warned_of_and_refused(cloud: CloudService, service: QiskitRuntimeService) -> None:
    cloud.set_faults(CATALOG["usage_limit"])
    backend = service.backend("ibm_testchain")
    with pytest.warns(UserWarning, match="no more time"), pytest.raises(IBMRuntimeError, match="409"):
        estimator(backend).run([flip()])


def test_an_unknown_field_of_a_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="extra"):
        faults.from_json('[{"route": "*", "effect": "drop", "cals": [1]}]')


# Other processes.

_CLIENT = """
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_ibm_runtime import QiskitRuntimeService
from qiskit_ibm_runtime.executor_estimator import Estimator
circuit = QuantumCircuit(5)
circuit.x(0)
backend = QiskitRuntimeService().backend("ibm_testchain")
options = {"resilience_level": 0, "default_shots": 32, "environment": {"job_tags": ["shard-0"]}}
Estimator(backend, options=options).run([(circuit, SparsePauliOp("IIIIZ"))])
print("never reached")
"""


def test_client_and_service_are_killed_and_the_job_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The client dies before it has the answer to its POST; the service dies too; another service and client go on."""
    lost = [Fault(route="jobs.create", effect="slow", when="after", seconds=60.0)]
    with CloudProcess(CANARY, DEVICES, tmp_path / "state", lost) as first:
        first.set_device("ibm_testchain", "maintenance")
        variables = os.environ | first.environment() | client.without_pauses()
        with subprocess.Popen([sys.executable, "-c", _CLIENT], env=variables, stdout=subprocess.PIPE) as user:
            end = time.monotonic() + 120
            while not first.jobs() and user.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            user.send_signal(signal.SIGKILL)
            assert user.communicate()[0] == b""
        (job,) = first.jobs()
        assert job["tags"] == ["shard-0"] and job["status"] == "Queued"
    with CloudService(CANARY, DEVICES, state=tmp_path / "state") as second:
        for name, value in second.environment().items():
            monkeypatch.setenv(name, value)
        (found,) = QiskitRuntimeService().jobs(job_tags=["shard-0"])
        assert found.job_id() == job["id"]
        assert found.result()[0].data.evs == -1
        assert second.runs_by_tag() == {"shard-0": 1}
    kept = "".join(path.read_text() for path in (tmp_path / "state").rglob("*") if path.is_file())
    assert "iam.token" in kept and CANARY not in kept


def test_without_pauses_reaches_other_processes() -> None:
    code = "from urllib3.util.retry import Retry; print(Retry(backoff_factor=9).get_backoff_time())"
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | client.without_pauses(), capture_output=True, text=True
    )
    assert done.stdout == "0.0\n"
