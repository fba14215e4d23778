"""The service without its socket: answers requests, runs its jobs one after another, and goes wrong where it is told to."""

from __future__ import annotations

import json
import re
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs

from .account import OPEN, PAID, Account, Instance
from .answers import NO_DEVICE, SESSION_CLOSED, Answer, RefusedError
from .devices import Device, State, snapshot
from .endpoints import ROUTES, Endpoints, Request, find_route
from .faults import Fault, FaultPlan
from .store import Job, Store, now

# The client leaves an address alone that has this word in it; see ``client``.
API = "/experimental/api/v1"
ACCOUNT_ROUTES: dict[str, tuple[str, re.Pattern[str]]] = {
    "iam.token": ("POST", re.compile("/iam/identity/token")),
    "search.instances": ("POST", re.compile("/search/v3/resources/search")),
    "catalog.plan": ("GET", re.compile("/catalog/(?P<identifier>[^/]+)")),
}
# Seconds of quantum time: 2 s and 0.35 ms for every execution, as IBM's documentation estimates for Heron.
_OVERHEAD, _PER_EXECUTION = 2.0, 0.00035


class NoAnswerError(Exception):
    """The connection is closed without an answer."""


@dataclass
class Reply:
    """An answer, and what becomes of the connection: kept, closed after the answer, or closed in the middle of it."""

    answer: Answer
    ending: Literal["keep", "close", "cut"] = "keep"


class Service:
    """The service.

    Args:
        key: the API key that is right.
        devices: by name, with the snapshot each is made from (``devices.snapshot``). A mock classical baseline for
        ``dry_run`` comes with each.
        faults: what goes wrong.
        noise: whether the devices' errors count.
        state: folder in which jobs and logs are kept; None for memory alone.
        instances: of the account; by default one on the Open plan and one that is paid for.
        seed: of all chance.
        token_seconds: how long access tokens are good for.
        settle_seconds: how long a look at a job waits for its end.
    """

    def __init__(
        self,
        key: str,
        devices: Mapping[str, str],
        faults: Iterable[Fault] = (),
        noise: bool = False,
        state: Path | None = None,
        instances: Iterable[Instance] = (OPEN, PAID),
        seed: int = 0,
        token_seconds: float = 3600.0,
        settle_seconds: float = 0.5,
    ) -> None:
        self.devices: dict[str, Device] = {}
        for name, source in devices.items():
            self.devices[name] = snapshot(name, source)
            classical_baseline = re.sub("^[^_]+", "mock", name)
            self.devices[classical_baseline] = snapshot(classical_baseline, source, mock=True)
        self.account = Account(key, [replace(instance) for instance in instances], token_seconds)
        self.store = Store(state)
        self._plan = FaultPlan(faults)
        self._endpoints = Endpoints(self.account, self.store, self.devices, settle_seconds)
        self._noise, self._seed = noise, seed
        self.stopped = False

    # What tests ask and set.

    def set_faults(self, faults: Iterable[Fault]) -> None:
        """Put other faults in place; counting of requests starts again."""
        self._plan.set(faults)

    def set_device(self, name: str, state: State) -> None:
        """Bring a device ("*" for all) into maintenance, retire it, or bring it back."""
        with self.store.changed:
            for device in self.devices.values():
                if name in ("*", device.name):
                    device.state = state
            for job in self.store.jobs.values():
                if job.status == "Queued" and self.devices[job.backend].state == "retired":
                    job.end("Failed", *NO_DEVICE)
                    self.store.save(job)
            self.store.changed.notify_all()

    def jobs(self) -> list[dict[str, Any]]:
        """Return all jobs in the order of their creation, without inputs and results."""
        names = [name for name in Job.__dataclass_fields__ if name not in ("params", "result")]
        with self.store.changed:
            return [{name: getattr(job, name) for name in names} for job in self.store.jobs.values()]

    def requests(self, route: str = "") -> list[dict[str, Any]]:
        """Return the log of requests to an endpoint, or of all."""
        with self.store.changed:
            return [entry for entry in self.store.requests if route in ("", entry["route"])]

    def executions(self) -> list[dict[str, Any]]:
        """Return one entry for each time a job was run."""
        with self.store.changed:
            return list(self.store.executions)

    def runs_by_tag(self) -> Counter[str]:
        """Return how many times jobs with each tag were run to their end, over all jobs that carry it."""
        done = [entry for entry in self.executions() if entry["status"] == "Completed"]
        return Counter(tag for entry in done for tag in entry["tags"])

    # Jobs.

    def work(self) -> None:
        """Run jobs until stopped."""
        while job := self.store.next_job(lambda job: self.devices[job.backend].state == "online", lambda: self.stopped):
            started = now()
            if job.fate is not None:
                with self.store.changed:
                    job.runs -= 1
                    job.end(job.fate["status"], job.fate["reason"], job.fate["code"])
            else:
                self._run(job)
                entry = {key: getattr(job, key) for key in ("id", "program", "backend", "tags", "session_id", "status")}
                counts = {key: getattr(job, key) for key in ("circuits", "executions", "runs")}
                self.store.log("executions", entry | counts | {"started": started, "finished": now()})
            self.store.save(job)

    def _run(self, job: Job) -> None:
        from .programs import ProgramError, run_program

        device = self.devices[job.backend]
        try:
            outcome = run_program(job.program, job.params, device, self._noise, (self._seed, int(job.id[1:])))
            failure = None
        except ProgramError as error:
            outcome, failure = None, (error.reason, error.code)
        except Exception:
            # A defect of this service, which a test has to see.
            outcome, failure = None, (f"Traceback of the test service: {traceback.format_exc()}", 1000)
        with self.store.changed:
            if failure or outcome is None:
                job.end("Failed", *(failure or ()))
                return
            job.circuits, job.executions = outcome.circuits, outcome.executions
            if not device.mock:
                job.quantum_seconds = _OVERHEAD + _PER_EXECUTION * outcome.executions
                self.account.instances[job.instance].used_seconds += job.quantum_seconds
            if job.cost is not None and job.quantum_seconds > job.cost:
                job.end("Cancelled", f"Job ran too long: more than {job.cost} s.", 1305)
            elif job.status == "Running":
                job.result = outcome.text
                job.end("Completed")

    # Requests.

    def respond(self, request: Request) -> Reply:
        """Return the reply to a request.

        Raises:
            NoAnswerError: where there is none.
        """
        api = request.path.removeprefix(API)
        routes, path = (ROUTES, api) if api != request.path else (ACCOUNT_ROUTES, request.path)
        route, request.identifier = find_route(request.method, path, routes)
        facts, session_id = self._facts(route, request)
        hits = self._plan.strike(route, facts)
        entry: dict[str, Any] = {
            "at": time.time(),
            "route": route,
            "method": request.method,
            "path": request.path,
            "query": request.query,
            "faults": [f"{fault.effect} {fault.when}" for fault in hits],
        }
        reply = Reply(Answer(500))
        sent = True
        try:
            for fault in hits:
                if fault.when == "before":
                    self._go_wrong(fault, request, session_id, reply)
            # No job of a session that is closed right after it may start in between.
            with self.store.changed if route == "jobs.create" else threading.RLock():
                reply.answer = self._answer(route, request, entry, hits)
                for fault in hits:
                    if fault.when == "after" and fault.effect != "slow":
                        self._go_wrong(fault, request, session_id, reply)
            for fault in hits:
                if fault.when == "after" and fault.effect == "slow":
                    time.sleep(fault.seconds)
        except RefusedError as refusal:
            reply.answer = refusal.answer()
        except NoAnswerError:
            sent = False
            raise
        finally:
            # What was sent, not what was done: a job that was created has its number in ``job`` all the same.
            entry["status"] = reply.answer.status if sent else None
            self.store.log("requests", entry)
        return reply

    def _facts(self, route: str, request: Request) -> tuple[list[str], str]:
        """Return the texts that a fault's ``only`` may name, and the session that the request is about."""
        facts, session_id = [request.identifier], ""
        if route in ("jobs.create", "sessions.create"):
            wanted = request.json()
            session_id = wanted.get("session_id") or ""
            facts += [*wanted.get("tags", []), wanted.get("backend", ""), wanted.get("mode", ""), session_id]
        elif job := self.store.jobs.get(request.identifier):
            facts += [*job.tags, job.backend]
        return facts, session_id

    def _answer(self, route: str, request: Request, entry: dict[str, Any], hits: list[Fault]) -> Answer:
        if route == "iam.token":
            return self.account.token(parse_qs(request.body.decode()))
        entry["auth"] = self.account.check(request.authorization)
        if route == "search.instances":
            return self.account.search([name for name, device in self.devices.items() if not device.mock])
        if route == "catalog.plan":
            return self.account.plan(request.identifier)
        if not route:
            raise RefusedError(404)
        entry["instance"] = request.instance
        answer = self._endpoints.answer(route, request)
        if route.startswith("jobs."):
            entry["job"] = json.loads(answer.body)["id"] if route == "jobs.create" else request.identifier
        for fault in hits:
            if fault.effect == "fate":
                job = self.store.jobs[entry["job"]]
                job.fate = {"status": fault.outcome, "reason": fault.message, "code": fault.code}
                self.store.save(job)
            elif fault.effect == "garble":
                answer = replace(answer, body=fault.text.encode())
            elif fault.effect == "truncate":
                answer = replace(answer, body=answer.body[: len(answer.body) // 2])
            elif fault.effect == "damage":
                from .programs import damaged

                answer = replace(answer, body=damaged(answer.body.decode(), fault.damage).encode())
        return answer

    def _go_wrong(self, fault: Fault, request: Request, session_id: str, reply: Reply) -> None:
        """Let a fault do what it does beside spoiling the body of an answer."""
        if fault.effect == "status":
            headers = {"Retry-After": str(fault.retry_after)} if fault.retry_after is not None else {}
            raise RefusedError(
                fault.status, (fault.code or 1000, fault.message, "") if fault.message else None, headers
            )
        if fault.effect == "slow":
            time.sleep(fault.seconds)
        elif fault.effect == "drop":
            raise NoAnswerError
        elif fault.effect == "cut":
            reply.ending = "cut"
        elif fault.effect == "down":
            self.be_down(fault.seconds)
            reply.ending = "close"
            if fault.when == "before":
                raise NoAnswerError
        elif fault.effect == "revoke-tokens":
            self.account.revoke_tokens()
        elif fault.effect == "usage-limit":
            self.account.instance(request.instance).limit_reached = True
        elif fault.effect == "close-session" and session_id:
            self.store.close_session(session_id, SESSION_CLOSED)
        elif fault.effect == "device":
            named = fault.device or (request.json().get("backend", "") if request.body else request.identifier)
            self.set_device(named, fault.state)
            if fault.seconds:
                threading.Timer(fault.seconds, self.set_device, (named, "online")).start()

    def be_down(self, seconds: float) -> None:
        """Listen to nobody for a while; left to the class that has the socket."""
        raise NotImplementedError
