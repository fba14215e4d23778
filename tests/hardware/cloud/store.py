"""What the service remembers: jobs, sessions, who asked for what, and how often each job was run.

Kept in a folder where one is given. One lock guards all of it. The worker takes queued jobs in the order of their creation, one
at a time.
"""

from __future__ import annotations

import datetime
import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FINAL = ("Completed", "Failed", "Cancelled")


def now() -> str:
    """Return the time in UTC as the API writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")


@dataclass
class Job:
    """A job. ``fate`` is how a fault will have it end, instead of being run; ``runs`` says how often it was run."""

    id: str
    program: str
    backend: str
    instance: str
    tags: list[str] = field(default_factory=list)
    session_id: str | None = None
    private: bool = False
    cost: int | None = None
    created: str = ""
    running: str | None = None
    finished: str | None = None
    status: str = "Queued"
    reason: str = ""
    reason_code: int | None = None
    fate: dict[str, Any] | None = None
    runs: int = 0
    circuits: int = 0
    executions: int = 0
    quantum_seconds: float = 0.0
    result_reads: int = 0
    params: str = field(default="", repr=False)
    result: str | None = field(default=None, repr=False)

    def end(self, status: str, reason: str = "", code: int | None = None) -> None:
        """Bring it into a final state."""
        self.status, self.reason, self.reason_code, self.finished = status, reason, code, now()


@dataclass
class Session:
    """A session ("dedicated") or a batch."""

    id: str
    mode: str
    backend: str
    instance: str
    max_ttl: int | None = None
    state: str = "open"
    accepting_jobs: bool = True
    created: str = ""
    started: str | None = None
    closed: str | None = None


class Store:
    """Jobs, sessions and logs.

    Args:
        folder: where they are kept, and found again by the next service; None for memory alone.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.folder = folder
        self.jobs: dict[str, Job] = {}
        self.sessions: dict[str, Session] = {}
        self.requests: list[dict[str, Any]] = []
        self.executions: list[dict[str, Any]] = []
        if folder:
            (folder / "jobs").mkdir(parents=True, exist_ok=True)
            self._load(folder)

    def add_job(self, **facts: Any) -> Job:
        """Create a job at the end of the queue."""
        with self.changed:
            job = Job(id=f"d{len(self.jobs) + 1:019d}", created=now(), **facts)
            self.jobs[job.id] = job
            self.save(job)
            return job

    def add_session(self, **facts: Any) -> Session:
        """Open a session."""
        with self.changed:
            session = Session(id=f"s{len(self.sessions) + 1:019d}", created=now(), **facts)
            self.sessions[session.id] = session
            self.save_sessions()
            return session

    def close_session(self, session_id: str, why: tuple[int, str, str]) -> None:
        """Close a session from the service's side: jobs of it that still wait fail."""
        with self.changed:
            session = self.sessions[session_id]
            session.state, session.accepting_jobs, session.closed = "closed", False, now()
            for job in self.jobs.values():
                if job.session_id == session_id and job.status == "Queued":
                    job.end("Failed", why[1], why[0])
                    self.save(job)
            self.save_sessions()

    def next_job(self, can_run: Callable[[Job], bool], stopped: Callable[[], bool]) -> Job | None:
        """Wait for a queued job that can run, mark it as running and return it; None once stopped."""
        with self.changed:
            while not stopped():
                for job in self.jobs.values():
                    stuck = job.fate is not None and job.fate["status"] == "Queued"
                    if job.status == "Queued" and not stuck and can_run(job):
                        job.status, job.running, job.runs = "Running", now(), job.runs + 1
                        self.save(job)
                        return job
                self.changed.wait(0.5)
        return None

    def wait_final(self, job: Job, seconds: float) -> None:
        """Wait a little for a job's end."""
        end = time.monotonic() + seconds
        with self.changed:
            while job.status not in FINAL and time.monotonic() < end:
                self.changed.wait(max(0.0, end - time.monotonic()))

    def save(self, job: Job) -> None:
        """Keep a job as it is now, and tell those who wait for it."""
        with self.changed:
            if self.folder:
                self._write(f"jobs/{job.id}.json", asdict(job))
            self.changed.notify_all()

    def save_sessions(self) -> None:
        """Keep all sessions as they are now."""
        if self.folder:
            self._write("sessions.json", [asdict(session) for session in self.sessions.values()])

    def log(self, kind: str, entry: dict[str, Any]) -> None:
        """Add a line to the log of ``requests`` or ``executions``."""
        with self.changed:
            getattr(self, kind).append(entry)
            if self.folder:
                with (self.folder / f"{kind}.jsonl").open("a") as lines:
                    lines.write(json.dumps(entry) + "\n")

    def _write(self, name: str, value: Any) -> None:
        assert self.folder is not None
        part = self.folder / f"{name}.part"
        part.write_text(json.dumps(value))
        part.replace(self.folder / name)

    def _load(self, folder: Path) -> None:
        for path in sorted((folder / "jobs").glob("*.json")):
            job = Job(**json.loads(path.read_text()))
            if job.status == "Running":
                job.status = "Queued"
            self.jobs[job.id] = job
        if (folder / "sessions.json").is_file():
            found = [Session(**facts) for facts in json.loads((folder / "sessions.json").read_text())]
            self.sessions = {session.id: session for session in found}
        for kind in ("requests", "executions"):
            path = folder / f"{kind}.jsonl"
            if path.is_file():
                getattr(self, kind).extend(json.loads(line) for line in path.read_text().splitlines())
