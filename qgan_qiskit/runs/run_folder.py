"""A run's folder: numbered, locked while it is written, with its settings, log, pictures and checkpoints.

Files: ``config.json``, ``versions.json``, ``data.json``, ``stats.jsonl``, ``reals.png``, ``fakes_init.png``,
``fakes_NNNNNN.png``, ``metrics.jsonl`` if anything is measured, ``checkpoints/step-NNNNNNNN/`` and, if asked for,
TensorBoard events.
"""

from __future__ import annotations

import contextlib
import json
import platform
import re
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from qgan_qiskit.config import RunConfig
from qgan_qiskit.config.base import first_problem
from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.storage import FileLock, HeldError

# Logs: a line per step that is reported, and a line per measurement.
STATS, METRICS = "stats.jsonl", "metrics.jsonl"
_STAGED = ".staging"
_NUMBER = re.compile(r"^(\d{5})-")
_LIBRARIES = (
    "qgan_qiskit",
    "torch",
    "torchvision",
    "numpy",
    "scipy",
    "qiskit",
    "qiskit-machine-learning",
    "safetensors",
)


class RunFolder:
    """A run on disk. Use as a context manager while writing: it holds the run's lock."""

    def __init__(self, path: Path) -> None:
        """Point to a folder that exists; see :meth:`create` and :meth:`open`."""
        self.path = path
        self._lock = FileLock(path / ".lock", wait=False)

    @classmethod
    def create(cls, outdir: Path, config: RunConfig, label: str) -> RunFolder:
        """Make the next numbered folder, such as ``00003-hybridq-default-MEL``, and write config and versions.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            outdir.mkdir(parents=True, exist_ok=True)
            number = 1 + max((int(m[1]) for p in outdir.iterdir() if (m := _NUMBER.match(p.name))), default=-1)
            name = re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{config.model.name}-{config.preset}-{label}")
            while True:
                path = outdir / f"{number:05d}-{name}"
                taken = any(p.name.startswith(f"{number:05d}-") for p in outdir.iterdir())
                try:
                    if not taken:
                        path.mkdir()
                        break
                except FileExistsError:
                    pass
                number += 1
        except OSError as error:
            raise StorageError(
                f"{outdir}: cannot make a run folder ({error.strerror}); choose another --outdir"
            ) from None
        return cls._described(path, config)

    @classmethod
    def create_at(cls, path: Path, config: RunConfig) -> RunFolder:
        """Make the folder of that name, which may be there but must not hold a run, and write config and versions.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot make a run folder ({error.strerror}); choose another place") from None
        return cls._described(path, config)

    @classmethod
    def _described(cls, path: Path, config: RunConfig) -> RunFolder:
        run = cls(path)
        run.write_text("versions.json", json.dumps(versions(), indent=1) + "\n")
        # Last: it is what makes the folder a run.
        run.write_config(config)
        return run

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open the folder of an earlier run.

        Raises:
            CheckpointError: there is no run at this path.
        """
        if not (path / "config.json").is_file():
            raise CheckpointError(f"{path}: not a run folder (it has no config.json); name one such as runs/00000-…")
        return cls(path)

    def __enter__(self) -> RunFolder:
        path = self.path / ".lock"
        try:
            self._lock.acquire()
        except HeldError as error:
            raise StorageError(f"{self.path}: in use by {error}; wait for it or stop it") from None
        except OSError as error:
            raise StorageError(f"{path}: cannot be written ({error.strerror}); copy the run to another place") from None
        # Nobody else writes here now: what a killed process left half written can go.
        for leftover in self.path.glob(f".*{_STAGED}"):
            leftover.unlink(missing_ok=True)
        return self

    def __exit__(self, *exc: object) -> None:
        # Closing releases the lock; the system does so too when the process dies, so a stale lock cannot stay.
        self._lock.release()

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def config(self) -> RunConfig:
        """Read the run's settings; the circuit that a user brought is the copy kept in the run folder.

        Raises:
            CheckpointError: ``config.json`` is damaged or of another version.
        """
        config = read_config(self.path / "config.json")
        copy = self.path / "circuit.qasm"
        if config.model.circuit_file is None or not copy.is_file():
            return config
        # In the copy inputs and weights have the names that need no patterns.
        return config.updated({"model": {"ansatz": str(copy), "input_names": None, "weight_names": None}})

    def write_config(self, config: RunConfig) -> None:
        """Write ``config.json``; a copy of a user's circuit is named without its folder, so that a run can be moved."""
        if config.model.circuit_file == str(self.path / "circuit.qasm"):
            config = config.updated({"model": {"ansatz": "circuit.qasm", "input_names": None, "weight_names": None}})
        self.write_text("config.json", config.model_dump_json(indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a small text file whole."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a small file whole: staged beside it, then renamed.

        Raises:
            StorageError: the disk refused.
        """
        target = self.path / name
        staging = self.path / f".{name}{_STAGED}"
        try:
            staging.write_bytes(data)
            staging.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                staging.unlink(missing_ok=True)
            raise StorageError(
                f"{target}: not written ({error.strerror}); free space and --resume {self.path}"
            ) from None

    def write_picture(self, name: str, picture: Any) -> None:
        """Write a Pillow image as PNG."""
        buffer = BytesIO()
        picture.save(buffer, format="PNG")
        self.write_bytes(name, buffer.getvalue())

    def append_row(self, name: str, row: dict[str, Any]) -> None:
        """Append one line to a log such as ``stats.jsonl``.

        Raises:
            StorageError: the disk refused.
        """
        path = self.path / name
        try:
            with path.open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise StorageError(f"{path}: not written ({error.strerror}); free space and --resume {self.path}") from None

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Read a log; a last line that was cut short by a kill is left out."""
        path = self.path / name
        rows = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def cut_rows(self, step: int) -> None:
        """Drop the lines of steps after the checkpoint that a run resumes from: they will come again."""
        for name in (STATS, METRICS):
            rows = self.rows(name)
            if rows or name == STATS:
                self.write_text(name, "".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step))


def read_config(path: Path) -> RunConfig:
    """Read a run's ``config.json``.

    Raises:
        CheckpointError: the file is damaged, or of another version.
    """
    try:
        return RunConfig.model_validate_json(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        raise CheckpointError(f"{first_problem(error).at(path)}; was it written by another version?") from None


def versions() -> dict[str, str]:
    """Return the versions that decide a run's numbers."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    return found | {name: metadata.version(name) for name in _LIBRARIES}
