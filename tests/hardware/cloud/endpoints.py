"""The REST interface of the service (``IBM-API-Version: 2026-04-15``), as far as the client uses it."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .account import Account, Instance
from .answers import NO_BACKEND, NO_SESSION, OPEN_PLAN, SESSION_CLOSED, Answer, RefusedError
from .devices import Device
from .store import FINAL, Job, Session, Store, now


@dataclass
class Request:
    """A request after its head was understood."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    authorization: str = field(repr=False)
    instance: str
    identifier: str = ""

    def json(self) -> dict[str, Any]:
        """Return the body."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise RefusedError(400) from None

    def one(self, name: str, default: str = "") -> str:
        """Return one value of the query."""
        return self.query.get(name, [default])[-1]


class Endpoints:
    """Answers to the client.

    Args:
        account: whose service it is.
        store: its jobs and sessions.
        devices: by name.
        settle_seconds: how long a look at a job waits for its end. The client would ask again after half a second; this saves
            the rest of it.
    """

    def __init__(self, account: Account, store: Store, devices: dict[str, Device], settle_seconds: float) -> None:
        self._account, self._store, self._devices, self._settle = account, store, devices, settle_seconds

    def answer(self, route: str, request: Request) -> Answer:
        """Answer a request.

        Raises:
            RefusedError: where the service says no.
        """
        instance = self._account.instance(request.instance)
        return getattr(self, "_" + route.replace(".", "_"))(request, instance)

    # Instances and devices.

    def _instances_usage(self, request: Request, instance: Instance) -> Answer:
        return self._account.usage(instance)

    def _backends_list(self, request: Request, instance: Instance) -> Answer:
        waiting = [job.backend for job in self._store.jobs.values() if job.status not in FINAL]
        listed = [
            {
                "name": device.name,
                "status": {"name": "online"}
                if device.state == "online"
                else {"name": "paused", "reason": "maintenance"},
                "is_simulator": False,
                "qubits": device.num_qubits,
                "physical_qubits": device.num_qubits,
                "processor_type": device.configuration.get("processor_type", {}),
                "queue_length": waiting.count(device.name),
            }
            | ({"class": "mock"} if device.mock else {})
            for device in self._devices.values()
            if device.state != "retired" and (not device.mock or request.one("include_mocks"))
        ]
        return Answer.of({"devices": listed})

    def _device(self, name: str) -> Device:
        device = self._devices.get(name)
        if device is None or device.state == "retired":
            raise RefusedError(404, NO_BACKEND)
        return device

    def _backends_configuration(self, request: Request, instance: Instance) -> Answer:
        return Answer.of(self._device(request.identifier).configuration)

    def _backends_properties(self, request: Request, instance: Instance) -> Answer:
        return Answer.of(self._device(request.identifier).properties)

    def _backends_status(self, request: Request, instance: Instance) -> Answer:
        device = self._device(request.identifier)
        online = device.state == "online"
        waiting = sum(job.backend == device.name and job.status not in FINAL for job in self._store.jobs.values())
        facts = {
            "state": online,
            "status": "active" if online else "maintenance",
            "message": "available" if online else "maintenance",
            "length_queue": waiting,
            "backend_version": device.configuration["backend_version"],
        }
        return Answer.of(facts)

    # Jobs.

    def _jobs_create(self, request: Request, instance: Instance) -> Answer:
        wanted = request.json()
        device = self._device(wanted.get("backend", ""))
        if instance.exhausted:
            raise RefusedError(409)
        session_id = wanted.get("session_id")
        if session_id:
            session = self._session(session_id, instance)
            if not session.accepting_jobs:
                raise RefusedError(400, SESSION_CLOSED)
            session.started = session.started or now()
            session.state = "active"
        job = self._store.add_job(
            program=wanted["program_id"],
            backend=device.name,
            instance=instance.crn,
            tags=wanted.get("tags", []),
            session_id=session_id,
            private=wanted.get("private", False),
            cost=wanted.get("cost"),
            params=json.dumps(wanted["params"]),
        )
        return Answer.of({"id": job.id, "backend": job.backend, "private": job.private})

    def _job(self, request: Request, instance: Instance) -> Job:
        job = self._store.jobs.get(request.identifier)
        if job is None or job.instance != instance.crn:
            raise RefusedError(404)
        return job

    def _jobs_get(self, request: Request, instance: Instance) -> Answer:
        job = self._job(request, instance)
        self._store.wait_final(job, self._settle)
        facts = _job_facts(job)
        if request.one("exclude_params") != "true" and not job.private:
            facts["params"] = json.loads(job.params)
        return Answer.of(facts)

    def _jobs_list(self, request: Request, instance: Instance) -> Answer:
        after, before = request.one("created_after"), request.one("created_before")
        pending = request.one("pending")
        found = [
            job
            for job in self._store.jobs.values()
            if job.instance == instance.crn
            and set(request.query.get("tags", [])) <= set(job.tags)
            and request.one("session_id") in ("", job.session_id)
            and request.one("backend") in ("", job.backend)
            and request.one("program") in ("", job.program)
            and (not after or _time(job.created) >= _time(after))
            and (not before or _time(job.created) <= _time(before))
            and (not pending or (pending == "true") == (job.status not in FINAL))
        ]
        if request.one("sort") != "ASC":
            found.reverse()
        offset, limit = int(request.one("offset", "0")), min(int(request.one("limit", "10")), 200)
        page = [_job_facts(job) for job in found[offset : offset + limit]]
        return Answer.of({"jobs": page, "count": len(found), "limit": limit, "offset": offset})

    def _jobs_results(self, request: Request, instance: Instance) -> Answer:
        job = self._job(request, instance)
        if job.private and job.result_reads:
            raise RefusedError(404)
        if job.status not in FINAL:
            return Answer(204)
        job.result_reads += 1
        self._store.save(job)
        return Answer.text(job.result if job.result is not None else job.reason)

    def _jobs_cancel(self, request: Request, instance: Instance) -> Answer:
        with self._store.changed:
            job = self._job(request, instance)
            if job.status in FINAL:
                raise RefusedError(409, (1302, "Job is in a final state and cannot be cancelled.", "Nothing to do."))
            job.end("Cancelled", "Cancelled by user")
            self._store.save(job)
        return Answer(204)

    def _jobs_delete(self, request: Request, instance: Instance) -> Answer:
        job = self._job(request, instance)
        job.instance = "deleted"
        self._store.save(job)
        return Answer(204)

    def _jobs_tags(self, request: Request, instance: Instance) -> Answer:
        job = self._job(request, instance)
        job.tags = request.json()["tags"]
        self._store.save(job)
        return Answer(204)

    def _jobs_logs(self, request: Request, instance: Instance) -> Answer:
        return Answer.text(f"{self._job(request, instance).id}: nothing to say\n")

    def _jobs_metrics(self, request: Request, instance: Instance) -> Answer:
        job = self._job(request, instance)
        facts = {
            "timestamps": {"created": job.created, "running": job.running, "finished": job.finished},
            "bss": {"seconds": job.quantum_seconds},
            "usage": {
                "quantum_seconds": job.quantum_seconds,
                "seconds": job.quantum_seconds,
                "qpu_charge_time_seconds": job.quantum_seconds,
                "status": "complete" if job.status in FINAL else "pending",
            },
            "num_circuits": job.circuits,
            "num_qubits": [],
        }
        return Answer.of(facts)

    # Sessions and batches.

    def _sessions_create(self, request: Request, instance: Instance) -> Answer:
        wanted = request.json()
        mode = wanted.get("mode", "dedicated")
        if mode == "dedicated" and instance.is_open:
            raise RefusedError(400, OPEN_PLAN)
        device = self._device(wanted.get("backend", ""))
        session = self._store.add_session(
            mode=mode, backend=device.name, instance=instance.crn, max_ttl=wanted.get("max_ttl", 28800)
        )
        return Answer.of(self._session_facts(session))

    def _session(self, session_id: str, instance: Instance) -> Session:
        session = self._store.sessions.get(session_id)
        if session is None or session.instance != instance.crn:
            raise RefusedError(404, NO_SESSION)
        return session

    def _session_facts(self, session: Session) -> dict[str, Any]:
        jobs = [job for job in self._store.jobs.values() if job.session_id == session.id]
        return {
            "id": session.id,
            "backend_name": session.backend,
            "mode": session.mode,
            "interactive_ttl": 60,
            "max_ttl": session.max_ttl,
            "active_ttl": session.max_ttl,
            "state": session.state,
            "accepting_jobs": session.accepting_jobs,
            "last_job_started": max((job.running for job in jobs if job.running), default=None),
            "last_job_completed": max((job.finished for job in jobs if job.finished), default=None),
            "started_at": session.started,
            "activated_at": session.started,
            "closed_at": session.closed,
            "elapsed_time": sum(job.quantum_seconds for job in jobs),
            "timestamps": [],
        }

    def _sessions_get(self, request: Request, instance: Instance) -> Answer:
        return Answer.of(self._session_facts(self._session(request.identifier, instance)))

    def _sessions_close(self, request: Request, instance: Instance) -> Answer:
        session = self._session(request.identifier, instance)
        with self._store.changed:
            session.accepting_jobs = request.json().get("accepting_jobs", False)
            left = any(j.session_id == session.id and j.status not in FINAL for j in self._store.jobs.values())
            if not session.accepting_jobs and not left:
                session.state, session.closed = "closed", now()
            self._store.save_sessions()
        return Answer(204)

    def _sessions_cancel(self, request: Request, instance: Instance) -> Answer:
        session = self._session(request.identifier, instance)
        with self._store.changed:
            session.state, session.accepting_jobs, session.closed = "closed", False, now()
            for job in self._store.jobs.values():
                if job.session_id == session.id and job.status == "Queued":
                    job.end("Cancelled", "Cancelled by user")
                    self._store.save(job)
            self._store.save_sessions()
        return Answer(204)


def _job_facts(job: Job) -> dict[str, Any]:
    state: dict[str, Any] = {"status": job.status}
    if job.reason:
        state["reason"] = job.reason
    if job.reason_code is not None:
        state["reason_code"] = job.reason_code
    return {
        "id": job.id,
        "backend": job.backend,
        "state": state,
        "status": job.status,
        "program": {"id": job.program},
        "created": job.created,
        "ended": job.finished,
        "tags": job.tags,
        "session_id": job.session_id,
        "private": job.private,
        "cost": job.cost if job.cost is not None else 10800,
        "estimated_running_time_seconds": job.quantum_seconds,
        "usage": {"seconds": job.quantum_seconds},
    }


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


_NAME = r"(?P<identifier>[^/]+)"
_PATTERNS = {
    "instances.usage": ("GET", "/instances/usage"),
    "backends.list": ("GET", "/backends"),
    "backends.configuration": ("GET", f"/backends/{_NAME}/configuration"),
    "backends.properties": ("GET", f"/backends/{_NAME}/properties"),
    "backends.status": ("GET", f"/backends/{_NAME}/status"),
    "jobs.create": ("POST", "/jobs"),
    "jobs.list": ("GET", "/jobs"),
    "jobs.get": ("GET", f"/jobs/{_NAME}"),
    "jobs.delete": ("DELETE", f"/jobs/{_NAME}"),
    "jobs.results": ("GET", f"/jobs/{_NAME}/results"),
    "jobs.cancel": ("POST", f"/jobs/{_NAME}/cancel"),
    "jobs.logs": ("GET", f"/jobs/{_NAME}/logs"),
    "jobs.metrics": ("GET", f"/jobs/{_NAME}/metrics"),
    "jobs.tags": ("PUT", f"/jobs/{_NAME}/tags"),
    "sessions.create": ("POST", "/sessions"),
    "sessions.get": ("GET", f"/sessions/{_NAME}"),
    "sessions.close": ("PATCH", f"/sessions/{_NAME}"),
    "sessions.cancel": ("DELETE", f"/sessions/{_NAME}/close"),
}
ROUTES: dict[str, tuple[str, re.Pattern[str]]] = {
    name: (method, re.compile(pattern)) for name, (method, pattern) in _PATTERNS.items()
}


def find_route(method: str, path: str, routes: dict[str, tuple[str, re.Pattern[str]]]) -> tuple[str, str]:
    """Return the name of an endpoint and the identifier in its path; two empty texts where there is none."""
    for name, (wanted, pattern) in routes.items():
        match = pattern.fullmatch(path)
        if wanted == method and match:
            return name, match.groupdict().get("identifier", "")
    return "", ""


Handler = Callable[[Request], Answer]
