"""Faults on purpose: which request, the how-manieth of its kind, and what goes wrong. All of it is data and fits into JSON."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter

Effect = Literal[
    "status",  # answers with this HTTP status; ``when="after"`` does the work first (the client's retry then does it again)
    "drop",  # closes the connection without an answer; ``when="after"`` does the work first (answer lost)
    "slow",  # waits ``seconds`` before or after the work
    "cut",  # sends the head and half of the body, then closes the connection
    "truncate",  # sends half of the body as if it were all
    "garble",  # sends ``text`` in the body's place
    "damage",  # a job's result that is valid JSON of the right schema and still useless, see ``damage``
    "fate",  # the job that this request creates ends as ``outcome`` without running ("Queued": never starts)
    "close-session",  # the service closes the session that this request names
    "device",  # the device gets ``state`` (for ``seconds``, else for good)
    "usage-limit",  # the instance has used up its time
    "revoke-tokens",  # access tokens handed out so far are worth nothing from now on
    "down",  # nobody listens on the port for ``seconds``; this request gets no answer, or with ``when="after"`` the last one
]


class Fault(BaseModel):
    """One thing that goes wrong.

    Attributes:
        route: name of the endpoint (``endpoints.ROUTES``, ``service.ACCOUNT_ROUTES``), as ``jobs.create``; ``jobs.*`` and ``*``
            match more.
        effect: what happens, see :data:`Effect`.
        calls: on which of the requests that match, counted from 1; None for all of them. The client's own retries count.
        only: a text that a tag, the backend's name, the session's mode or the job id has to contain; "" for any.
        when: before the work is done (and instead of it, where there is an answer) or after it.
        status: HTTP status of ``status``.
        code: error code in the answer, or of a job that failed.
        message: error message, or why a job failed.
        retry_after: seconds in the ``Retry-After`` header.
        seconds: of ``slow``, ``down`` and ``device``.
        text: body of ``garble``.
        damage: "nan" (no shots: every mean is NaN), "shape" (bits of one qubit only), "fewer" (one row of results missing).
        outcome: state in which a job ends: Failed, Cancelled or Queued.
        device: name of the device; "" for the one that the request names.
        state: of the device: online, maintenance or retired.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    route: str
    effect: Effect
    calls: tuple[int, ...] | None = (1,)
    only: str = ""
    when: Literal["before", "after"] = "before"
    status: int = 500
    code: int | None = None
    message: str = ""
    retry_after: int | None = None
    seconds: float = 0.0
    text: str = "<html>not JSON</html>"
    damage: Literal["nan", "shape", "fewer"] = "nan"
    outcome: Literal["Failed", "Cancelled", "Queued"] = "Failed"
    device: str = ""
    state: Literal["online", "maintenance", "retired"] = "maintenance"

    def matches(self, route: str, facts: Iterable[str]) -> bool:
        """Return whether a request is of the kind meant.

        Args:
            route: name of its endpoint.
            facts: texts that ``only`` may occur in.
        """
        family = self.route.removesuffix("*")
        named = route == self.route or (self.route.endswith("*") and route.startswith(family))
        return named and (not self.only or any(self.only in fact for fact in facts))


_LIST = TypeAdapter(list[Fault])


def from_json(text: str) -> list[Fault]:
    """Return the faults of a JSON list."""
    return _LIST.validate_json(text)


def to_json(faults: Iterable[Fault]) -> str:
    """Return faults as a JSON list."""
    return _LIST.dump_json(list(faults), exclude_defaults=True).decode()


class FaultPlan:
    """Faults with their counters; may be asked from several threads."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """Put other faults in place; counting starts again."""
        with self._lock:
            self._faults = list(faults)
            self._seen = [0] * len(self._faults)

    def strike(self, route: str, facts: list[str]) -> list[Fault]:
        """Count a request and return the faults that hit it."""
        hit = []
        with self._lock:
            for index, fault in enumerate(self._faults):
                if fault.matches(route, facts):
                    self._seen[index] += 1
                    if fault.calls is None or self._seen[index] in fault.calls:
                        hit.append(fault)
        return hit


def burst(status: int, times: int, route: str = "jobs.create", **more: object) -> Fault:
    """Return a fault that answers so many requests in a row with an error status."""
    return Fault(route=route, effect="status", status=status, calls=tuple(range(1, times + 1)), **more)
