"""What became of each shard of a submission: a file that only grows, a line for each thing that happened.

The line that a shard is about to be sent is on the disk before the request leaves. So after any crash it is known which shards
may have arrived, and they are looked for at the service, by their tag, before anything is sent again. The token of the account
is never handed to this file.

A submission on disk: what was to be run, which job has which part of it, and what has come back.

Files: ``submission.json`` (everything that decides it), ``work.npz`` (angles and weights), ``jobs.jsonl`` (the ledger),
``results/shard-0000.npz`` (expectations of a shard). Where the noise is learned first, also ``noise.jsonl`` (a ledger of its own)
and ``noise.json`` (what was learned). A folder is published whole, and each result, too.

Shape letters: N images · P sub-generators · Q inputs · K weights · O observables.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Literal, TypeVar

import numpy as np

from qgan_qiskit.config import HardwareConfig
from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.hardware.results import ExpectationResult
from qgan_qiskit.storage import FileLock, HeldError, atomic_folder, atomic_write

Event = Literal["sending", "submitted", "failed", "cancelled", "collected"]


@dataclass(frozen=True)
class ShardState:
    """What is known of a shard.

    Attributes:
        shard: its number.
        event: what happened last; empty if nothing did.
        attempt: how often it was to be sent, from 1.
        job_id: of the last job.
        backend: where that runs.
        seconds: on the device, once collected.
        reason: why it failed.
    """

    shard: int
    event: Event | Literal[""] = ""
    attempt: int = 0
    job_id: str | None = None
    backend: str | None = None
    seconds: float | None = None
    reason: str | None = None

    @property
    def open(self) -> bool:
        """Whether a job of it is known and has not come to an end."""
        return self.event == "submitted"

    @property
    def done(self) -> bool:
        """Whether its results are here."""
        return self.event == "collected"


class Ledger:
    """``jobs.jsonl`` of a submission."""

    def __init__(self, path: Path) -> None:
        """Point to the file; it is made with the first line."""
        self.path = path

    def write(self, shard: int, event: Event, **more: Any) -> None:
        """Add a line; when this returns it is on the disk.

        Raises:
            StorageError: it cannot be written.
        """
        row = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "shard": shard, "event": event, **more}
        try:
            with self.path.open("ab") as file:
                # The line end first: the line before may have been cut short.
                file.write(b"\n" + json.dumps(row, separators=(",", ":")).encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise StorageError(
                f"{self.path}: not written ({error.strerror}); free space and repeat the command"
            ) from None

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the lines; one that was cut short is none."""
        with suppress(FileNotFoundError):
            for line in self.path.read_bytes().split(b"\n"):
                with suppress(ValueError):
                    row = json.loads(line)
                    if isinstance(row, dict) and "shard" in row:
                        yield row

    def states(self, number: int) -> list[ShardState]:
        """Return the state of each of so many shards."""
        states = [ShardState(shard) for shard in range(number)]
        for row in self.rows():
            shard = row["shard"]
            known = {name: row[name] for name in ("job_id", "backend", "seconds", "reason") if name in row}
            if row["event"] == "sending":
                # Of the attempt before, only its number counts.
                states[shard] = ShardState(shard, attempt=states[shard].attempt + 1)
            states[shard] = replace(states[shard], event=row["event"], **known)
        return states


Noise = TypeVar("Noise")

_DESCRIPTION, _WORK, _JOBS, _RESULTS = "submission.json", "work.npz", "jobs.jsonl", "results"
_NOISE, _NOISE_JOBS = "noise.json", "noise.jsonl"


@dataclass(frozen=True)
class SubmissionManifest:
    """What decides a submission.

    Attributes:
        identity: a random name, part of every tag.
        run: folder of the run or checkpoint that the images are of.
        digest: SHA-256 of the generator's weights.
        seeds: of the images.
        settings: as asked.
        backend: the device's name.
        mode: execution mode: session, batch or job.
        packs: for each circuit its sub-generators and their places.
        shards: first and last + 1 of the images of each job.
        versions: of what made it.
        layers: of gates whose noise is learned before the images; none where it is not needed.
    """

    identity: str
    run: str
    digest: str
    seeds: tuple[int, ...]
    settings: HardwareConfig
    backend: str
    mode: str
    packs: tuple[dict[str, Any], ...]
    shards: tuple[tuple[int, int], ...]
    versions: dict[str, str]
    layers: tuple[dict[str, Any], ...] = ()

    @property
    def noise_tag(self) -> str:
        """The tag by which the jobs that learn the noise are found."""
        return f"qgan-{self.identity}-noise"

    def tag(self, shard: int) -> str:
        """Return the tag by which a shard's jobs are found."""
        return f"qgan-{self.identity}-{shard:04d}"


class Submission:
    """A submission's folder. Use as a context manager while jobs are sent or collected: it holds the lock.

    Attributes:
        path: the folder.
        described: what decides it.
        ledger: what became of the shards.
        noise_ledger: what became of learning the noise.
    """

    def __init__(self, path: Path, described: SubmissionManifest) -> None:
        """Point to a folder that exists; see :meth:`create` and :meth:`open`."""
        self.path, self.described = path, described
        self.ledger, self.noise_ledger = Ledger(path / _JOBS), Ledger(path / _NOISE_JOBS)

    @classmethod
    def create(
        cls, path: Path, described: SubmissionManifest, angles_NPQ: np.ndarray, weights_PK: np.ndarray
    ) -> Submission:
        """Publish a new submission; nothing has been sent then.

        Raises:
            StorageError: it cannot be written.
        """
        content = {"format": 1, **asdict(described), "settings": described.settings.model_dump()}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_folder(path) as staging:
                (staging / _RESULTS).mkdir()
                np.savez(staging / _WORK, angles=angles_NPQ, weights=weights_PK)
                (staging / _DESCRIPTION).write_text(json.dumps(content, indent=1) + "\n")
        except OSError as error:
            raise StorageError(
                f"{path}: not written ({error.strerror}); nothing was sent; free space and repeat"
            ) from None
        return cls(path, described)

    @classmethod
    def open(cls, path: Path) -> Submission:
        """Open an earlier submission.

        Raises:
            CheckpointError: there is none, or its description is damaged.
        """
        try:
            content = json.loads((path / _DESCRIPTION).read_text())
            content.pop("format")
            content["settings"] = HardwareConfig(**content["settings"])
            content["seeds"], content["packs"] = tuple(content["seeds"]), tuple(content["packs"])
            content["layers"] = tuple(content.get("layers", ()))
            content["shards"] = tuple((int(start), int(stop)) for start, stop in content["shards"])
            return cls(path, SubmissionManifest(**content))
        except FileNotFoundError:
            raise CheckpointError(
                f"{path}: not a submission (it has no {_DESCRIPTION}); name the folder of one"
            ) from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(f"{path}/{_DESCRIPTION}: damaged ({error}); bring it back from a copy") from None

    def states(self) -> list[ShardState]:
        """Return what is known of every shard."""
        return self.ledger.states(len(self.described.shards))

    def noise_state(self) -> ShardState:
        """Return what is known of learning the noise."""
        return self.noise_ledger.states(1)[0]

    def noise_is_missing(self) -> bool:
        """Return whether the images need a noise that is not yet learned."""
        return bool(self.described.layers) and not self.noise_state().done

    def report(self) -> list[str]:
        """Return a line for each job and one for all, from the ledgers alone; asks nobody."""
        states, lines = self.states(), []
        if self.described.layers:
            lines.append(_line(f"noise learning ({len(self.described.layers)} layers of gates)", self.noise_state()))
        for state in states:
            start, stop = self.described.shards[state.shard]
            lines.append(_line(f"shard {state.shard} (images {start} to {stop - 1})", state))
        counts = Counter(state.event or "not sent" for state in states)
        lines.append(f"{self.described.backend}: " + ", ".join(f"{number} {event}" for event, number in counts.items()))
        return lines

    def work(self) -> tuple[np.ndarray, np.ndarray]:
        """Return angles (N, P, Q) and weights (P, K), radians.

        Raises:
            CheckpointError: the file is damaged.
        """
        try:
            with np.load(self.path / _WORK, allow_pickle=False) as file:
                return file["angles"], file["weights"]
        except Exception as error:
            raise CheckpointError(f"{self.path / _WORK}: damaged ({error}); bring it back from a copy") from None

    def keep(self, shard: int, readings: ExpectationResult) -> None:
        """Publish a shard's expectations.

        Raises:
            StorageError: they cannot be written.
        """
        arrays: dict[str, Any] = {"evs": readings.evs_BPO, "stds": readings.stds_BPO, **readings.more}
        _publish(self._result(shard), lambda file: np.savez(file, **arrays))

    def keep_noise(self, text: str) -> None:
        """Publish what was learned of the noise.

        Raises:
            StorageError: it cannot be written.
        """
        _publish(self.path / _NOISE, lambda file: file.write(text.encode()))

    def noise(self, read: Callable[[str], Noise]) -> Noise:
        """Return what :meth:`keep_noise` kept.

        Args:
            read: takes the text.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        path = self.path / _NOISE
        try:
            return read(path.read_text())
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise CheckpointError(
                f"{path}: damaged ({error}); remove the line 'collected' from {_NOISE_JOBS} and collect again"
            ) from None

    def readings(self, shard: int) -> ExpectationResult:
        """Return what :meth:`keep` kept.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        try:
            with np.load(self._result(shard), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return ExpectationResult(arrays.pop("evs"), arrays.pop("stds"), arrays)
        except Exception as error:
            raise CheckpointError(
                f"{self._result(shard)}: damaged ({error}); remove its line 'collected' from {_JOBS} and collect again"
            ) from None

    def _result(self, shard: int) -> Path:
        return self.path / _RESULTS / f"shard-{shard:04d}.npz"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the submission's lock for a ``with`` block: two commands must not send the same shard.

        Raises:
            StorageError: another process holds it, or the folder cannot be written to.
        """
        lock = FileLock(self.path / ".lock", wait=False)
        try:
            lock.acquire()
        except HeldError as error:
            raise StorageError(f"{self.path}: another command is at work on it ({error}); wait for it") from None
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written to ({error.strerror})") from None
        try:
            yield
        finally:
            lock.release()


def _publish(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let a file appear whole or not at all.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        atomic_write(path, write)
    except OSError as error:
        raise StorageError(f"{path}: not written ({error.strerror}); free space and collect again") from None


def _line(what: str, state: ShardState) -> str:
    job = f", job {state.job_id}" if state.job_id else ""
    more = f": {state.reason}" if state.event == "failed" else f", {state.seconds:g} s" if state.seconds else ""
    return f"{what}: {state.event or 'not sent'}{job}{more}"
