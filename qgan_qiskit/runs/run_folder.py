"""A run's folder: numbered, locked while it is written, with settings, logs, pictures and checkpoints.

Files: ``config.json``, ``versions.json``, ``data.json``, ``stats.jsonl``, ``reals.png``, ``fakes_init.png``,
``fakes_NNNNNN.png``, ``checkpoints/step-NNNNNNNN/`` and, if configured, ``metrics.jsonl`` and TensorBoard events.
"""

from __future__ import annotations

import json
import platform
import re
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from qgan_qiskit.config import RunConfig
from qgan_qiskit.config.base import first_problem
from qgan_qiskit.errors import CheckpointError, StorageError
from qgan_qiskit.storage import FileLock, HeldError, atomic_write, remove_staging

if TYPE_CHECKING:
    from PIL import Image

# Logs with a JSON line per logged step, and per evaluation.
STATS, METRICS = "stats.jsonl", "metrics.jsonl"
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
        """Wrap a folder that exists; see :meth:`create` and :meth:`open`."""
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
        return cls._write_settings(path, config)

    @classmethod
    def create_at(cls, path: Path, config: RunConfig) -> RunFolder:
        """Make a folder of a given name, or use one that holds no run, and write config and versions.

        Raises:
            StorageError: the folder cannot be written.
        """
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{path}: cannot make a run folder ({error.strerror}); choose another place") from None
        return cls._write_settings(path, config)

    @classmethod
    def _write_settings(cls, path: Path, config: RunConfig) -> RunFolder:
        run = cls(path)
        run.write_text("versions.json", json.dumps(versions(), indent=1) + "\n")
        # Last: a folder with a config.json is a run.
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
        remove_staging(self.path)
        return self

    def __exit__(self, *exc: object) -> None:
        self._lock.release()

    @property
    def checkpoints(self) -> Path:
        """The folder of the run's checkpoints."""
        return self.path / "checkpoints"

    def config(self) -> RunConfig:
        """Read the run's settings; a user's circuit is replaced by the copy in the run folder.

        Raises:
            CheckpointError: ``config.json`` is damaged or of another version.
        """
        config = read_config(self.path / "config.json")
        copy = self.path / "circuit.qasm"
        if config.model.circuit_file is None or not copy.is_file():
            return config
        # The copy names inputs and weights canonically, so it needs no patterns.
        return config.updated({"model": {"ansatz": str(copy), "input_names": None, "weight_names": None}})

    def write_config(self, config: RunConfig) -> None:
        """Write ``config.json``; the copy of a circuit is named relative to the folder, so that a run can be moved."""
        if config.model.circuit_file == str(self.path / "circuit.qasm"):
            config = config.updated({"model": {"ansatz": "circuit.qasm", "input_names": None, "weight_names": None}})
        self.write_text("config.json", config.model_dump_json(indent=1) + "\n")

    def write_text(self, name: str, text: str) -> None:
        """Write a text file atomically."""
        self.write_bytes(name, text.encode())

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file atomically.

        Raises:
            StorageError: the disk refused.
        """
        try:
            atomic_write(self.path / name, data)
        except OSError as error:
            raise self._write_error(name, error) from None

    def write_picture(self, name: str, picture: Image.Image) -> None:
        """Write a picture as PNG."""
        buffer = BytesIO()
        picture.save(buffer, format="PNG")
        self.write_bytes(name, buffer.getvalue())

    def append_row(self, name: str, row: dict[str, Any]) -> None:
        """Append one line to a log such as ``stats.jsonl``.

        Raises:
            StorageError: the disk refused.
        """
        try:
            with (self.path / name).open("a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise self._write_error(name, error) from None

    def _write_error(self, name: str, error: OSError) -> StorageError:
        return StorageError(f"{self.path / name}: not written ({error.strerror}); free space and --resume {self.path}")

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Read a log, without a last line that a kill cut short."""
        path = self.path / name
        rows = []
        for line in path.read_text().splitlines() if path.is_file() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                break
        return rows

    def truncate_logs(self, step: int) -> None:
        """Drop the log lines of steps after the checkpoint that a run resumes from: these steps are repeated."""
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
