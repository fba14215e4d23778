"""What became of each shard of a submission: a file that only grows, a line for each thing that happened.

The line that a shard is about to be sent is on the disk before the request leaves. So after any crash it is known which shards
may have arrived, and they are looked for at the service, by their tag, before anything is sent again. The token of the account
is never handed to this file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qgan_qiskit.errors import StorageError

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
