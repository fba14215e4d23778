"""A submission on disk: what runs, which job has which part of it, and what has come back.

Files: ``submission.json`` (manifest), ``inputs.npz`` (angles and weights), ``jobs.jsonl`` (ledger), ``results/shard-0000.npz``
(expectation values of a shard); where noise is learned first, also ``noise_jobs.jsonl`` (its ledger) and ``noise_model.json``.
The folder is published as a whole, and so is each result. The API key is in none of them.

Shape letters: N images · P sub-generators · Q inputs (radians) · K weights (radians) · O observables.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import numpy as np
from pydantic import ValidationError

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.config.base import Settings, first_problem
from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.storage import FileLock, HeldError, atomic_folder, atomic_write

Event = Literal["sending", "submitted", "failed", "canceled", "collected"]
NoiseModel = TypeVar("NoiseModel")

_FORMAT = 2
_MANIFEST, _INPUTS, _JOBS, _RESULTS = "submission.json", "inputs.npz", "jobs.jsonl", "results"
_NOISE_MODEL, _NOISE_JOBS = "noise_model.json", "noise_jobs.jsonl"


@dataclass(frozen=True)
class TaskState:
    """State of a shard, or of noise learning."""

    shard: int  # its index
    event: Event | Literal[""] = ""  # the last event; empty if there is none
    attempt: int = 0  # number of submissions started
    job_id: str | None = None  # of the last job
    backend: str | None = None  # where that job runs
    seconds: float | None = None  # QPU time, once collected
    reason: str | None = None  # why it failed

    @property
    def pending(self) -> bool:
        """Whether its job is at the service and not known to have ended."""
        return self.event == "submitted"

    @property
    def done(self) -> bool:
        """Whether its result is stored."""
        return self.event == "collected"

    def format_line(self, name: str) -> str:
        """Return the state as a line for a person."""
        job = f", job {self.job_id}" if self.job_id else ""
        detail = f": {self.reason}" if self.event == "failed" else f", {self.seconds:g} s" if self.seconds else ""
        return f"{name}: {self.event or 'not sent'}{job}{detail}"


class Ledger:
    """Append-only log of events, one JSON object per line.

    ``sending`` is on disk before the request leaves. After any crash it is therefore known which tasks may have reached the
    service, and they are looked for there by their tag before anything is sent again.
    """

    def __init__(self, path: Path) -> None:
        """Name the file; it is created with the first line."""
        self.path = path

    def write(self, shard: int, event: Event, **fields: Any) -> None:
        """Append a line; when this returns it is on disk.

        Raises:
            StorageError: it cannot be written.
        """
        row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "shard": shard, "event": event, **fields}
        try:
            with self.path.open("ab") as file:
                # The newline comes first: the line before may have been cut short.
                file.write(b"\n" + json.dumps(row, separators=(",", ":")).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"{self.path}: not written ({error.strerror}); free space and repeat the command"
            ) from None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the lines without those that were cut short."""
        with suppress(FileNotFoundError):
            for line in self.path.read_bytes().split(b"\n"):
                with suppress(ValueError):
                    row = json.loads(line)
                    if isinstance(row, dict) and "shard" in row:
                        yield row

    def states(self, count: int) -> list[TaskState]:
        """Return the state of each of ``count`` shards."""
        states = [TaskState(shard) for shard in range(count)]
        for row in self.rows():
            shard = row["shard"]
            fields = {name: row[name] for name in ("job_id", "backend", "seconds", "reason") if name in row}
            if row["event"] == "sending":
                # A new attempt forgets the job of the one before.
                states[shard] = TaskState(shard, attempt=states[shard].attempt + 1)
            states[shard] = replace(states[shard], event=row["event"], **fields)
        return states


class CircuitManifest(Settings):
    """Sub-generators that are packed into one circuit."""

    members: tuple[int, ...]  # their indices
    layouts: tuple[tuple[int, ...], ...]  # physical qubits of each
    observables: int  # of one


class SubmissionManifest(Settings):
    """Everything that determines a submission."""

    format: int = _FORMAT
    id: str  # a random name, part of every tag
    run: str  # folder of the run or checkpoint whose images are made
    weights_sha256: str  # of the generator
    seeds: tuple[int, ...]  # of the images
    settings: HardwareConfig  # as requested
    backend: str  # the device's name
    execution_mode: str  # session, batch or job
    circuits: tuple[CircuitManifest, ...]
    shards: tuple[tuple[int, int], ...]  # first and last + 1 of the images of each job
    versions: dict[str, str]  # of the software
    layers: tuple[dict[str, Any], ...] = ()  # gate layers whose noise is learned before the images, if any

    @property
    def tag(self) -> str:
        """Tag of all jobs of the submission."""
        return f"qgan-{self.id}"

    @property
    def noise_tag(self) -> str:
        """Tag of the jobs that learn the noise."""
        return f"qgan-{self.id}-noise"

    def shard_tag(self, shard: int) -> str:
        """Return the tag of a shard's jobs."""
        return f"qgan-{self.id}-{shard:04d}"


class Submission:
    """A submission's folder; hold :meth:`exclusive_lock` while jobs are sent or collected.

    Attributes:
        path: the folder.
        manifest: what determines the submission.
        ledger: events of the shards.
        noise_ledger: events of noise learning.
    """

    def __init__(self, path: Path, manifest: SubmissionManifest) -> None:
        """Take a folder that exists; see :meth:`create` and :meth:`open`."""
        self.path, self.manifest = path, manifest
        self.ledger, self.noise_ledger = Ledger(path / _JOBS), Ledger(path / _NOISE_JOBS)

    @classmethod
    def create(
        cls, path: Path, manifest: SubmissionManifest, angles_NPQ: np.ndarray, weights_PK: np.ndarray
    ) -> Submission:
        """Publish a new submission, of which nothing is sent yet.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(path) as staging:
                (staging / _RESULTS).mkdir()
                np.savez(staging / _INPUTS, angles=angles_NPQ, weights=weights_PK)
                (staging / _MANIFEST).write_text(manifest.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise StorageError(
                f"{path}: not written ({error.strerror}); nothing was sent; free space and repeat"
            ) from None
        return cls(path, manifest)

    @classmethod
    def open(cls, path: Path) -> Submission:
        """Open an existing submission.

        Raises:
            CheckpointError: there is none, it has another format, or its manifest is damaged.
        """
        try:
            content = json.loads((path / _MANIFEST).read_text())
            if (found := content["format"]) != _FORMAT:
                raise CheckpointError(
                    f"{path}: a submission of format {found}, and this version reads {_FORMAT}; submit again"
                )
            return cls(path, SubmissionManifest(**content))
        except FileNotFoundError:
            raise CheckpointError(f"{path}: not a submission (it has no {_MANIFEST}); name the folder of one") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            reason = first_problem(error).message if isinstance(error, ValidationError) else error
            raise CheckpointError(f"{path / _MANIFEST}: damaged ({reason}); restore it from a copy") from None

    def shard_states(self) -> list[TaskState]:
        """Return the state of every shard."""
        return self.ledger.states(len(self.manifest.shards))

    def noise_state(self) -> TaskState:
        """Return the state of noise learning."""
        return self.noise_ledger.states(1)[0]

    def awaits_noise_model(self) -> bool:
        """Return whether the images need a noise model that is not stored yet."""
        return bool(self.manifest.layers) and not self.noise_state().done

    def format_status(self) -> list[str]:
        """Return a line for each job and one for all, from the ledgers alone."""
        states, lines = self.shard_states(), []
        if self.manifest.layers:
            name = f"noise learning ({len(self.manifest.layers)} layers of gates)"
            lines.append(self.noise_state().format_line(name))
        for state, (start, stop) in zip(states, self.manifest.shards, strict=True):
            lines.append(state.format_line(f"shard {state.shard} (images {start} to {stop - 1})"))
        counts = Counter(state.event or "not sent" for state in states)
        summary = ", ".join(f"{count} {event}" for event, count in counts.items())
        return [*lines, f"{self.manifest.backend}: {summary}"]

    def load_inputs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return angles (N, P, Q) and weights (P, K), radians.

        Raises:
            CheckpointError: the file is damaged.
        """
        arrays = _load_arrays(self.path / _INPUTS, ("angles", "weights"), "restore it from a copy")
        return arrays["angles"], arrays["weights"]

    def store_result(self, shard: int, result: ExpectationResult) -> None:
        """Publish a shard's expectation values.

        Raises:
            StorageError: they cannot be written.
        """
        arrays: dict[str, Any] = {"evs": result.evs_BPO, "stds": result.stds_BPO, **result.auxiliary}
        _publish(self._result_path(shard), lambda file: np.savez(file, **arrays))

    def load_result(self, shard: int) -> ExpectationResult:
        """Return a shard's expectation values.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        remedy = f"remove its line 'collected' from {_JOBS} and collect again"
        arrays = _load_arrays(self._result_path(shard), ("evs", "stds"), remedy)
        return ExpectationResult(arrays.pop("evs"), arrays.pop("stds"), arrays)

    def store_noise_model(self, text: str) -> None:
        """Publish the learned noise model.

        Raises:
            StorageError: it cannot be written.
        """
        _publish(self.path / _NOISE_MODEL, lambda file: file.write(text.encode()))

    def load_noise_model(self, parse: Callable[[str], NoiseModel]) -> NoiseModel:
        """Return the learned noise model.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = self.path / _NOISE_MODEL
        try:
            return parse(path.read_text())
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error}); remove the line 'collected' from {_NOISE_JOBS} and collect again"
            ) from None

    def _result_path(self, shard: int) -> Path:
        return self.path / _RESULTS / f"shard-{shard:04d}.npz"

    @contextmanager
    def exclusive_lock(self) -> Iterator[None]:
        """Lock the submission for a ``with`` block: two commands must not send the same shard.

        Raises:
            StorageError: another process holds the lock, or the folder cannot be written to.
        """
        lock = FileLock(self.path / ".lock", wait=False)
        try:
            lock.acquire()
        except HeldError as error:
            raise StorageError(f"{self.path}: another command is using it ({error}); wait for it") from None
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written to ({error.strerror})") from None
        try:
            yield
        finally:
            lock.release()


def _load_arrays(path: Path, names: tuple[str, ...], remedy: str) -> dict[str, np.ndarray]:
    """Return all arrays of a file.

    Raises:
        CheckpointError: the file is damaged or lacks one of the names.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in (*names, *file.files)}
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); {remedy}") from None


def _publish(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file atomically.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        atomic_write(path, write)
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and collect again") from None
